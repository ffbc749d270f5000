"""Signals that ask a long piece of work to end cleanly."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Those that ask a process to end; Windows knows no SIGHUP."""


class Signals:
    """Those received so far."""

    def __init__(self) -> None:
        self.received: list[int] = []


@contextmanager
def listen_for_signals() -> Iterator[Signals]:
    """Collect SIGINT, SIGTERM and SIGHUP (the terminal is closed) instead of dying of them; a
    second one acts as usual. What is ignored, as `nohup` has it, stays ignored."""
    signals = Signals()
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        before.clear()

    def receive(number: int, frame: Any) -> None:
        signals.received.append(number)
        restore()

    try:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, receive)
    except ValueError:  # not in the main thread, where Python handles no signals
        before.clear()
    try:
        yield signals
    finally:
        restore()
