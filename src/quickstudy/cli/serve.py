"""quickstudy serve [FILE …]: adapted learners, and learners to adapt, over HTTP."""

from __future__ import annotations

import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.errors import UserError
from quickstudy.serving.server.limits import Limits
from quickstudy.terminal import warn


@dataclass(frozen=True)
class Serve(Limits):
    """A server and a playground. It answers with what adapt has written, and adapts to what
    requests bring. Only this machine reaches it unless --host says otherwise."""

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """What adapt has written: models. And folders of runs: learners, beside those of the
    package."""
    host: str = "127.0.0.1"
    """The address to listen at."""
    port: int = 8000
    """0 takes one that is free."""
    name: tuple[str, ...] = ()
    """Other names by which browsers know this machine. Requests under an unknown name are
    refused."""
    keep: Path | None = None
    """A folder for what requests make. Without one it is gone when the server ends."""
    open: bool = False
    """Open the playground in a browser."""

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.port < 2**16:
            raise UserError(f"--port {self.port}: it must be from 0 to 65535")


def run(words: list[str]) -> int:
    """The command."""
    options = read(Serve, words, "quickstudy serve")
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UserError(
            "serve needs Starlette and uvicorn: pip install 'quickstudy[serve]'"
        ) from None

    from quickstudy.serving.server.running import Place, serve

    place = Place(options.host, options.port, options.name)

    def ready(address: str) -> None:
        if not place.is_loopback:
            warn(
                f"--host {options.host}: whoever reaches this machine can use the server; nothing "
                "asks who they are"
            )
        (opened if options.open else told)(address)

    serve(options.files, place, options, options.keep, ready)
    return 0


def told(address: str) -> None:
    """Say where it is."""
    from quickstudy.serving.server.guard import log

    log(event="ready", address=address)
    show.line(f"the playground: {address}    the interface: {address}/docs    Ctrl-C ends it")


def opened(address: str) -> None:
    """Say where it is, and show it. A browser for terminals would wait here for its end."""
    told(address)
    threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
