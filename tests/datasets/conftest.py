"""Folders of a test's own, and a web server that misbehaves on request."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quickstudy.datasets import cache


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """($QUICKSTUDY_DATA, the user's cache): both empty, in a temporary folder."""
    data, user = tmp_path / "data", tmp_path / "user"
    monkeypatch.setenv("QUICKSTUDY_DATA", str(data))
    monkeypatch.setattr(cache.platformdirs, "user_cache_path", lambda name: user)
    return data, user


class Server:
    """Serves `files` under `url`, and notes the Range header of every request."""

    def __init__(self, url: str):
        self.url = url
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.break_after: int | None = None  # bytes of an answer, then the connection closes
        self.resumes = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(cache, "PAUSE", 0.001)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            body = state.files.get(self.path.lstrip("/"))
            if body is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if start and state.resumes:
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                body = body[start:]
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.break_after])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state = Server(f"http://127.0.0.1:{http.server_port}/")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()
