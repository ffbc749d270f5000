"""The files of the playground and of the page about the interface, from the package."""

from __future__ import annotations

import hashlib
import mimetypes
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FOLDER = resources.files("quickstudy") / "serving" / "server"
FIRST = {"": "index.html", "docs": "docs.html"}
TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}


async def page(request: Request) -> Response:
    """A file. Its name is looked up among those that are there: it never becomes a path."""
    asked = request.path_params.get("file", "")
    name = str(FIRST.get(asked, asked))
    for folder in ("page", "docs"):
        for file in (FOLDER / folder).iterdir():
            if file.name == name and file.is_file() and not name.startswith((".", "_")):
                return _answer(request, name, file.read_bytes())
    raise HTTPException(404)


def _answer(request: Request, name: str, content: bytes) -> Response:
    """The file, or that it has not changed."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    suffix = name[name.rfind(".") :]
    kind = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(content, headers=headers, media_type=kind)
