"""Whatever field of a task distribution changes its tasks, tests on the two are not paired."""

import copy
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import quickstudy.tasks
from quickstudy.errors import UserError
from quickstudy.evaluation import Met, evaluate, paired_difference
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.task import Episode, Examples, FixedTasks, TaskDistribution
from quickstudy.tasks.any_shot import AnyShot
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.asking import Asked, AtRandom, LeastCertain
from quickstudy.tasks.cloze import BlankedWords, NoSentenceTwice, blanked_words
from quickstudy.tasks.completion import Completion
from quickstudy.tasks.cotraining import CoTraining
from quickstudy.tasks.distorted import Distorted, RandomlyTurned, Rotated, Warped
from quickstudy.tasks.few_shot import Batches, Draw, FewShot, FixedLabels
from quickstudy.tasks.finite import Finite
from quickstudy.tasks.gaussian_processes import GaussianProcesses
from quickstudy.tasks.glyphs import Glyphs
from quickstudy.tasks.groups import Groups
from quickstudy.tasks.mapped import MappedSource, RowNumbers
from quickstudy.tasks.mislabelled import Mislabelled
from quickstudy.tasks.open_set import OpenSet
from quickstudy.tasks.pairs import Pairs
from quickstudy.tasks.partly_labelled import PartlyLabelled
from quickstudy.tasks.problems.classification import Classifiers
from quickstudy.tasks.problems.functions import TestFunctions
from quickstudy.tasks.problems.logistic import LogisticRegressions
from quickstudy.tasks.problems.quadratics import Quadratics
from quickstudy.tasks.problems.several import SeveralKinds
from quickstudy.tasks.proportional import Proportional
from quickstudy.tasks.rows import RowsOfTasks
from quickstudy.tasks.sequences import Sequences
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.tasks.source import ClassSource, DescribedSource
from quickstudy.tasks.tables import SyntheticTables
from quickstudy.tasks.texts import TextSource
from quickstudy.tasks.within import Division, OneHand
from quickstudy.tasks.zero_shot import Described, ZeroShot

RNG = np.random.default_rng(0)
CLASSES, EACH = 9, 7
PICTURES = RNG.integers(0, 256, (CLASSES * EACH, 6, 6, 1)).astype(np.uint8)
FIRST, COUNT = EACH * np.arange(CLASSES), np.full(CLASSES, EACH)
SOURCE = ArraySource(PICTURES, FIRST, COUNT, {"data": "pictures"})
DIVISION = Division.of([f"group {k % 2}" for k in range(CLASSES)])
SENTENCES = [f"{a} {b} {c}".split() for a in "abcd" for b in "efgh" for c in "ijkl"]
BLANKED = blanked_words(
    SENTENCES, "aefi", {w: i for i, w in enumerate("abcdefghijkl", 2)}, {"data": "letters"}
)[0]
UNEQUAL = ArraySource(PICTURES, FIRST, np.arange(CLASSES) % 5 + 3, {"data": "pictures"})
PARTLY = PartlyLabelled(FewShot(SOURCE, 2, 3, 2), labelled=1, distractors=1)
FEW = FewShot(SOURCE, 3, 2, 2)
EXAMPLES = Examples(jnp.asarray(PICTURES), jnp.arange(len(PICTURES)) % 3)
MAPPED = object()
"""Stands for a source in a file, which a test makes."""

DISTRIBUTIONS: list[TaskDistribution] = [
    FEW,
    Batches(SOURCE, 3),
    PARTLY,
    FewShot(SOURCE, 3, 1, 1, OneHand(DIVISION)),
    Pairs(SOURCE, 2, DIVISION),
    AnyShot(FEW),
    Asked(PARTLY, AtRandom(), 1),
    FewShot(BLANKED, 2, 1, 1, NoSentenceTwice()),
    CoTraining(FEW, 3, 5),
    Completion(jnp.asarray(PICTURES), 5, 3, words=(("data", "pictures"),)),
    Finite(FEW, 3),
    FixedTasks(eqx.filter_vmap(FEW.sample)(jax.random.split(jax.random.key(0), 3)), ()),
    GaussianProcesses(3, 3),
    Groups(Sinusoid(2, 2), 2),
    Mislabelled(EXAMPLES, EXAMPLES, 3, 2),
    RowsOfTasks(
        jnp.asarray(RNG.normal(size=(9, 2))),
        jnp.asarray(RNG.normal(size=(9, 1))),
        jnp.asarray([0, 5]),
        jnp.asarray([5, 4]),
        shot=2,
        query=2,
    ),
    OpenSet(FewShot(SOURCE, 2, 1, 1)),
    Proportional(UNEQUAL, 3, 2, 2),
    Sequences(SOURCE, 2, 6),
    Sinusoid(2, 2),
    SyntheticTables(3, 6, 2, 2),
    ZeroShot(Described(SOURCE, RNG.normal(size=(CLASSES, 3))), 3, 1),
    Classifiers(jnp.asarray(PICTURES), EXAMPLES.y, kernels=(2,), hidden=(3,), batch=2),
    LogisticRegressions(2, 3),
    Quadratics(2),
    SeveralKinds(Quadratics(2), TestFunctions("ackley", 2)),
    TestFunctions("ackley", 2),
]

SOURCES: list[Any] = [
    SOURCE,
    TextSource(RNG.integers(1, 9, (len(PICTURES), 5)), FIRST, COUNT, {"data": "texts"}, range(9)),
    BLANKED,
    MAPPED,
    Rotated(SOURCE),
    RandomlyTurned(SOURCE),
    Warped(SOURCE, jnp.asarray(0.3), jnp.asarray(1.1)),
    Distorted(SOURCE),
    Described(SOURCE, RNG.normal(size=(CLASSES, 3))),
    Glyphs(5, 3, size=8),
]

ABSTRACT = {ClassSource, DescribedSource, TaskDistribution}
PARTS = {RowNumbers}
"""Never tested on."""

CHANGED: dict[tuple[type, str], Any] = {
    (Asked, "strategy"): LeastCertain(NearestNeighbour()),
    **{
        (kind, "words"): (("data", "other"),)
        for kind in (*(ArraySource, TextSource, BlankedWords, Completion, FixedTasks, RowsOfTasks),)
    },
    (TestFunctions, "function"): "rastrigin",
    (Classifiers, "activations"): ("relu",),
    (FixedTasks, "table"): eqx.filter_vmap(FEW.sample)(jax.random.split(jax.random.key(1), 3)),
    (SeveralKinds, "kinds"): (Quadratics(2), TestFunctions("rastrigin", 2)),
    (Pairs, "division"): Division.of([f"group {k // 3}" for k in range(CLASSES)]),
}
"""Other values, where there is no rule."""


def other(owner: Any, name: str) -> Any:
    """Another value for a field."""
    value = getattr(owner, name)
    if (type(owner), name) in CHANGED:
        return CHANGED[type(owner), name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value - 1 if value > 2 else value + 1
    if isinstance(value, float):
        return 2 * value + 0.5
    if isinstance(value, str):
        return value + " other"
    if isinstance(value, tuple):
        return tuple(v + 1 for v in value)
    if eqx.is_array(value):
        return value[::-1] if value.ndim and bool((value != value[::-1]).any()) else value - 1
    if isinstance(value, Examples):
        return Examples(value.x[::-1], value.y)
    if isinstance(value, OneHand):
        return OneHand(CHANGED[Pairs, "division"])
    if isinstance(value, NoSentenceTwice):
        return NoSentenceTwice(FixedLabels())
    if isinstance(value, Draw):
        return FixedLabels()
    if isinstance(value, Likelihood):
        return dataclasses.replace(value, floor=0.3)
    assert isinstance(value, eqx.Module), (owner, name)
    inner = next(f.name for f in dataclasses.fields(value) if type(getattr(value, f.name)) is int)
    return having(value, inner, other(value, inner))


def having(owner: Any, name: str, value: Any) -> Any:
    """A copy with another value for a field, whatever `__init__` would say."""
    made = copy.copy(owner)
    object.__setattr__(made, name, value)
    return made


KEYS = jax.random.split(jax.random.key(5), 4)


def drawn(tasks: TaskDistribution) -> list[np.ndarray]:
    """The arrays of some tasks."""
    found = eqx.filter_jit(eqx.filter_vmap(tasks.sample))(KEYS)
    return [np.asarray(x) for x in jax.tree.leaves(found)]


def are_alike(a: TaskDistribution, b: TaskDistribution) -> bool:
    """Whether they give the same tasks, but for labels that a learner asks for."""
    one, two = drawn(a.shared), drawn(b.shared)
    return len(one) == len(two) and all(
        x.shape == y.shape and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        for x, y in zip(one, two, strict=True)
    )


def all_concrete(base: type) -> set[type]:
    """The classes under `quickstudy.tasks` (and `FixedTasks`) that can be made."""
    for module in pkgutil.walk_packages(quickstudy.tasks.__path__, "quickstudy.tasks."):
        importlib.import_module(module.name)
    found, waiting = set(), [base]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith(("quickstudy.tasks", "quickstudy.task")):
            found.add(kind)
    return {kind for kind in found if not inspect.isabstract(kind)} - ABSTRACT - PARTS


def fields(owner: Any) -> Iterator[str]:
    """Those that a user gives; others follow from them."""
    given = inspect.signature(type(owner).__init__).parameters
    return (f.name for f in dataclasses.fields(owner) if f.name in given)


def test_every_distribution_and_source_is_looked_at():
    made = {type(x) for x in (*DISTRIBUTIONS, *SOURCES)} - {object} | {MappedSource}
    assert all_concrete(TaskDistribution) | all_concrete(ClassSource) == made


CASES: list[Any] = [
    pytest.param(owner, name, wrap, id=f"{type(owner).__name__}-{name}")
    for owners, wrap in ((DISTRIBUTIONS, None), (SOURCES, True))
    for owner in owners
    if owner is not MAPPED
    for name in fields(owner)
]


def as_tasks(owner: Any, is_source: bool | None) -> TaskDistribution:
    """A source is looked at through what is cut out of it."""
    if not is_source:
        return owner
    return ZeroShot(owner, 2, 1) if isinstance(owner, Described) else FewShot(owner, 2, 1, 1)


@pytest.mark.parametrize(("owner", "name", "is_source"), CASES)
def test_what_is_paired_has_the_same_tasks(owner, name, is_source):
    """And numbers and names that change the tasks have a word."""
    value = other(owner, name)
    one, two = as_tasks(owner, is_source), as_tasks(having(owner, name, value), is_source)
    assert Met.of(one, episodes=4) == Met.of(copy.copy(one), episodes=4)
    has_word = isinstance(value, int | float | str | tuple)
    if Met.of(one) == Met.of(two) or (has_word and one.protocol() == two.protocol()):
        assert are_alike(one, two), f"{name} changes the tasks, and is not told"


def test_pictures_in_files_are_told_apart_by_where_they_are(tmp_path):
    made = []
    for number in range(2):
        path = tmp_path / f"{number}.npy"
        np.save(path, PICTURES if number else PICTURES[::-1])
        x = np.load(path, mmap_mode="r")
        made.append(FewShot(MappedSource(x, FIRST, COUNT, {"data": "file"}), 2, 1, 1))
    assert not are_alike(*made)
    assert Met.of(made[0]) != Met.of(made[1])


class Waves(TaskDistribution[Episode]):
    """A user's own distribution, with a word for its frequency and none for its height."""

    frequency: float = eqx.field(static=True)
    height: Float[Array, ""]
    word: str = eqx.field(static=True, default="frequency")

    def sample(self, key):
        x = self.height * jnp.sin(self.frequency * jax.random.uniform(key, (6, 1)))
        y = jnp.arange(6) % 3
        return Episode(Examples(x[:3], y[:3]), Examples(x[3:], y[3:]), Categorical(3))

    def protocol(self):
        return {"data": "waves", self.word: self.frequency}


WAVES = Waves(2.0, jnp.asarray(1.0))


def measured(tasks: TaskDistribution[Episode]):
    return evaluate(NearestNeighbour(), tasks, episodes=2)


def test_a_users_own_words_and_fields_without_words_are_compared():
    result = measured(WAVES)
    assert result.protocol == {"data": "waves", "frequency": 2.0, "episodes": 2, "seed": 0}
    assert paired_difference(result, measured(Waves(2.0, jnp.asarray(1.0)))).mean == 0
    with pytest.raises(ValueError, match=r"not the same tasks: frequency is 2.0 and 3.0"):
        paired_difference(result, measured(Waves(3.0, jnp.asarray(1.0))))
    with pytest.raises(ValueError, match="something that their protocol has no word for"):
        paired_difference(result, measured(Waves(2.0, jnp.asarray(1.1))))


@pytest.mark.parametrize("word", ["episodes", "seed"])
def test_a_word_of_the_test_itself_is_refused_in_the_tasks(word):
    with pytest.raises(UserError, match=f"protocol of Waves has the word '{word}'"):
        measured(Waves(2.0, jnp.asarray(1.0), word))


def test_labels_that_are_asked_for_are_of_the_same_episodes():
    result = measured(PARTLY)
    for strategy, count in (
        (AtRandom(), 1),
        (AtRandom(), 2),
        (LeastCertain(NearestNeighbour()), 1),
    ):
        asked = measured(Asked(PARTLY, strategy, count))
        assert asked.protocol["labels asked for"] == count
        assert asked.learner == {"labels asked for": count, "asked": strategy.name}
        paired_difference(asked, result)
    with pytest.raises(ValueError, match="not the same tasks: labelled per class is 1 and 2"):
        paired_difference(result, measured(having(PARTLY, "labelled", 2)))
