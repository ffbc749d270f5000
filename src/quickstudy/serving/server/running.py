"""From words on the command line to a server that listens, and to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import uvicorn

from quickstudy.compilation import enable_compilation_cache
from quickstudy.errors import UserError
from quickstudy.progress import progress
from quickstudy.runs.folders import run_file
from quickstudy.runs.kinds import LEARNER
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.server import learners
from quickstudy.serving.server.addresses import Server
from quickstudy.serving.server.app import application
from quickstudy.serving.server.characters import HeldOut
from quickstudy.serving.server.guard import Guard, log
from quickstudy.serving.server.learners import ServedLearner
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.making import Model, of_file, stamp
from quickstudy.serving.server.models import NAME, Models
from quickstudy.serving.server.work import Busy
from quickstudy.terminal import collected

LOOK_EVERY = 1.0
"""Seconds between looks at the files of models."""

ON_THEIR_WAY = 0.5
"""Seconds between a signal and the end of listening."""

BACKLOG = 2048
"""Connections that the system holds until they are taken."""

COMPILED = "/jax/core/compile/backend_compile_duration"


@dataclass(frozen=True)
class Place:
    """Where a server listens."""

    host: str
    port: int
    names: tuple[str, ...]
    """Other names that it has."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def listen(self) -> socket.socket:
        """Open the socket. Raises `UserError` where the address is not to be had."""
        try:
            family, *_, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            # With the protocol named, asyncio sends what is written at once (TCP_NODELAY).
            found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(BACKLOG)
        except OSError as error:
            raise UserError(
                f"cannot listen at {self.host}, port {self.port}: {error.strerror or error}; "
                "choose another --host or --port"
            ) from None
        return found


def prepared(paths: Sequence[Path], limits: Limits, keep: Path | None) -> Server:
    """Read models and learners, and compile their programs. Raises `UserError` where one cannot be
    read, or two have one name."""
    enable_compilation_cache()
    models, runs = Models(limits, keep), {}
    files: dict[str, Path] = {}
    for path in paths:
        name = (path.resolve().parent if path.name == LEARNER.file else path.resolve()).name
        is_run = path.is_dir() or path.name == LEARNER.file
        name = name if is_run else path.stem
        if not NAME.fullmatch(name):
            raise UserError(f"{path}: {name!r} is no name for addresses: rename it")
        if name in files or name in runs:
            raise UserError(f"two of the files are called {name}: rename one")
        if is_run:
            folder = path if path.is_dir() else path.parent
            run_file(folder, LEARNER.file)
            runs[name] = SavedRun.open(folder)
        else:
            files[name] = path
    found = [learners.of_run(name, saved, limits) for name, saved in runs.items()]
    found = [*found, *learners.shipped(limits)]
    shapes = {tuple(one.problem.shape): one for one in reversed(found)}
    by_name: dict[str, ServedLearner] = {}
    neighbours: dict[tuple[int, ...], ServedLearner] = {}
    with progress("compiling", len(found) + len(shapes) + len(files)) as reporter:
        for one in found:
            by_name.setdefault(one.name, learners.warm(one))
            reporter.at(len(by_name), one.name)
        for shape, one in shapes.items():
            neighbours[shape] = learners.warm(learners.neighbour(one))
        for name, path in files.items():
            models.read(name, path)
            reporter.at(len(found) + len(shapes) + len(models.by_name), name)
        for said in models.read_kept():
            log(event="refused", error=said)
        server = Server(models, by_name, neighbours, HeldOut(), limits)
        server.held_out.some(1, 1, 0)
    return server


def serve(
    paths: Sequence[Path],
    place: Place,
    limits: Limits,
    keep: Path | None,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called with the address once the server listens.
    Raises `UserError` before that, as `prepared` and `Place.listen` do."""
    listening = place.listen()
    server = prepared(paths, limits, keep)

    def count(event: str, duration_secs: float, **kwargs: str | int) -> None:
        server.compiled += event == COMPILED

    jax.monitoring.register_event_duration_secs_listener(count)
    names = (*place.names, place.host, socket.gethostname())
    settings = uvicorn.Config(
        Guard(application(server), names),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        backlog=BACKLOG,
        limit_concurrency=limits.most_waiting + 100,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(limits.most_seconds) + 5,
    )
    logging.getLogger("uvicorn").addHandler(Lines())
    logging.getLogger("uvicorn").propagate = False
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    host, port = listening.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    try:
        http = Ending(settings, partial(ready, f"http://{host}:{port}"))
        asyncio.run(_until_told(http, server, listening))
    finally:
        server.work.end()


class Ending(uvicorn.Server):
    """A server that ends well on a signal. For `ON_THEIR_WAY` seconds it goes on, so that requests
    that were sent already arrive; then it takes no new ones, and answers those that it has. A
    second signal ends it at once."""

    def __init__(self, settings: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(settings)
        self.ready = ready
        self.ending = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    @contextmanager
    def capture_signals(self):
        loop = asyncio.get_running_loop()
        told = (signal.SIGTERM, signal.SIGINT)
        for number in told:
            loop.add_signal_handler(number, self.told, number)
        try:
            yield
        finally:
            for number in told:
                loop.remove_signal_handler(number)

    def told(self, number: int) -> None:
        """A signal has come."""
        if self.ending:
            os._exit(128 + number)
        self.ending = True
        log(event="ending", signal=signal.Signals(number).name)
        asyncio.get_running_loop().call_later(ON_THEIR_WAY, self.end)

    def end(self) -> None:
        """Take no new requests."""
        self.should_exit = True


class Lines(logging.Handler):
    """What uvicorn has to say, as lines of JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        log(event=record.levelname.lower(), error=record.getMessage())


async def _until_told(http: Ending, server: Server, listening: socket.socket) -> None:
    watching = asyncio.create_task(watch(server))
    try:
        await http.serve(sockets=[listening])
    finally:
        watching.cancel()
    log(event="ended")


async def watch(server: Server, every: float = LOOK_EVERY) -> None:
    """Look at the files of models, and serve those that were replaced. One that is damaged is
    refused, and the model before it serves on. Programs are compiled beside the worker, which then
    puts the model in its place between two requests."""
    loop, refused = asyncio.get_running_loop(), {}
    while True:
        await asyncio.sleep(every)
        for name, model in list(server.models.by_name.items()):
            if model.file is None or (now := stamp(model.file)) == model.stamp:
                continue
            if name in refused and refused[name] == now:
                continue
            try:
                after = await loop.run_in_executor(None, _read_again, model, server.limits)
                await server.work.do(server.models.replaced, after)
                log(event="replaced", model=name, file=str(model.file))
            except Busy:
                continue
            except Exception as error:
                refused[name] = now
                log(event="refused", model=name, file=str(model.file), error=str(error))


def _read_again(model: Model, limits: Limits) -> Model:
    assert model.file is not None
    with collected() as warnings:
        found = of_file(model.name, model.file, limits)
    for said in warnings:
        log(event="warning", model=model.name, error=said)
    return found
