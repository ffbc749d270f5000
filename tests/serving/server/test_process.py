"""`quickstudy serve` as a process: it starts, answers at once what comes at once, takes a file that
was replaced, refuses a damaged one, and ends well."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from quickstudy.errors import UserError
from quickstudy.files import write_atomically
from quickstudy.serving.server.running import Place

from .conftest import png

ROOT = Path(__file__).parents[3]


def until(there, seconds: float = 60.0):
    """What `there` gives, once it gives something."""
    for _ in range(int(seconds / 0.05)):
        if found := there():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


class Process:
    """A server, and what it says."""

    def __init__(self, *words: str):
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.serving.server.serving", "--port", "0", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.child.stderr:
            self.lines.append(line)

    def events(self, name: str) -> list[dict]:
        found = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [one for one in found if one.get("event") == name]


def test_a_life_of_a_server(symbols_file: Path, tmp_path: Path):
    model, keep = tmp_path / "symbols.qs", tmp_path / "kept"
    model.write_bytes(symbols_file.read_bytes())
    server = Process(str(model), "--keep", str(keep), "--most-examples", "20")
    try:
        (ready,) = until(lambda: server.events("ready") or server.child.poll())
        assert "the playground: http://127.0.0.1:" in server.child.stdout.readline()
        with httpx2.Client(base_url=ready["address"], timeout=60) as client:
            live(client, server, model, keep)
            before = len(server.lines)
            asked = {"inputs": [png(i % 3, i) for i in range(60)]}
            url = f"{ready['address']}/v1/models/symbols/predict"
            with ThreadPoolExecutor(20) as pool:
                answers = [pool.submit(httpx2.post, url, json=asked) for _ in range(40)]
                until(lambda: client.get("/health").json()["waiting"] > 2)
                server.child.send_signal(signal.SIGTERM)
                statuses = [status_of(answer) for answer in answers]
        assert server.child.wait(60) == 0
        assert set(statuses) <= {200, None}
        taken = [line for line in server.lines[before:] if "symbols/predict" in line]
        assert statuses.count(200) == len(taken) >= 3  # whatever was read was answered
        assert server.events("ending")[0]["signal"] == "SIGTERM"
        assert server.events("ended")
        assert not any("Traceback" in line for line in server.lines)
    finally:
        server.child.kill()


def status_of(answer) -> int | None:
    """None where nobody listened any more, or nobody had read the request."""
    try:
        return answer.result().status_code
    except (httpx2.ConnectError, httpx2.ReadError, httpx2.RemoteProtocolError):
        return None


def live(client: httpx2.Client, server: Process, model: Path, keep: Path) -> None:
    """What happens before the end."""
    classes = {"a": [png(0, 1)], "b": [png(1, 1)], "c": [png(2, 2)]}
    assert client.put("/v1/models/made", json={"classes": classes}).status_code == 201
    assert (keep / "made.qs").exists()
    size = client.get("/v1/models/symbols").json()["classes"]
    write_atomically(model, model.read_bytes()[:-100])
    until(lambda: server.events("refused"))
    assert client.get("/v1/models/symbols").json()["classes"] == size
    write_atomically(model, (keep / "made.qs").read_bytes())
    until(lambda: server.events("replaced"))
    found = client.get("/v1/models/symbols").json()["classes"]
    assert [one["name"] for one in found] == ["a", "b", "c"]
    assert [one["examples"] for one in found] == [1, 1, 1]
    answer = client.post("/v1/models/symbols/predict", json={"inputs": [png(0, 1)]}).json()
    assert max(answer["predictions"][0]["probabilities"].values()) > 0.4
    assert client.delete("/v1/models/made").status_code == 204
    assert not (keep / "made.qs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "256.0.0.1"), "cannot listen"),
        (("--port", "70000"), "from 0 to 65535"),
        (("nothing.qs",), "no file"),
        (("--most-inputs", "0"), "at least 1"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(words, said, capsys, monkeypatch):
    from quickstudy.cli.main import main
    from quickstudy.serving.server import learners

    monkeypatch.setattr(learners, "shipped", lambda limits: [])
    assert main(["serve", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1]
    assert len(lines) == 1


def test_an_address_that_is_taken_is_told_before_anything_is_compiled():
    said = pytest.raises(UserError, match="cannot listen at")
    with Place("127.0.0.1", 0, ()).listen() as first, said:
        Place("127.0.0.1", first.getsockname()[1], ()).listen()
