"""Several processes on this machine train one run, start again together when one dies, and end with
the process that started them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from quickstudy.errors import UserError
from quickstudy.signals import ENDING, listen_for_signals
from quickstudy.terminal import warn

DEATHS_WITHOUT_PROGRESS = 3
"""After so many in a row with no newer checkpoint there is no sense in another start."""

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_END = 3.0


def supervise(words: list[str], processes: int, run: Path) -> int:
    """Run `quickstudy train WORDS` in `processes` processes joined by `jax.distributed`; returns
    their exit status.

    When one dies the others cannot go on without it: all are ended and started again, from the
    newest checkpoint in `run`. Raises `UserError` when they keep dying without getting anywhere.
    """
    deaths = 0
    with listen_for_signals() as signals:
        while True:
            before = _checkpoints(run)
            with tempfile.TemporaryFile() as complaints:
                workers = _start(words, processes, complaints)
                try:
                    died = _wait(workers, signals.received)
                finally:
                    _end(workers)
                first = workers[0].returncode
                if died is None or first in (2, *(128 + number for number in ENDING)):
                    return first
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip().splitlines()
            deaths = 1 if _checkpoints(run) != before else deaths + 1
            if deaths == DEATHS_WITHOUT_PROGRESS:
                last = f"; it said last: {said[-1]}" if said else ""
                raise UserError(
                    f"process {died} of {processes} died {deaths} times with no checkpoint "
                    f"between{last}"
                )
            warn(f"process {died} of {processes} died; all start again from the last checkpoint")


def _start(words: list[str], processes: int, complaints: IO[bytes]) -> list[subprocess.Popen]:
    """The first process speaks to the user; what the others say goes to a file. The standard input
    of each is a pipe that ends with this process: see `end_with_parent`."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = s.getsockname()[1]
    joined = [
        "--processes",
        "1",
        "--coordinator",
        f"localhost:{port}",
        "--process-count",
        str(processes),
    ]
    command = [sys.executable, "-m", __name__, "train", *words, *joined, "--process-index"]
    return [
        subprocess.Popen(
            [*command, str(i)],
            stdin=subprocess.PIPE,
            stdout=None if i == 0 else complaints,
            stderr=None if i == 0 else complaints,
            start_new_session=True,  # the terminal's signals reach them through us, once
        )
        for i in range(processes)
    ]


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however it did: then the pipe
    that is our standard input is closed. Checkpoints are whole at any moment."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _wait(workers: list[subprocess.Popen], received: list[int]) -> int | None:
    """Until all have ended well, or asked to by a signal (None), or one has died (which)."""
    passed_on = False
    while True:
        ended = [worker.poll() for worker in workers]
        if received and not passed_on:
            passed_on = True
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    worker.send_signal(received[0])
        if all(status is not None for status in ended) and (passed_on or not any(ended)):
            return None
        if not passed_on:
            dead = [i for i, status in enumerate(ended) if status]
            if dead:
                return dead[0]
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _end(workers: list[subprocess.Popen]) -> None:
    """Nothing is left running: those that do not end by themselves, say of the same mistake, wait
    for one that is no more."""
    deadline = time.monotonic() + SECONDS_TO_END
    for worker in workers:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _checkpoints(run: Path) -> set[Path]:
    """Those of the run, or of all its seeds."""
    return set(run.rglob("checkpoints/step-*.qs"))


if __name__ == "__main__":
    from quickstudy.cli.main import main

    end_with_parent()
    sys.exit(main())
