"""The server as an application: its addresses, and what is answered where a request is wrong."""

from __future__ import annotations

import time
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quickstudy.errors import UserError
from quickstudy.serving.server import addresses
from quickstudy.serving.server.addresses import Server
from quickstudy.serving.server.body import BadRequest, TooSlow, WrongType
from quickstudy.serving.server.guard import refused
from quickstudy.serving.server.making import Conflict
from quickstudy.serving.server.models import Missing
from quickstudy.serving.server.pages import page
from quickstudy.serving.server.reading import BadInput, TooMuch
from quickstudy.serving.server.work import Busy

STATUS = {
    BadRequest: 400,
    Missing: 404,
    TooSlow: 408,
    Conflict: 409,
    TooMuch: 413,
    WrongType: 415,
    BadInput: 422,
    UserError: 422,
}
RETRY_AFTER = "1"


def application(server: Server) -> Starlette:
    """Put the addresses together."""
    routes = [
        ("/health", "GET", addresses.health),
        ("/openapi.json", "GET", addresses.openapi),
        ("/v1/models", "GET", addresses.cards),
        ("/v1/models/{name}", "GET", addresses.card),
        ("/v1/models/{name}", "PUT", addresses.adapt),
        ("/v1/models/{name}", "DELETE", addresses.remove),
        ("/v1/models/{name}/file", "GET", addresses.file),
        ("/v1/models/{name}/predict", "POST", addresses.predict),
        ("/v1/models/{name}/classes", "POST", addresses.add),
        ("/v1/models/{name}/classes/{label:path}", "DELETE", addresses.remove_class),
        ("/v1/learners", "GET", addresses.learners),
        ("/v1/learn", "POST", addresses.learn),
        ("/v1/characters", "GET", addresses.characters),
        ("/", "GET", page),
        ("/{file}", "GET", page),
    ]
    by_path: dict[str, dict[str, Any]] = {}
    for path, method, endpoint in routes:
        by_path.setdefault(path, {})[method] = endpoint
    made = [
        Route(path, _by_method(endpoints), methods=list(endpoints))
        for path, endpoints in by_path.items()
    ]
    errors = {UserError: wrong, Busy: busy, HTTPException: not_there}
    app = Starlette(routes=made, exception_handlers=errors)  # pyright: ignore[reportArgumentType]
    app.router.redirect_slashes = False
    app.state.server = server
    app.state.held = 0  # bytes of bodies, of all requests
    return app


def _by_method(endpoints: dict[str, Any]) -> Any:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        request.state.began, request.state.held = time.monotonic(), 0
        try:
            return await endpoints[method](request)
        finally:
            request.app.state.held -= request.state.held

    return endpoint


async def wrong(request: Request, error: UserError) -> Response:
    """What is wrong with the input, in one line."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    which = error.which if isinstance(error, BadInput) else None
    headers = {"connection": "close"} if status in (408, 413) else {}
    return refused(status, str(error), which, **headers)


async def busy(request: Request, error: Busy) -> Response:
    """Too much to do."""
    return refused(503, str(error), **{"retry-after": RETRY_AFTER})


async def not_there(request: Request, error: HTTPException) -> Response:
    """No such address, or not with this method."""
    said = "there is nothing at this address"
    if error.status_code == 405:
        said = f"this address does not take {request.method}"
    return refused(error.status_code, said, **dict(error.headers or {}))
