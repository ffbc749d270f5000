"""What opens the playground in a browser."""

import socket
import threading
import webbrowser
from types import SimpleNamespace

import pytest

from quickstudy.cli import serve
from quickstudy.cli.main import main
from quickstudy.serving.server import running


def test_serve_opens_it_once_it_is_there(monkeypatch, capsys):
    opened, done = [], threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda address: (opened.append(address), done.set()))
    monkeypatch.setattr(running, "serve", lambda *words: words[-1]("http://127.0.0.1:1234"))
    assert main(["serve"]) == 0
    assert not opened
    assert main(["serve", "--open"]) == 0
    assert done.wait(10)
    assert opened == ["http://127.0.0.1:1234"]
    assert "the playground: http://127.0.0.1:1234" in capsys.readouterr().out


@pytest.mark.parametrize("taken", [False, True])
def test_the_demo_serves_it_at_a_port_that_is_free(monkeypatch, taken):
    said = []
    monkeypatch.setattr(serve, "run", lambda words: said.append(words) or 0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        if taken:
            other.listen()
        monkeypatch.setattr(serve, "Serve", lambda: SimpleNamespace(host="127.0.0.1", port=port))
        assert main(["demo", "--open"]) == 0
    assert said == [["--open", "--port", "0" if taken else str(port)]]
