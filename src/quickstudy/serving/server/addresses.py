"""What each address does: it takes a request apart, lets the worker do what takes time, and puts
the answer together. docs/serving.md has the interface."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quickstudy.errors import UserError
from quickstudy.numbers import FALSE_ALARMS, require_rate
from quickstudy.serving.server import asking, body, schemas
from quickstudy.serving.server.body import BadRequest, WrongType
from quickstudy.serving.server.characters import MOST_CHARACTERS, MOST_DRAWINGS, HeldOut
from quickstudy.serving.server.learners import NEIGHBOUR, ServedLearner
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.making import Conflict, Model, in_file
from quickstudy.serving.server.models import Missing, Models
from quickstudy.serving.server.openapi import document
from quickstudy.serving.server.reading import BadInput, Item, kind_of, read
from quickstudy.serving.server.work import Work
from quickstudy.serving.support_set import SupportSet
from quickstudy.terminal import collected

Out = TypeVar("Out")


@dataclass
class Server:
    """What all addresses share."""

    models: Models
    learners: dict[str, ServedLearner]
    neighbours: dict[tuple[int, ...], ServedLearner]
    """Nearest neighbour, by the shape of the inputs."""
    held_out: HeldOut
    limits: Limits
    work: Work = field(init=False)
    compiled: int = 0
    """Programs that were compiled since it was ready."""

    def __post_init__(self):
        self.work = Work(self.limits.most_waiting, self.limits.most_seconds)

    def learner(self, name: str) -> ServedLearner:
        """The learner of this name. Raises `Missing` where there is none."""
        if (found := self.learners.get(name)) is None:
            raise Missing(f"there is no learner {name!r}; there are: {', '.join(self.learners)}")
        return found


def of(request: Request) -> Server:
    """The server of a request."""
    return request.app.state.server


async def done(request: Request, function: Callable[..., Out], *arguments: Any) -> Out:
    """What the worker makes for a request."""
    return await of(request).work.do(function, *arguments, began=request.state.began)


def answer(value: Any, status: int = 200) -> Response:
    """An answer of JSON."""
    return Response(msgspec.json.encode(value), status, media_type=body.JSON)


async def health(request: Request) -> Response:
    """Whether the server is ready."""
    server = of(request)
    return answer(
        schemas.Health(
            "ok",
            metadata.version("quickstudy"),
            list(server.models.by_name),
            list(server.learners),
            server.work.waiting,
            server.compiled,
        )
    )


async def openapi(request: Request) -> Response:
    """This interface as OpenAPI."""
    return answer(document())


async def cards(request: Request) -> Response:
    """All models."""
    models = list(of(request).models.by_name.values())
    return answer(schemas.Cards([model.card() for model in models]))


async def card(request: Request) -> Response:
    """One model."""
    return answer(of(request).models.get(request.path_params["name"]).card())


async def file(request: Request) -> Response:
    """A model as a file, for `quickstudy predict` and `update`."""
    model = of(request).models.get(request.path_params["name"])
    content = await done(request, in_file, model)
    headers = {"content-disposition": f'attachment; filename="{model.name}.qs"'}
    return Response(content, headers=headers, media_type="application/octet-stream")


async def learners(request: Request) -> Response:
    """All learners."""
    return answer(schemas.LearnerCards([one.card() for one in of(request).learners.values()]))


async def predict(request: Request) -> Response:
    """Answer about inputs."""
    server = of(request)
    model = server.models.get(request.path_params["name"])
    kind, content = body.type_of(request), await body.whole(request, server.limits)

    def work() -> schemas.Predictions:
        if kind == body.FORM:
            items = [item for _, item in body.files(body.of_form(content, request))]
            if not items:
                raise BadRequest("the form has no file")
        else:
            items = numbered(body.of_json(content, schemas.Predict).inputs)
        with collected() as warnings:
            x = read(model.adapted.inputs, items, server.limits)
        said = asking.predictions(model.adapted, [item.name for item in items], x) if items else []
        one = model.adapted
        threshold = None if one.known is None else one.false_alarms
        return schemas.Predictions(model.name, threshold, said, warnings)

    return answer(await done(request, work))


async def adapt(request: Request) -> Response:
    """Adapt a learner to the examples of a request."""
    server, name = of(request), request.path_params["name"]
    there = server.models.by_name.get(name)
    kind, content = body.type_of(request), await body.whole(request, server.limits)

    def work() -> schemas.Card:
        asked = _adapt_of_form(content, request) if kind == body.FORM else None
        asked = asked or body.of_json(content, schemas.Adapt)
        if asked.learner is not None:
            learner = server.learner(asked.learner)
        elif there is not None and there.learner is not None:
            learner = there.learner
        else:
            learner = next(iter(server.learners.values()))
        if learner.name == NEIGHBOUR:
            raise Conflict(f"{NEIGHBOUR} is there for comparison: adapt another learner")
        rate = FALSE_ALARMS if asked.false_alarms is None else asked.false_alarms
        with collected() as warnings:
            support = labelled(learner, asked.classes, server.limits)
            model = server.models.put(name, learner, support, rate)
        return with_warnings(model, warnings)

    return answer(await done(request, work), 200 if there is not None else 201)


def _adapt_of_form(content: bytes, request: Request) -> schemas.Adapt:
    parts = body.of_form(content, request)
    rate = body.value(parts, "false_alarms")
    try:
        number = None if rate is None else float(rate)
        if number is not None:
            require_rate(number)
    except (ValueError, UserError):
        raise BadRequest(f"false_alarms is {rate!r}: it is a share, between 0 and 1") from None
    return schemas.Adapt(by_class(parts), body.value(parts, "learner"), number)


async def add(request: Request) -> Response:
    """Add examples to a model."""
    server, name = of(request), request.path_params["name"]
    server.models.get(name)
    kind, content = body.type_of(request), await body.whole(request, server.limits)

    def work() -> schemas.Card:
        if kind == body.FORM:
            classes = by_class(body.of_form(content, request))
        else:
            classes = body.of_json(content, schemas.Add).classes
        before = server.models.get(name)
        if before.learner is None:
            raise Conflict(before.card().cannot[0])
        with collected() as warnings:
            added = labelled(before.learner, classes, server.limits)
            model = server.models.add(name, before, added.x, added.labels, added.examples)
        return with_warnings(model, warnings)

    return answer(await done(request, work))


async def remove_class(request: Request) -> Response:
    """Take a class away from a model."""
    server, label = of(request), request.path_params["label"]

    def work() -> schemas.Card:
        with collected() as warnings:
            model = server.models.remove_class(request.path_params["name"], label)
        return with_warnings(model, warnings)

    return answer(await done(request, work))


async def remove(request: Request) -> Response:
    """Forget a model that requests made."""
    await done(request, of(request).models.remove, request.path_params["name"])
    return Response(status_code=204)


async def learn(request: Request) -> Response:
    """Learn and answer, and keep nothing."""
    server = of(request)
    if body.type_of(request) != body.JSON:
        raise WrongType(f"send {body.JSON}")
    content = await body.whole(request, server.limits)

    def work() -> schemas.Learnt:
        asked = body.of_json(content, schemas.Learn)
        names = asked.learners
        if names is None:
            every = server.learners.values()
            names = [one.name for one in every if kind_of(one.inputs) == "pictures"]
        if not names:
            raise BadRequest("learners is empty: name one, or leave it out")
        chosen = [server.learner(name) for name in dict.fromkeys(names)]
        others = [one for one in chosen if one.name != NEIGHBOUR]
        if (
            len(chosen) > len(others) > 0
        ):  # it compares the inputs that the first of the others takes
            first = others[0]
            near = server.neighbours[tuple(first.problem.shape)]
            near = replace(near, settings=first.settings, problem=first.problem)
            chosen = [near if one.name == NEIGHBOUR else one for one in chosen]
        return asking.learn(chosen, asked, server.limits)

    return answer(await done(request, work))


async def characters(request: Request) -> Response:
    """Some characters to try."""
    count = whole_number(request, "count", 1, MOST_CHARACTERS, 3)
    drawings = whole_number(request, "drawings", 1, MOST_DRAWINGS, 5)
    seed = whole_number(request, "seed", 0, 2**53, secrets.randbelow(2**53))
    return answer(await done(request, of(request).held_out.some, count, drawings, seed))


def whole_number(request: Request, name: str, least: int, most: int, default: int) -> int:
    """A number of the address. Raises `BadRequest` where it is none, or out of range."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,17}", text) or not least <= int(text) <= most:
        raise BadRequest(f"{name} is a whole number from {least} to {most}")
    return int(text)


def numbered(values: Sequence[Any]) -> list[Item]:
    """Inputs by their places, from 1."""
    return [Item(str(i), value) for i, value in enumerate(values, 1)]


def by_class(parts: list[body.Part]) -> dict[str, list[Any]]:
    """The files of a form, by the names of their parts."""
    found: dict[str, list[Any]] = {}
    for name, item in body.files(parts):
        found.setdefault(name, []).append(item)
    return found


def labelled(learner: ServedLearner, classes: dict[str, list[Any]], limits: Limits) -> SupportSet:
    """Read the examples of each class. Raises `BadInput` where a class has none, or no name."""
    items, labels = [], []
    for name, values in classes.items():
        label = " ".join(name.split())
        if not label or "\0" in label:
            raise BadInput(f"{name!r} is no name for a class", name)
        if not values:
            raise BadInput(f"the class {name!r} has no examples", name)
        for i, one in enumerate(values, 1):
            file = one if isinstance(one, Item) else None
            items.append(Item(f"{label}/{file.name if file else i}", file.value if file else one))
            labels.append(label)
    if not items:
        raise BadInput("there are no examples", "classes")
    x = read(learner.inputs, items, limits)
    return SupportSet.of(x, labels, [item.name for item in items])


def with_warnings(model: Model, warnings: list[str]) -> schemas.Card:
    """The card of a model that was made, and what to know of it."""
    return msgspec.structs.replace(model.card(), warnings=warnings)
