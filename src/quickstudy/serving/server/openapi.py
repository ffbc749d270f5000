"""The interface as OpenAPI 3.1, made of `schemas.py`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import msgspec

from quickstudy.serving.server import schemas

REF = "#/components/schemas/{name}"
FILES = "Files: the name of a part is the class; parts without a file name are values."


@dataclass(frozen=True)
class Operation:
    """What one method of one address does."""

    method: str
    path: str
    summary: str
    answer: type | None
    request: type | None = None
    form: str = ""
    """What the parts of a form are, where it takes one."""
    errors: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    made: bool = False
    """Whether it may answer 201."""


OPERATIONS = (
    Operation("get", "/health", "Whether the server is ready", schemas.Health),
    Operation("get", "/v1/models", "All models", schemas.Cards),
    Operation("get", "/v1/models/{name}", "One model", schemas.Card, errors=(404,)),
    Operation("get", "/v1/models/{name}/file", "One model as a file", bytes, errors=(404, 503)),
    Operation(
        "put",
        "/v1/models/{name}",
        "Adapt a learner to examples",
        schemas.Card,
        schemas.Adapt,
        FILES,
        (400, 404, 408, 409, 413, 415, 422, 503),
        made=True,
    ),
    Operation("delete", "/v1/models/{name}", "Forget a model", None, errors=(404, 409, 503)),
    Operation(
        "post",
        "/v1/models/{name}/predict",
        "Answer about inputs",
        schemas.Predictions,
        schemas.Predict,
        "Files: one part for each picture.",
        (400, 404, 408, 413, 415, 422, 503),
    ),
    Operation(
        "post",
        "/v1/models/{name}/classes",
        "Add classes, and examples to classes",
        schemas.Card,
        schemas.Add,
        FILES,
        (400, 404, 408, 409, 413, 415, 422, 503),
    ),
    Operation(
        "delete",
        "/v1/models/{name}/classes/{class}",
        "Remove a class",
        schemas.Card,
        errors=(404, 409, 503),
    ),
    Operation("get", "/v1/learners", "All learners", schemas.LearnerCards),
    Operation(
        "post",
        "/v1/learn",
        "Learn from examples and answer queries; keep nothing",
        schemas.Learnt,
        schemas.Learn,
        errors=(400, 404, 408, 413, 415, 422, 503),
    ),
    Operation(
        "get",
        "/v1/characters",
        "Characters that no learner of the package was trained on",
        schemas.Characters,
        errors=(400, 503),
        query=("count", "drawings", "seed"),
    ),
)
WORDS = {
    400: "the body is not what the address takes",
    404: "there is no such model, learner or class",
    408: "the body did not arrive in time",
    409: "the model cannot be changed so",
    413: "more than a limit allows",
    415: "the body is of another type",
    422: "an input is not what the model takes",
    503: "too much to do: come again after Retry-After seconds",
}


@functools.cache
def document() -> dict[str, Any]:
    """The whole document, as plain JSON values."""
    kinds = [kind for kind in vars(schemas).values() if isinstance(kind, type)]
    structs = [kind for kind in kinds if issubclass(kind, msgspec.Struct) and kind.__doc__]
    structs = [kind for kind in structs if kind.__module__ == schemas.__name__]
    _, components = msgspec.json.schema_components(structs, ref_template=REF)
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "quickstudy",
            "version": metadata.version("quickstudy"),
            "description": "Adapted learners over HTTP.",
        },
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items()))},
    }


def _operation(one: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {"204": {"description": "done"}}
    if one.answer is not None:
        said = {"description": one.summary, "content": _json(one.answer)}
        responses = {"200": said} | ({"201": said} if one.made else {})
    for status in one.errors:
        responses[str(status)] = {"description": WORDS[status], "content": _json(schemas.Refusal)}
    found: dict[str, Any] = {
        "summary": one.summary,
        "operationId": f"{one.method}{one.path}".replace("/", "_").strip("_{}"),
        "responses": responses,
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("name", "class")
        if f"{{{name}}}" in one.path
    ] + [{"name": name, "in": "query", "schema": {"type": "integer"}} for name in one.query]
    if parameters:
        found["parameters"] = parameters
    if one.request is not None:
        content = _json(one.request)
        if one.form:
            content["multipart/form-data"] = {"schema": {"type": "object", "description": one.form}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _json(kind: type) -> dict[str, Any]:
    if kind is bytes:
        return {"application/octet-stream": {}}
    return {"application/json": {"schema": {"$ref": REF.format(name=kind.__name__)}}}
