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
    *("way", "shot", "queries per class", "queries", "labels", "episodes", "seed"),
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
        spread = float(np.std(values, ddof=1)) if n > 1 else math.nan
        return Estimate(float(np.mean(values)), NORMAL_QUANTILE * spread / math.sqrt(n), n)

    def percent(self) -> str:
        """`98.12 ± 0.21`, for a share."""
        return f"{100 * self.mean:.2f} ± {100 * self.half_width:.2f}"

    def plain(self) -> str:
        """`0.381 ± 0.012`."""
        return f"{self.mean:.3f} ± {self.half_width:.3f}"


@dataclass(frozen=True)
class Result:
    """Figures of one learner on a fixed, seeded list of episodes."""

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

    def estimate(self, metric: str | None = None) -> Estimate:
        """Mean and interval of a metric; of the headline by default."""
        return Estimate.of(self.metrics[metric or self.headline])

    @property
    def calibration_error(self) -> float:
        """Σ_b n_b / n |claimed_b - true_b| (Naeini et al. 2015; Guo et al. 2017, eq. 3)."""
        claims, confidence, correct = self.bins.T
        return float(np.sum(np.abs(confidence - correct)) / np.sum(claims))

    def summary(self) -> dict[str, Any]:
        """Plain JSON values: each metric with its interval, calibration, protocol, seconds."""
        figures = {}
        for name in self.metrics:
            e = self.estimate(name)
            figures[name] = {"mean": e.mean, "interval_95": e.half_width}
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
        task = tasks.sample(for_task)
        predictor = learner.adapt(task.support, task.likelihood, key=for_learner)
        predictions = predictor(task.query.x)
        y, likelihood = task.query.y, task.likelihood
        return likelihood.metrics(predictions, y), likelihood.calibration(predictions, y)

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

    Episode i is drawn with `jax.random.fold_in(jax.random.key(seed), i)`, whatever the learner.

    >>> result = evaluate(learner, FewShot(test_classes, way=5, shot=1, query=15))
    >>> result.estimate("accuracy").percent()
    '98.12 ± 0.21'
    """
    if episodes < 1:
        raise ValueError(f"{episodes} episodes: at least 1")
    enable_compilation_cache()
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


def paired_difference(a: Result, b: Result, metric: str | None = None) -> Estimate:
    """Mean of a - b over the episodes that both have seen, with its interval.

    Raises `ValueError` unless both were measured on the same episodes.
    """
    for word in EPISODE_WORDS:
        if a.protocol.get(word) != b.protocol.get(word):
            raise ValueError(
                f"not the same episodes: {word} is {a.protocol.get(word)} and "
                f"{b.protocol.get(word)}"
            )
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
