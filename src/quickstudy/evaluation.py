"""How good a learner is on tasks that it has never seen, and whether it is better than another.

Episodes are a function of a seed, so two learners meet the same ones and are compared pair by
pair.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.special import stdtrit

from quickstudy.compilation import enable_compilation_cache
from quickstudy.learner import Learner
from quickstudy.likelihood import CALIBRATION_BINS
from quickstudy.progress import progress
from quickstudy.task import Episode, TaskDistribution, task_keys

NORMAL_QUANTILE = 1.959964
"""z with P(|Z| ≤ z) = 95 %."""

EPISODES_PER_CALL = 50

EPISODE_WORDS = (
    *("data", "split", "part", "classes", "first", "size", "rotations"),
    *("way", "shot", "queries per class", "queries", "length", "labels", "within", "pairs"),
    *("labelled per class", "distractor classes", "episodes", "seed"),
    *("length scale", "amplitude", "noise"),
)
"""The words of a protocol that say which episodes were met; others are about the learner."""


@dataclass(frozen=True)
class Estimate:
    """A mean over episodes with the half-width of its 95 % interval, 1.96 s / √n."""

    mean: float
    half_width: float
    episodes: int

    @staticmethod
    def of(values: np.ndarray) -> "Estimate":
        """The estimate from one value an episode."""
        n = len(values)
        mean = float(np.mean(values)) if n else math.nan
        spread = float(np.std(values, ddof=1)) if n > 1 else math.nan
        return Estimate(mean, NORMAL_QUANTILE * spread / math.sqrt(max(n, 1)), n)

    def percent(self) -> str:
        """`98.12 ± 0.21`, for a share."""
        return f"{100 * self.mean:.2f} ± {100 * self.half_width:.2f}"

    def plain(self) -> str:
        """`0.381 ± 0.012`."""
        return f"{self.mean:.3f} ± {self.half_width:.3f}"

    def compact(self) -> str:
        """`0.01234 ± 0.0021`, for what varies over orders of magnitude."""
        return f"{self.mean:.4g} ± {self.half_width:.2g}"


@dataclass(frozen=True)
class Spread:
    """How figures differ from training seed to training seed: their mean, their standard deviation
    s, and the half-width of the mean's 95 % interval, t s / √n, with Student's t of n - 1 degrees
    of freedom.

    It tells what another training of the method would give. The interval over episodes tells what
    other episodes would give these trained learners.
    """

    mean: float
    deviation: float
    half_width: float
    seeds: int

    @staticmethod
    def of(values: np.ndarray) -> "Spread":
        """The spread of one figure a seed."""
        n = len(values)
        deviation = float(np.std(values, ddof=1)) if n > 1 else math.nan
        t = float(stdtrit(n - 1, 0.975)) if n > 1 else math.nan
        return Spread(float(np.mean(values)), deviation, t * deviation / math.sqrt(n), n)


@dataclass(frozen=True)
class Result:
    """Figures of one learner on a fixed, seeded list of episodes; or of several that differ in
    the seed of their training (see `average`)."""

    metrics: dict[str, np.ndarray]
    """One value an episode: `accuracy` and `nll`, or `mse` and `nll`."""

    bins: np.ndarray
    """The reliability diagram, (bins, 3): see `Likelihood.calibration`."""

    headline: str
    """Which metric counts first."""

    higher_is_better: bool

    protocol: dict[str, Any] = field(default_factory=dict)
    """Everything that the figures depend on: the tasks' protocol, episodes, seed …"""

    seconds: float = math.nan

    by_seed: dict[str, np.ndarray] = field(default_factory=dict)
    """Of several seeds: each metric's mean over episodes, one value a seed."""

    def spread(self, metric: str | None = None) -> Spread | None:
        """Over seeds, of a metric; of the headline by default. None where there is one seed."""
        if not self.by_seed:
            return None
        return Spread.of(self.by_seed[metric or self.headline])

    def estimate(self, metric: str | None = None) -> Estimate:
        """Mean and interval of a metric; of the headline by default. Of a presentation, over the
        episodes that have one."""
        metric = metric or self.headline
        values = self.metrics[metric]
        return Estimate.of(values[~np.isnan(values)] if "@" in metric else values)

    @property
    def calibration_error(self) -> float:
        """Σ_b n_b / n |claimed_b - true_b| (Naeini et al. 2015; Guo et al. 2017, eq. 3)."""
        claims, confidence, correct = self.bins.T
        return float(np.sum(np.abs(confidence - correct)) / np.sum(claims))

    def summary(self) -> dict[str, Any]:
        """Plain JSON values: each metric with its interval and, of several seeds, their spread;
        calibration, protocol, seconds."""
        figures: dict[str, Any] = {}
        for name in self.metrics:
            e, spread = self.estimate(name), self.spread(name)
            figures[name] = {"mean": e.mean, "interval_95": e.half_width}
            if spread is not None:
                figures[name]["over_seeds"] = {
                    "deviation": spread.deviation,
                    "interval_95": spread.half_width,
                    "values": self.by_seed[name].tolist(),
                }
        return {
            **figures,
            "calibration_error": self.calibration_error,
            "protocol": self.protocol,
            "seconds": round(self.seconds, 2),
        }


@eqx.filter_jit
def _some_episodes(
    learner: Learner, tasks: TaskDistribution[Episode], key: PRNGKeyArray, indices: Int[Array, " n"]
) -> tuple[dict[str, Float[Array, " n"]], Float[Array, "n bins 3"]]:
    """Metrics and calibration of the episodes with these numbers, one after the other."""

    def one(index):
        for_task, for_learner = task_keys(key, index)
        task = tasks.numbered(for_task, index)
        predictions = learner.predictions(task, key=for_learner)
        return task.metrics(predictions), task.likelihood.calibration(predictions, task.query.y)

    return jax.lax.map(one, indices)


def evaluate(
    learner: Learner,
    tasks: TaskDistribution[Episode],
    *,
    episodes: int = 1000,
    seed: int = 0,
    show_progress: bool = False,
) -> Result:
    """Adapt to `episodes` tasks and predict their queries.

    Episode i is drawn with `jax.random.fold_in(jax.random.key(seed), i)`, whatever the learner. Of
    a fixed list of tasks each is met once, or the first `episodes`, whatever the seed.

    >>> result = evaluate(learner, FewShot(test_classes, way=5, shot=1, query=15))
    >>> result.estimate("accuracy").percent()
    '98.12 ± 0.21'
    """
    if episodes < 1:
        raise ValueError(f"{episodes} episodes: at least 1")
    enable_compilation_cache()
    episodes = min(episodes, tasks.listed or episodes)
    per_call = min(EPISODES_PER_CALL, episodes)
    started = time.monotonic()
    metrics: list[dict[str, np.ndarray]] = []
    bins = np.zeros((CALIBRATION_BINS, 3))
    likelihood = jax.eval_shape(tasks.sample, jax.random.key(0)).likelihood
    with progress("evaluating", episodes, show=show_progress) as reporter:
        for start in range(0, episodes, per_call):
            count = min(per_call, episodes - start)
            values, counts = jax.device_get(
                _some_episodes(learner, tasks, jax.random.key(seed), start + jnp.arange(per_call))
            )
            metrics.append({name: np.asarray(v)[:count] for name, v in values.items()})
            bins += np.asarray(counts, np.float64)[:count].sum(0)
            reporter.at(start + count)
    joined = {name: np.concatenate([m[name] for m in metrics]) for name in metrics[0]}
    return Result(
        metrics=joined,
        bins=bins,
        headline=likelihood.headline,
        higher_is_better=likelihood.higher_is_better,
        protocol={**tasks.protocol(), "episodes": episodes, "seed": seed},
        seconds=time.monotonic() - started,
    )


def average(results: Mapping[int, Result]) -> Result:
    """One result of learners that were trained from several seeds and met the same episodes.

    A metric's value for an episode is its mean over seeds, so that the interval, 1.96 s / √n, is
    one over episodes for the trained learners as they are, and results of other methods are
    compared episode by episode; `Result.spread` tells what another training would give. The
    reliability diagram counts the predictions of all.

    Raises `ValueError` unless all were measured on the same episodes.
    """
    seeds, several = list(results), list(results.values())
    for other in several[1:]:
        require_same_episodes(several[0], other)
    metrics = {name: np.stack([r.metrics[name] for r in several]) for name in several[0].metrics}
    return Result(
        metrics={name: values.mean(0) for name, values in metrics.items()},
        bins=np.sum([r.bins for r in several], axis=0),
        headline=several[0].headline,
        higher_is_better=several[0].higher_is_better,
        protocol={**several[0].protocol, "training seeds": seeds},
        seconds=sum(r.seconds for r in several),
        by_seed={name: np.asarray([r.estimate(name).mean for r in several]) for name in metrics},
    )


def same_episodes(a: Result, b: Result) -> bool:
    """Whether both were measured on the same episodes."""
    return all(a.protocol.get(word) == b.protocol.get(word) for word in EPISODE_WORDS)


def require_same_episodes(a: Result, b: Result) -> None:
    """Raise `ValueError` unless both were measured on the same episodes."""
    for word in EPISODE_WORDS:
        if a.protocol.get(word) != b.protocol.get(word):
            raise ValueError(
                f"not the same episodes: {word} is {a.protocol.get(word)} and "
                f"{b.protocol.get(word)}"
            )


def paired_difference(a: Result, b: Result, metric: str | None = None) -> Estimate:
    """Mean of a - b over the episodes that both have seen, with its interval.

    Raises `ValueError` unless both were measured on the same episodes.
    """
    require_same_episodes(a, b)
    metric = metric or a.headline
    return Estimate.of(a.metrics[metric] - b.metrics[metric])


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
        """The paired difference of `name` from the best, on the headline metric."""
        return paired_difference(self.results[name], self.results[self.best])


def compare(
    learners: Mapping[str, Learner],
    tasks: TaskDistribution[Episode],
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
    return Comparison({name: evaluate(x, tasks, **options) for name, x in learners.items()})
