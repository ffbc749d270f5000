"""A plain HTTP client and a server in a process of its own, all on the loopback interface."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Connection:
    """One connection that stays open. HTTP/1.1, with the little that the server answers."""

    def __init__(self, port: int):
        self.port, self.reader, self.writer = port, None, None

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json"):
        """Send a request. Gives the status and the body of the answer."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
        self.writer.write(f"{head}content-type: {kind}\r\n\r\n".encode() + body)
        await self.writer.drain()
        assert self.reader is not None
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        size = re.search(r"content-length: (\d+)", answer)
        content = await self.reader.readexactly(int(size[1])) if size else b""
        if "connection: close" in answer:
            self.close()
        return int(answer.split()[1]), content

    def close(self) -> None:
        """Open another one next time."""
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class Process:
    """`quickstudy serve` on a free port."""

    def __init__(self, words: Sequence[str]):
        began = time.perf_counter()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "quickstudy", "serve", "--port", "0", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        while not self.events("ready"):
            if self.child.poll() is not None:
                raise RuntimeError("the server did not start: " + "".join(self.lines)[-2000:])
            time.sleep(0.05)
        self.seconds_to_ready = time.perf_counter() - began
        self.port = int(self.events("ready")[0]["address"].rpartition(":")[2])

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self.lines.append(line)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the server said of one kind."""
        found = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [one for one in found if one.get("event") == name]

    @property
    def traceback(self) -> bool:
        """Whether the server said one."""
        return any("Traceback" in line for line in self.lines)

    def resident(self) -> float:
        """Its memory, in MB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1000 if found else 0.0

    def tell_to_end(self) -> None:
        """SIGTERM."""
        self.child.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """Wait for its end, and give its exit status."""
        status = self.child.wait(60)
        self._reading.join(10)
        return status
