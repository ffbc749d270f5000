"""Learners that are ready to adapt to what requests bring: their programs are compiled, and it is
known whether padded sets give them the answers of the sets themselves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.checkpoint import DamagedFile
from quickstudy.data.inputs import Inputs, TokenShape
from quickstudy.errors import UserError
from quickstudy.learner import Learner
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.likelihood import Categorical
from quickstudy.open_set import Reference
from quickstudy.runs.known import known_header, known_in
from quickstudy.runs.saved import SavedRun, shipped_learners
from quickstudy.serving.checks import inductive, served
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.padded import (
    QUERIES,
    Room,
    adapted,
    by_steps,
    compare,
    same_answers,
)
from quickstudy.serving.server.reading import takes
from quickstudy.serving.server.schemas import LearnerCard, Trained
from quickstudy.settings.run import RunSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples

NEIGHBOUR = "nearest neighbour"
WAY, SHOTS = 5, (1, 5)
"""Numbers of classes (where a run has none) and of examples of each at which known inputs of a run
are looked at."""


@dataclass(frozen=True, eq=False)
class ServedLearner:
    """A learner, and how requests use it."""

    name: str
    """What requests call it."""
    learner: Learner
    settings: RunSettings
    """Of its run, with the inputs that it takes."""
    problem: TaskSpec
    room: Room
    """The largest set that it adapts to."""
    known: tuple[dict[str, Any], ...] = ()
    """What known inputs are like to it (`runs.known.known_in`)."""
    provenance: dict[str, Any] | None = None
    """Of its run."""
    shows: tuple[Literal["steps", "attention"], ...] = ()
    cannot: tuple[str, ...] = ()
    """A sentence for each thing that it cannot do."""
    adapts: bool = True

    @property
    def inputs(self) -> Inputs:
        """What it takes."""
        assert self.settings.tasks.inputs is not None
        return self.settings.tasks.inputs

    @property
    def method(self) -> str:
        """The kind of learner."""
        return NEIGHBOUR if self.name == NEIGHBOUR else self.settings.learner.name

    def reference(self, way: int, shot: int) -> Reference | None:
        """What known inputs are like to it, in sets of about this size; None where that is not
        known."""
        return known_in(list(self.known), way, shot) if self.known else None

    def refusal(self, classes: int, examples: int) -> str | None:
        """Say why it cannot adapt to so many classes and examples; None where it can."""
        if not self.adapts:
            return self.cannot[0]
        if classes > self.room.classes:
            return f"{self.name} takes at most {self.room.classes} classes; there are {classes}"
        if examples > self.room.sizes[-1]:
            return f"{self.name} takes at most {self.room.sizes[-1]} examples; there are {examples}"
        return None

    def card(self) -> LearnerCard:
        """Describe it."""
        trained = None if self.name == NEIGHBOUR else trained_by(self.settings, self.provenance)
        return LearnerCard(
            self.name,
            self.method,
            takes(self.inputs),
            self.room.classes if self.adapts else 0,
            self.room.sizes[-1] if self.adapts else 0,
            list(self.shows),
            list(self.cannot),
            trained,
        )


def trained_by(settings: RunSettings, provenance: dict[str, Any] | None) -> Trained:
    """Describe a run."""
    tasks = settings.tasks
    return Trained(tasks.tasks, tasks.way, tasks.shot, settings.training.steps, provenance)


def shipped(limits: Limits) -> list[ServedLearner]:
    """The learners of pictures that come with the package, and nearest neighbour on the same
    pictures; not yet warm."""
    found = []
    for name in shipped_learners():
        saved = SavedRun.shipped(name)
        if "inputs" in saved.header and len(saved.problem.shape) == 3:
            found.append(of_run(name, saved, limits))
    if not found:
        raise DamagedFile("the package has lost its learners: install it anew")
    return [*found, neighbour(found[0])]


def of_run(name: str, saved: SavedRun, limits: Limits) -> ServedLearner:
    """The learner of a run. Raises `UserError` where it is one of functions, of descriptions or of
    words around a blank."""
    if not isinstance(saved.problem.likelihood, Categorical):
        raise UserError(f"{saved.file} learned regression: serve is for classes")
    if saved.problem.description is not None:
        raise UserError(f"{saved.file} learns classes from descriptions: serve takes examples")
    inputs = served(saved.settings, saved.problem)
    settings, learner = inductive(saved)
    tasks = dataclasses.replace(settings.tasks, inputs=inputs)
    settings = dataclasses.replace(settings, tasks=tasks)
    known = saved.header.get("known")
    if known is None:
        known = _known(settings, learner)
    provenance = saved.header.get("provenance")
    room = Room.of(limits.most_examples, limits.most_classes)
    return ServedLearner(name, learner, settings, saved.problem, room, tuple(known), provenance)


def _known(settings: RunSettings, learner: Learner) -> list[dict[str, Any]]:
    """What known inputs are like to a run's learner; nothing where its data is not there."""
    if learner.transductive:
        return []
    try:
        return known_header(settings, learner, settings.tasks.way or WAY, SHOTS)
    except UserError:
        return []


def neighbour(like: ServedLearner) -> ServedLearner:
    """Nearest neighbour on the inputs of a learner, which learns nothing."""
    room = Room(like.room.sizes, max(like.room.classes, 2))
    return ServedLearner(NEIGHBOUR, NearestNeighbour(), like.settings, like.problem, room)


def warm(one: ServedLearner) -> ServedLearner:
    """Compile all programs of a learner, and of the nearest neighbour that its models are compared
    with, and find out what it can do."""
    learner, trained = one.learner, one.problem.likelihood.size
    if learner.transductive:
        return _unable(one, "its predictions depend on the other inputs given with them")
    ways = next((k for k in (one.room.classes, trained) if _takes(one, k)), None)
    if ways is None:
        return _unable(one, f"it takes neither {one.room.classes} classes nor {trained}")
    room, cannot = Room(one.room.sizes, min(ways, one.room.classes)), []
    if ways > one.room.classes:
        return _unable(one, f"it needs {ways} classes, and the server has room for fewer")
    if ways == trained < one.room.classes:
        cannot.append(
            f"{one.name} takes at most {trained} classes: its last layer has {trained} outputs"
        )
    try:
        if not same_answers(learner, room, noise(one.problem.shape)):
            return _unable(one, "its answers depend on unlabelled examples, with which sets are "
                           "filled up: use quickstudy adapt, and serve the file")  # fmt: skip
    except ValueError as error:
        return _unable(one, f"sets cannot be filled up for it ({error})")
    one = dataclasses.replace(one, room=room, shows=_shows(learner, room, one), cannot=(*cannot,))
    if one.name != NEIGHBOUR:
        warm(neighbour(one))
    return one


def _unable(one: ServedLearner, why: str) -> ServedLearner:
    """A learner that adapts to nothing here."""
    said = f"{one.name} cannot adapt on the server: {why}"
    return dataclasses.replace(one, adapts=False, cannot=(said,))


def _takes(one: ServedLearner, ways: int) -> bool:
    """Whether a learner adapts to so many classes."""
    shape = one.problem.shape
    x = jax.ShapeDtypeStruct((4, *shape), noise(shape).dtype)
    y = jax.ShapeDtypeStruct((4,), jnp.int32)

    def logits(learner: Learner, x: Any, y: Any) -> Any:
        predictor = learner.adapt(Examples(x, y), Categorical(ways), key=jax.random.key(0))
        return predictor(x)

    try:
        return eqx.filter_eval_shape(logits, one.learner, x, y).shape == (4, ways)
    except (ValueError, TypeError):
        return False


def _shows(learner: Learner, room: Room, one: ServedLearner) -> tuple[Any, ...]:
    """What a learner tells beside its answer; compiles what is left to compile."""
    x, found = noise(one.problem.shape), set()
    for size in room.sizes:
        support = Room((size,), room.classes).padded(x[:2], np.array([0, 1], np.int32))
        predictor, seen = adapted(learner, support, room.classes)
        for count in QUERIES:
            if compare(predictor, seen, x[:count], 2, 2).attention is not None:
                found.add("attention")
        if by_steps(learner, support, room, x[:1], 2) is not None:
            found.add("steps")
    return tuple(sorted(found))


def noise(shape: tuple[int, ...]) -> np.ndarray:
    """Some inputs (32, …) of a shape: numbers from 0 to 1, or tokens."""
    rng = np.random.default_rng(0)
    if isinstance(shape, TokenShape):
        return rng.integers(0, shape.vocabulary, (QUERIES[-1], *shape), dtype=np.int32)
    return rng.uniform(size=(QUERIES[-1], *shape)).astype(np.float32)
