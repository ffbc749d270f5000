"""How good a learner is on tasks that it has never seen, and whether it is better than another.

Episodes are a function of a seed, so two learners meet the same ones and are compared pair by
pair. Every figure has a 95 % interval, which says what it covers: other test episodes, and, where
a learner was trained from several seeds, other trainings as well.

A figure that an episode does not have is NaN, and `complete` leaves such episodes out; a figure of
predictions that are no numbers is infinite.
"""

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.compilation import enable_compilation_cache
from quickstudy.errors import UserError
from quickstudy.estimate import Estimate, Table, complete
from quickstudy.learner import Figures, Learnable, Learner
from quickstudy.progress import progress
from quickstudy.task import Episode, TaskDistribution, task_keys

EPISODES_PER_CALL = 50


# Which tasks


@dataclass(frozen=True)
class Met:
    """The tasks that a test met. Where two tests have equal ones, task i of both is the same, and
    figures are compared task by task.
    """

    protocol: dict[str, Any]
    """The words of the tasks, and how many of them were drawn from which seed."""

    fingerprint: str = ""
    """SHA-256 of all fields of the task distribution: it differs where the tasks differ in
    something that has no word, such as the pictures themselves."""

    @staticmethod
    def of(tasks: TaskDistribution, **counts: Any) -> "Met":
        """The tasks that all learners meet alike (`TaskDistribution.shared`), with further words.

        Raises `UserError` where the protocol of the tasks has one of these words already.

        >>> Met.of(Sinusoid(shot=5), episodes=1000, seed=0).protocol
        {'data': 'sinusoid', 'shot': 5, 'queries': 10, 'episodes': 1000, 'seed': 0}
        """
        tasks = tasks.shared
        words = tasks.protocol()
        for word in counts:
            if word in words:
                raise UserError(
                    f"the protocol of {type(tasks).__name__} has the word {word!r}, which the test "
                    "adds itself: rename it there"
                )
        return Met({**words, **counts}, fingerprint(tasks))

    def require(self, other: "Met") -> None:
        """Raise `ValueError` unless both are the same tasks."""
        if self == other:
            return
        for word in {**self.protocol, **other.protocol}:
            mine, its = self.protocol.get(word), other.protocol.get(word)
            if mine != its:
                raise ValueError(f"not the same tasks: {word} is {mine} and {its}")
        raise ValueError(
            "not the same tasks: they differ in something that their protocol has no word for"
        )


def fingerprint(tasks: TaskDistribution) -> str:
    """SHA-256 of the structure, the static fields and the arrays of a task distribution."""
    sha = hashlib.sha256(str(jax.tree.structure(tasks)).encode())
    for leaf in jax.tree.leaves(tasks):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if isinstance(leaf, jax.Array | np.ndarray):
            sha.update(f"{leaf.shape} {leaf.dtype}".encode())
            sha.update(np.asarray(leaf).tobytes())
        else:
            sha.update(repr(leaf).encode())
    return sha.hexdigest()


# Results


class Answers(eqx.Module):
    """What a classifier answered to each query, one row for each episode."""

    example: Int[Array | np.ndarray, "*episodes queries"]
    """Which example was asked: its row in the data."""
    label: Int[Array | np.ndarray, "*episodes queries"]
    """Its label in the episode."""
    answer: Int[Array | np.ndarray, "*episodes queries"]
    """The label that was the most probable."""


@dataclass(frozen=True)
class Result:
    """Figures of one learner on a fixed, seeded list of episodes; or of several that differ in
    the seed of their training (see `average`)."""

    metrics: dict[str, Float[np.ndarray, " episodes"]]
    """One value an episode: `accuracy` and `nll`, or `mse` and `nll`; NaN where an episode has
    none."""

    bins: Float[np.ndarray, "bins 3"] | None
    """The reliability diagram: see `Likelihood.calibration`. None where nothing is claimed, as of
    an optimiser."""

    headline: str
    """Which metric counts first."""

    higher_is_better: bool

    tasks: Met
    """What was met."""

    learner: dict[str, Any] = field(default_factory=dict)
    """Words about the learner: its name, its batch normalisation, its steps at test, the labels
    that it asks for, the seeds that it was trained from …"""

    trained: bool = True
    """Whether the learner has anything to train."""

    seconds: float = math.nan
    """How long the episodes took, together with other learners that met them at the same time."""

    each: tuple["Result", ...] = ()
    """Of several trainings: the result of each."""

    answers: Answers | None = None
    """Where these were asked for."""

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that the figures depend on, in words: the tasks and the learner."""
        return {**self.tasks.protocol, **self.learner}

    def table(self, metric: str | None = None) -> Table:
        """A metric's values, a row for each training; of the headline by default."""
        metric = metric or self.headline
        return np.stack([one.metrics[metric] for one in self.each or (self,)])

    def by_training(self, metric: str | None = None) -> Float[np.ndarray, " trainings"]:
        """The mean of each training over the episodes."""
        return complete(self.table(metric))[0].mean(1)

    def estimate(self, metric: str | None = None) -> Estimate:
        """Mean and interval of a metric, of the headline by default, over the episodes that have
        it; and over trainings, where there are several."""
        found = Estimate.of(*complete(self.table(metric)))
        return found if self.trained else replace(found, trainings=(0,))

    @property
    def calibration_error(self) -> float | None:
        """Σ_b n_b / n |claimed_b - true_b| (Naeini et al. 2015; Guo et al. 2017, eq. 3); None where
        nothing was claimed."""
        if self.bins is None or not self.bins[:, 0].any():
            return None
        claims, confidence, correct = self.bins.T
        return float(np.sum(np.abs(confidence - correct)) / np.sum(claims))

    def summary(self) -> dict[str, Any]:
        """Plain JSON values: each metric with its interval and, of several trainings, the mean of
        each and their standard deviation; what the intervals cover; calibration error, where there
        is one; protocol, seconds."""
        figures: dict[str, Any] = {}
        for name, values in self.metrics.items():
            e = self.estimate(name)
            figures[name] = {"mean": e.mean, "interval_95": e.half_width}
            if e.episodes < len(values):
                figures[name]["episodes"] = e.episodes
            if self.each:
                means = self.by_training(name)
                figures[name]["over_seeds"] = {
                    "deviation": float(np.std(means, ddof=1)),
                    "values": means.tolist(),
                }
        error = self.calibration_error
        return {
            **figures,
            "interval": self.estimate().covers,
            **({} if error is None else {"calibration_error": error}),
            "protocol": self.protocol,
            "seconds": round(self.seconds, 2),
        }


@eqx.filter_jit
def _some_tasks(
    learners: Mapping[str, Learnable],
    tasks: TaskDistribution,
    key: PRNGKeyArray,
    indices: Int[Array, " n"],
    at_once: int,
    rows: TaskDistribution[Episode] | None,
) -> dict[str, tuple[Figures, Answers | None]]:
    """Of the tasks with these numbers, along a leading axis; `at_once` side by side."""

    def one(index: Int[Array, ""]) -> dict[str, tuple[Figures, Answers | None]]:
        for_task, for_learner = task_keys(key, index)
        task = tasks.numbered(for_task, index)
        example = None if rows is None else rows.numbered(for_task, index).query.x.reshape(-1)
        return {name: of(learner, task, for_learner, example) for name, learner in learners.items()}

    def of(
        learner: Learnable, task: Any, key: PRNGKeyArray, example: Array | None
    ) -> tuple[Figures, Answers | None]:
        if example is None:
            return learner.figures(task, key=key), None
        assert isinstance(learner, Learner)
        predictions = learner.predictions(task, key=key)
        answers = Answers(example, task.query.y, jnp.argmax(predictions, -1))
        return learner.figures_of(predictions, task), answers

    return jax.lax.map(one, indices, batch_size=at_once if at_once > 1 else None)


def evaluate(
    learner: Learnable,
    tasks: TaskDistribution,
    *,
    episodes: int = 1000,
    seed: int = 0,
    show_progress: bool = False,
    rows: TaskDistribution[Episode] | None = None,
) -> Result:
    """Take the `figures` of a learner, or of an optimiser, on `episodes` tasks.

    Episode i is drawn with `jax.random.fold_in(jax.random.key(seed), i)`, whatever the learner. Of
    a fixed list of tasks each is met once, or the first `episodes`, whatever the seed.

    With `rows`, the same tasks with the number of its row in the place of each example
    (`tasks.mapped.row_numbers`), the result has the `answers` of a classifier as well. Its figures
    are those of its predictions (`Learner.figures_of`).

    Raises `UserError` where the protocol of the tasks has a word `episodes` or `seed` of its own.

    >>> result = evaluate(learner, FewShot(test_classes, way=5, shot=1, query=15))
    >>> result.estimate("accuracy").percent()
    '98.12 ± 0.21'
    """
    options = {"episodes": episodes, "seed": seed, "show_progress": show_progress, "rows": rows}
    return evaluate_all({"": learner}, tasks, **options)[""]


def evaluate_all(
    learners: Mapping[str, Learnable],
    tasks: TaskDistribution,
    *,
    episodes: int = 1000,
    seed: int = 0,
    show_progress: bool = False,
    rows: TaskDistribution[Episode] | None = None,
) -> dict[str, Result]:
    """`evaluate` several learners in one program, which draws each task once.

    >>> list(evaluate_all({"pixels": NearestNeighbour(), "protonet": learner}, tasks))
    ['pixels', 'protonet']
    """
    if episodes < 1:
        raise ValueError(f"{episodes} episodes: at least 1")
    if not learners:
        return {}
    enable_compilation_cache()
    learners = dict(learners)
    episodes = min(episodes, tasks.listed or episodes)
    met = Met.of(tasks, episodes=episodes, seed=seed)
    per_call = min(EPISODES_PER_CALL, episodes)
    at_once = min(per_call, *(learner.tasks_at_once(tasks) for learner in learners.values()))
    started, parts = time.monotonic(), []
    with progress("evaluating", episodes, show=show_progress) as reporter:
        for start in range(0, episodes, per_call):
            count = min(per_call, episodes - start)
            numbers = start + jnp.arange(per_call)
            found = _some_tasks(learners, tasks, jax.random.key(seed), numbers, at_once, rows)
            parts.append(jax.tree.map(lambda x, n=count: np.asarray(x)[:n], found))
            reporter.at(start + count)
    seconds = time.monotonic() - started

    def result(name: str, learner: Learnable) -> Result:
        mine = [part[name] for part in parts]
        first: Figures = mine[0][0]
        whole, answers = jax.tree.map(lambda *x: np.concatenate(x), *mine)
        return Result(
            metrics=whole.metrics,
            bins=None
            if first.bins is None
            else np.sum([part.bins.sum(0, dtype=np.float64) for part, _ in mine], axis=0),
            headline=first.headline,
            higher_is_better=first.higher_is_better,
            tasks=met,
            learner={w: v for w, v in tasks.protocol().items() if w not in met.protocol},
            trained=has_parameters(learner),
            seconds=seconds,
            answers=answers,
        )

    return {name: result(name, learner) for name, learner in learners.items()}


def has_parameters(learner: Learnable) -> bool:
    """Whether there is anything to train."""
    return any(map(eqx.is_inexact_array, jax.tree.leaves(learner)))


def average(results: Mapping[int, Result]) -> Result:
    """One result of learners that were trained from several seeds and met the same episodes.

    A metric's value for an episode is its mean over seeds, so that results of other methods are
    compared episode by episode. Intervals cover trainings and episodes together, as `Estimate.of`
    has it. The reliability diagram counts the predictions of all.

    Raises `ValueError` unless all were measured on the same episodes.
    """
    seeds, several = list(results), tuple(results.values())
    first = several[0]
    for other in several[1:]:
        first.tasks.require(other.tasks)
    counted = [one.bins for one in several if one.bins is not None]
    return replace(
        first,
        metrics={m: np.mean([one.metrics[m] for one in several], axis=0) for m in first.metrics},
        bins=np.sum(counted, axis=0) if counted else None,
        learner={**first.learner, "training seeds": seeds},
        seconds=sum(one.seconds for one in several),
        each=several,
    )


def same_episodes(a: Result, b: Result) -> bool:
    """Whether both were measured on the same episodes."""
    return a.tasks == b.tasks


def paired_difference(a: Result, b: Result, metric: str | None = None) -> Estimate:
    """Mean of a - b over the episodes of which both have the figure, with its interval: see
    `Estimate.of`.

    Raises `ValueError` unless both were measured on the same episodes.
    """
    a.tasks.require(b.tasks)
    metric = metric or a.headline
    found = Estimate.of(*complete(a.table(metric), b.table(metric)))
    counted = zip((a, b), found.trainings, strict=True)
    return replace(found, trainings=tuple(n if r.trained else 0 for r, n in counted))


@dataclass(frozen=True)
class Comparison:
    """Several learners on the same episodes."""

    results: dict[str, Result]

    @property
    def best(self) -> str:
        """The name of the learner with the best headline figure."""
        any_result = next(iter(self.results.values()))
        sign = 1 if any_result.higher_is_better else -1
        return max(self.results, key=lambda name: sign * self.results[name].estimate().mean)

    def behind_best(self, name: str) -> Estimate:
        """The paired difference of `name` from the best, on the headline metric; 0 of the best
        itself."""
        if name == self.best:
            return replace(self.results[name].estimate(), mean=0.0, half_width=0.0)
        return paired_difference(self.results[name], self.results[self.best])


def compare(
    learners: Mapping[str, Learnable],
    tasks: TaskDistribution,
    *,
    episodes: int = 1000,
    seed: int = 0,
    show_progress: bool = False,
) -> Comparison:
    """`evaluate` each on the same episodes.

    >>> compare({"pixels": NearestNeighbour(), "protonet": learner}, tasks).best
    'protonet'
    """
    options = {"episodes": episodes, "seed": seed, "show_progress": show_progress}
    return Comparison(evaluate_all(learners, tasks, **options))
