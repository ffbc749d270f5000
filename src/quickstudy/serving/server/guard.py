"""Around every request: whom the server answers, what browsers may do with the answers, one line of
JSON a request on standard error."""

from __future__ import annotations

import ipaddress
import json
import sys
import time
import traceback
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quickstudy.serving.server.schemas import Refusal

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}


def log(**words: Any) -> None:
    """Write one line of JSON on standard error."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, **words}, default=str)
    print(line, file=sys.stderr, flush=True)


def refused(status: int, error: str, which: str | None = None, **headers: str) -> Response:
    """An answer that says in one line what is wrong."""
    body = msgspec.json.encode(Refusal(" ".join(error.split()), which))
    return Response(body, status, headers, "application/json")


class Guard:
    """An application, guarded.

    A page of another site may know a name that leads to this machine (DNS rebinding), or send a
    form to its address. So the `Host` of a request must be an address, `localhost` or one of
    `hosts`; and where a browser says which page a request comes from, that must be one of ours.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()):
        self.app = app
        self.hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        began, seen = time.perf_counter(), {"status": 0, "sent": 0}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.encode(), words.encode())
                        for name, words in HEADERS.items()
                        if name.encode() not in there
                    ),
                ]
            elif message["type"] == "http.response.body":
                seen["sent"] += len(message.get("body", b""))
            await send(message)

        words: dict[str, Any] = {}
        try:
            answer = self.refusal(scope) or self.app
            await answer(scope, receive, guarded)
        except Exception as error:
            words["error"] = "".join(traceback.format_exception(error))
            if not seen["status"]:
                await refused(500, "internal error")(scope, receive, guarded)
        finally:
            path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
            log(
                method=scope["method"],
                path=path[:500],
                status=seen["status"],
                milliseconds=round(1e3 * (time.perf_counter() - began), 1),
                bytes=seen["sent"],
                **words,
            )

    def refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is not meant for this server; None for others."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not self.knows(host):
            return refused(403, "this server has another name: add it with --name")
        origin = headers.get(b"origin")
        if origin is None or scope["method"] in ("GET", "HEAD"):
            return None
        try:
            page = urlsplit(origin.decode("latin-1")).netloc.lower()
        except ValueError:
            page = ""
        if page != host.lower():
            return refused(403, "the request comes from a page of another site")
        return None

    def knows(self, host: str) -> bool:
        """Whether `Host` is a name of this server."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
