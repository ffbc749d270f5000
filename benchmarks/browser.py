"""Chromium without a screen, driven through a pipe by its DevTools protocol: no package needed.

<https://chromedevtools.github.io/devtools-protocol/>
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
]
WITH_PIPES = """
import os, sys
pipes = [os.dup(int(pipe)) for pipe in sys.argv[1:3]]
for pipe, number in zip(pipes, (3, 4)):
    os.dup2(pipe, number)
    os.set_inheritable(number, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads commands from file 3, and writes answers to file 4."""
Place = tuple[float, float]
PATIENCE = 20.0
"""Seconds until something that a page should show counts as missing."""


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Chromium with an empty page; `profile` is a folder of its own."""
    assert CHROMIUM is not None
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()

    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    pipes = [str(to_browser), str(from_browser)]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", WITH_PIPES, *pipes, *command],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Page(commands, answers)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(commands)
        os.close(answers)


class Page:
    """One page. What it logs, and which addresses it asks for, are in `logged` and `requested`."""

    def __init__(self, commands: int, answers: int):
        self._commands, self._answers, self._read = commands, answers, b""
        self._number, self._session = 0, None
        self.logged: list[str] = []
        self.requested: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol, and wait for its answer."""
        return self._answer(self._send(method, parameters))

    def _send(self, method: str, parameters: Mapping[str, Any]) -> int:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        return self._number

    def _answer(self, number: int) -> dict[str, Any]:
        while (answer := self._next()).get("id") != number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"Chromium refuses: {answer['error']}")
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            more = os.read(self._answers, 1 << 16)
            if not more:
                raise RuntimeError("Chromium has ended")
            self._read += more
        message, self._read = self._read.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, about = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requested.append(about["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.logged.append(str(about["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.logged.append(" ".join(str(x.get("value", x)) for x in about["args"]))
        elif method == "Log.entryAdded":
            self.logged.append(str(about["entry"]))

    def open(self, address: str) -> None:
        """Open an address, and wait until it is loaded."""
        self("Page.navigate", url=address)
        self.until(f"document.readyState === 'complete' && location.href === {address!r}")

    def eval(self, expression: str) -> Any:
        """What an expression of JavaScript gives."""
        found = self("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true, and give what it is then."""
        end = time.monotonic() + PATIENCE
        while (found := self.eval(expression)) in (None, False, 0, ""):
            if time.monotonic() > end:
                shown = self.eval("document.body.innerText")
                raise AssertionError(f"never true: {expression}; the page shows:\n{shown}")
            time.sleep(0.02)
        return found

    def size(self, width: int, height: int, *, phone: bool = False, scale: float = 1) -> None:
        """Give the window a size in CSS pixels; a phone is touched."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )
        self("Emulation.setTouchEmulationEnabled", enabled=phone)

    def prefer(self, **features: str) -> None:
        """Set media features: `prefer(color_scheme="dark", reduced_motion="reduce")`."""
        named = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        self("Emulation.setEmulatedMedia", features=named)

    def draw(self, where: str, stroke: Sequence[Place], *, touch: bool = False) -> None:
        """Draw a stroke on an element with a mouse or a finger; places are from 0 to 1 in it."""
        x, y, width, height = self.eval(
            f"(() => {{ const box = document.querySelector({where!r}).getBoundingClientRect();"
            " return [box.x, box.y, box.width, box.height] })()"
        )
        path = [(x + along * width, y + down * height) for along, down in stroke]
        parts = [("Start", path[0]), *(("Move", place) for place in path[1:]), ("End", path[-1])]
        event = finger if touch else mouse
        sent = [self._send(*event(what, *place)) for what, place in parts]
        for number in sent:
            self._answer(number)

    def click(self, where: str) -> None:
        """Click in the middle of an element."""
        self.eval(f"document.querySelector({where!r}).scrollIntoView({{block: 'nearest'}})")
        self.draw(where, [(0.5, 0.5)])

    def write(self, text: str) -> None:
        """Write into what has the focus."""
        self("Input.insertText", text=text)

    def press(self, key: str, code: int, *, text: str = "", modifiers: int = 0) -> None:
        """Press a key; `code` is its number in Windows; of modifiers, 2 is Ctrl and 8 is Shift."""
        about = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        down = {"type": "keyDown" if text else "rawKeyDown", "text": text}
        self("Input.dispatchKeyEvent", **down, **about)
        self("Input.dispatchKeyEvent", type="keyUp", **about)

    def choose_file(self, where: str, *files: Path) -> None:
        """Choose files in a field for files."""
        root = self("DOM.getDocument")["root"]["nodeId"]
        node = self("DOM.querySelector", nodeId=root, selector=where)["nodeId"]
        self("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def picture(self, *, whole: bool = False) -> bytes:
        """The page as PNG: what the window shows, or the whole of it."""
        shot = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])


def mouse(what: str, x: float, y: float) -> tuple[str, dict[str, Any]]:
    """The command for an event of a mouse."""
    kinds = {"Start": "mousePressed", "Move": "mouseMoved", "End": "mouseReleased"}
    held = {"button": "left", "buttons": 1, "clickCount": 1}
    return "Input.dispatchMouseEvent", {"type": kinds[what], "x": x, "y": y, **held}


def finger(what: str, x: float, y: float) -> tuple[str, dict[str, Any]]:
    """The command for an event of a finger."""
    points = [] if what == "End" else [{"x": x, "y": y}]
    return "Input.dispatchTouchEvent", {"type": f"touch{what}", "touchPoints": points}
