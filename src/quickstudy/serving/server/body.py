"""The bodies of requests: JSON, or forms with files. They are read into memory, never to a disk."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from quickstudy.errors import UserError
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.reading import Item, TooMuch
from quickstudy.serving.server.work import Busy

JSON, FORM = "application/json", "multipart/form-data"
BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
DISPOSITION = re.compile(rb'(?<![\w*])([\w*]+)="((?:[^"\\]|\\.)*)"')
MOST_PARTS = 10_000
MOST_BODIES = 16
"""Of the largest size, that all requests hold together."""
MOST_HEAD = 8192
"""Bytes before the content of a part."""

Wanted = TypeVar("Wanted")


class BadRequest(UserError):
    """A body that is not what the address takes."""


class WrongType(UserError):
    """A body of another type than the address takes."""


class TooSlow(UserError):
    """A body that did not arrive in time."""


@dataclass(frozen=True)
class Part:
    """A part of a form."""

    name: str
    file: str | None
    """The name of the file; None where the part is a value."""
    content: bytes


async def whole(request: Request, limits: Limits) -> bytes:
    """The body of a request. Raises `TooMuch`, `TooSlow` or `BadRequest`, and `Busy` where all
    requests hold too much."""
    too_large = TooMuch(f"the body is larger than {limits.most_megabytes:g} MB")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said[:20]) > limits.most_bytes:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.most_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.most_bytes:
                    raise too_large
                request.state.held += len(chunk)
                request.app.state.held += len(chunk)
                if request.app.state.held > MOST_BODIES * limits.most_bytes:
                    raise Busy("the bodies of other requests fill the memory for them")
                parts.append(chunk)
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {limits.most_seconds:g} seconds") from None
    except ClientDisconnect:
        raise BadRequest("the client went away before the body was there") from None
    return b"".join(parts)


def type_of(request: Request) -> str:
    """`JSON` or `FORM`. Raises `WrongType` for anything else."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in (JSON, FORM):
        raise WrongType(f"the body is {found or 'of no type'}: send {JSON}, or {FORM} with files")
    return found


def of_json(body: bytes, kind: type[Wanted]) -> Wanted:
    """Read JSON. Raises `BadRequest` where it is none, or not of this kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        said = "it is too deep" if isinstance(error, RecursionError) else error
        raise BadRequest(f"the body is not what this address takes: {said}") from None


def of_form(body: bytes, request: Request) -> list[Part]:
    """Read the parts of a form (RFC 7578). Raises `BadRequest` where it is none."""
    found = BOUNDARY.search(request.headers.get("content-type", ""))
    if found is None:
        raise BadRequest("the form has no boundary")
    mark = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    _, *parts = (b"\r\n" + body).split(b"\r\n" + mark, MOST_PARTS)
    if not parts or not parts[-1].startswith(b"--"):
        raise BadRequest("the form has no end: its last line is not its boundary with --")
    return [_part(part) for part in parts[:-1]]


def _part(part: bytes) -> Part:
    head, blank, content = part.lstrip(b" \t").partition(b"\r\n\r\n")
    if not blank:
        raise BadRequest("a part of the form has no head")
    if len(head) > MOST_HEAD:
        raise BadRequest(f"the head of a part has more than {MOST_HEAD:,} bytes")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            found = dict(DISPOSITION.findall(value))
            if b"name" in found:
                file = found.get(b"filename")
                return Part(_text(found[b"name"]), None if file is None else _text(file), content)
    raise BadRequest("a part of the form has no name")


def _text(quoted: bytes) -> str:
    """What stands in quotes, as browsers and curl write it."""
    text = re.sub(rb"\\(.)", rb"\1", quoted).decode("utf-8", "replace")
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def files(parts: list[Part]) -> list[tuple[str, Item]]:
    """The files of a form, with the names of their parts."""
    return [
        (part.name, Item(part.file or str(i), part.content))
        for i, part in enumerate(parts, 1)
        if part.file is not None
    ]


def value(parts: list[Part], name: str) -> str | None:
    """A value of a form; None where it has none of this name. Raises `BadRequest` where it has
    other values than those that addresses take."""
    for part in parts:
        if part.file is None and part.name not in ("learner", "false_alarms"):
            raise BadRequest(f"the part {part.name!r} has no file name: is it a picture?")
    found = [part for part in parts if part.file is None and part.name == name]
    return found[-1].content.decode("utf-8", "replace").strip() if found else None
