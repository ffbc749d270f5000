"""What learners say of inputs: the answers to `predict` and `learn`."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image

from quickstudy.data.inputs import Inputs
from quickstudy.errors import UserError
from quickstudy.numbers import FALSE_ALARMS
from quickstudy.open_set import Reference
from quickstudy.serving.adapted import Adapted
from quickstudy.serving.left_out import LeftOut, Measured, folds, measured
from quickstudy.serving.server import schemas
from quickstudy.serving.server.learners import ServedLearner
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.padded import Compared, adapted, by_steps, compare, softmax
from quickstudy.serving.server.reading import BadInput, Item, TooMuch, kind_of, read

UNKNOWN = "unknown"
NO_NUMBERS = "gives no numbers: is it in the units of the training?"


def scores(known: Reference | None, found: Compared) -> list[float | None]:
    """The score of each input; None where there is no reference."""
    if known is None:
        return [None] * len(found.logits)
    return [float(score) for score in known.score(found.features, found.differences)]


def without_numbers(p: np.ndarray) -> int | None:
    """The first row that holds something else than numbers, if there is one."""
    return next(iter(np.flatnonzero(~np.isfinite(p).all(1)).tolist()), None)


def predictions(one: Adapted, names: Sequence[str], x: np.ndarray) -> list[schemas.Prediction]:
    """What a model says of inputs with these names. Raises `BadInput` where it gives no numbers."""
    found = compare(one.predictor, one.seen, x, len(one.names), len(one.examples))
    labels, every = np.repeat(one.names, one.counts), softmax(found.logits, one.temperature)
    if (at := without_numbers(every)) is not None:
        raise BadInput(f"input {names[at]} {NO_NUMBERS}", names[at])
    said = []
    for name, p, score, near in zip(
        names,
        every,
        scores(one.known, found),
        found.near,
        strict=True,
    ):
        unknown = score is not None and score <= one.false_alarms
        k = int(np.argmax(p))
        said.append(
            schemas.Prediction(
                name,
                UNKNOWN if unknown else one.names[k],
                float(p[k]),
                dict(zip(one.names, map(float, p), strict=True)),
                unknown,
                score,
                [schemas.Near(one.examples[i], str(labels[i])) for i in near],
            )
        )
    return said


def left_out(
    one: ServedLearner, x: np.ndarray, counts: Sequence[int], spread: np.ndarray
) -> LeftOut | None:
    """Ask a learner about examples that are left out of a set sorted by class, as `leave_out` does;
    None where each class has one."""
    y = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    parts: list[Compared] = []
    order = folds(np.asarray(counts))
    for fold in order:
        told = y.copy()
        told[fold] = -1
        made = adapted(one.learner, one.room.padded(x, told), one.room.classes)
        parts.append(compare(*made, x[fold], len(counts), len(y)))
    if not parts:
        return None
    logits, features, differences = (
        np.concatenate([getattr(part, word) for part in parts])
        for word in ("logits", "features", "differences")
    )
    return LeftOut(logits, y[np.concatenate(order)], features, differences, spread)


def learn(
    learners: Sequence[ServedLearner], request: schemas.Learn, limits: Limits
) -> schemas.Learnt:
    """Let each learner learn from the examples of a request and answer its queries. Raises
    `UserError` where there are no examples, or an input cannot be read."""
    if not request.examples:
        raise UserError("there are no examples to learn from")
    count = len(request.examples) + len(request.queries)
    if count > limits.most_inputs:
        raise TooMuch(f"there are {count} inputs: at most {limits.most_inputs} in a request")
    classes = list(dict.fromkeys(example.name for example in request.examples))
    place = {name: i for i, name in enumerate(classes)}
    y = np.array([place[example.name] for example in request.examples], np.int32)
    items = [Item(f"example {i}", one.input) for i, one in enumerate(request.examples, 1)]
    items += [Item(f"query {i}", value) for i, value in enumerate(request.queries, 1)]
    x_of: list[tuple[Inputs, np.ndarray]] = []
    answers = []
    for one in learners:
        x = next((x for inputs, x in x_of if inputs == one.inputs), None)
        if x is None:
            x = read(one.inputs, items, limits)
            x_of.append((one.inputs, x))
        answers.append(_answer(one, classes, x[: len(y)], y, x[len(y) :], request.measure))
    seen = None
    if request.show and kind_of(x_of[0][0]) == "pictures" and x_of[0][1].ndim == 4:
        pictures = [as_png(one) for one in x_of[0][1]]
        seen = schemas.Pictures(pictures[: len(y)], pictures[len(y) :])
    return schemas.Learnt(classes, answers, seen)


def _answer(
    one: ServedLearner,
    classes: list[str],
    x: np.ndarray,
    y: np.ndarray,
    queries: np.ndarray,
    measure: bool,
) -> schemas.Answer:
    """What one learner says."""
    refused = one.refusal(len(classes), len(y))
    answer = schemas.Answer(one.name, one.method, refused, None, [], None, 0.0)
    if refused is not None:
        return answer
    began = time.perf_counter()
    support = one.room.padded(x, y)
    predictor, seen = adapted(one.learner, support, one.room.classes)
    counts = np.bincount(y)
    known = one.reference(len(classes), int(np.median(counts)))
    row: Measured | None = None
    if measure:
        order = np.argsort(y, kind="stable")
        spread = np.asarray(seen.appearance)[: len(y)].std(0)
        left = left_out(one, x[order], counts.tolist(), spread)
        if left is not None and without_numbers(left.logits) is not None:
            answer.refused = f"an example {NO_NUMBERS}"
            return answer
        if left is not None:
            (row,) = measured({one.method: left})
            answer.left_out = schemas.LeftOutRow(**vars(row))
    temperature = 1.0 if row is None else row.temperature
    answer.threshold = None if known is None else FALSE_ALARMS
    if len(queries):
        found = compare(predictor, seen, queries, len(classes), len(y))
        steps = None
        if "steps" in one.shows:
            steps = by_steps(one.learner, support, one.room, queries, len(classes))
        p, score = softmax(found.logits, temperature), scores(known, found)
        if (at := without_numbers(p)) is not None:
            answer.refused = f"query {at + 1}, or an example, {NO_NUMBERS}"
            return answer
        for i in range(len(queries)):
            answer.queries.append(_said(classes, y, found, i, p[i], score[i], steps))
    answer.milliseconds = round(1e3 * (time.perf_counter() - began), 2)
    return answer


def _said(
    classes: list[str],
    y: np.ndarray,
    found: Compared,
    i: int,
    p: np.ndarray,
    score: float | None,
    steps: np.ndarray | None,
) -> schemas.Said:
    """What one learner says of query number i."""
    unknown, k = score is not None and score <= FALSE_ALARMS, int(np.argmax(p))
    near = [
        schemas.NearPlace(int(at), classes[y[at]], float(far))
        for at, far in zip(found.near[i], found.far[i], strict=True)
    ]
    return schemas.Said(
        UNKNOWN if unknown else classes[k],
        float(p[k]),
        p.tolist(),
        unknown,
        score,
        near,
        None if found.attention is None else found.attention[i].tolist(),
        None if steps is None else softmax(steps[:, i]).tolist(),
    )


def as_png(x: np.ndarray) -> str:
    """A picture of numbers from 0 to 1, (height, width, channels), as PNG in base64."""
    pixels = np.round(255 * np.clip(x, 0, 1)).astype(np.uint8)
    return png(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def png(pixels: np.ndarray) -> str:
    """A picture of bytes, (height, width) or (height, width, 3), as PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
