"""Known unknowns: does an input belong to any of the classes of a support set?

Three distances of an input x from the support set S, where f is what the predictor compares inputs
by (`Predictor.embed`), μ_k the mean of f over the n_k examples of class k, and n̄ the median of n_k:

    d₁ = min_k c_k ‖f(x) - μ_k‖²             far from every class
    d₂ = min_k c_k (1 - cos(f(x), μ_k))      in another direction than every class
    d₃ = min_i ‖(a(x) - a(x_i)) / σ‖         looks like no example: a is an input's `appearance`

    c_k = (1 + 1/n̄) / (1 + 1/n_k)            a mean of few examples is farther from its class:
                                             E ‖f(x) - μ_k‖² = (1 + 1/n_k) tr Σ for x of class k

d₁ and d₂ are of the network; d₃ is there because a network's features mean nothing on blank pages
and noise. Reference inputs r, which do belong to classes of their support sets, say how large each
distance is for known inputs: with n of them

    p_j(x) = (1 + #{r: d_j(r) ≥ d_j(x)}) / (n + 1)
    t(x) = min(√(p₁ p₂), 9 p₃)
    score(x) = (1 + #{r: t(r) ≤ t(x)}) / (n + 1)

The score is a conformal p-value (Vovk, Gammerman and Shafer 2005; Bates et al. 2023, for outliers):
the share of known inputs that look no more familiar than x. An input is unknown where its score is
at most the rate of false alarms that was asked for. The weight 9 leaves a tenth of the false
alarms to d₃. The distances, their combination and the weight were chosen on validation classes of
Omniglot.
"""

from __future__ import annotations

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from quickstudy.compilation import enable_compilation_cache
from quickstudy.learner import Figures, Learnable, Learner, Predictor
from quickstudy.learners.distances import class_means, squared_distances, unit
from quickstudy.likelihood import Categorical
from quickstudy.progress import progress
from quickstudy.task import Episode, Examples, TaskDistribution, task_keys

AnyArray = TypeVar("AnyArray", Array, np.ndarray)
"""Of JAX or of NumPy: what is computed of it is of the same."""

OF_APPEARANCE = 9.0
"""What p₃ is multiplied by."""

FAINT = 1e-3
"""Added to an appearance before its logarithm: what is darker looks blank."""

POINTS = 64
"""The most points that a distribution of scores is kept by."""


def appearance(x: Shaped[Array, "n ..."]) -> Float[Array, "n a"]:
    """How inputs look, whatever they show: log(10⁻³ + ·) of the root mean square of their numbers
    and, for pictures, of the standard deviation and of the root mean square difference of
    neighbouring pixels in units of that deviation. Tokens all look alike."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.zeros((len(x), 1))
    flat = x.reshape(len(x), -1)
    size = jnp.log(FAINT + jnp.sqrt(jnp.mean(flat**2, -1)))
    if x.ndim < 4:
        return size[:, None]
    steps = [jnp.mean(jnp.diff(x, axis=axis) ** 2, (1, 2, 3)) for axis in (1, 2)]
    contrast = jnp.log(FAINT + jnp.std(flat, -1))
    rough = jnp.log(FAINT + jnp.sqrt(sum(steps) / 2))
    return jnp.stack([size, contrast, rough - contrast], -1)


class Seen(eqx.Module):
    """What is kept of a support set to compare inputs with: its features, not its inputs."""

    features: Float[Array, "n d"]
    y: Int[Array, " n"]
    """-1 where an example is to be left out."""
    appearance: Float[Array, "n a"]
    classes: int = eqx.field(static=True)

    @staticmethod
    def of(predictor: Predictor, support: Examples, classes: int) -> Seen:
        """Read a support set as the predictor sees it."""
        return Seen(predictor.embed(support.x), support.y, appearance(support.x), classes)

    @property
    def comparable(self) -> Float[Array, " classes"]:
        """c_k; all are 1 where classes have equally many examples."""
        count = jnp.sum(self.y[:, None] == jnp.arange(self.classes), 0)
        median = jnp.floor(jnp.nanmedian(jnp.where(count > 0, count, jnp.nan)))
        return (1 + 1 / jnp.maximum(median, 1)) / (1 + 1 / jnp.maximum(count, 1))

    def distances(
        self, z: Float[Array, "m d"], x: Shaped[Array, "m ..."]
    ) -> tuple[Float[Array, "m 2"], Float[Array, "m n a"]]:
        """d₁ and d₂ of each input by its features z = f(x), and the differences of its appearance
        from each example."""
        there = Categorical(self.classes).seen(self.y)
        means, c = class_means(self.features, self.y, self.classes), self.comparable
        far = jnp.min(c * squared_distances(z, means), -1, where=there, initial=jnp.inf)
        turned = jnp.min(c * (1 - unit(z) @ unit(means).T), -1, where=there, initial=jnp.inf)
        differences = appearance(x)[:, None] - self.appearance
        counted = (self.y >= 0)[:, None]
        return jnp.stack([far, turned], -1), jnp.where(counted, differences, jnp.inf)

    def nearest(self, z: Float[Array, "m d"]) -> Int[Array, "m n"]:
        """The support examples in the order of their distance from features z, nearest first."""
        return jnp.argsort(squared_distances(z, self.features), -1)


class Tail(eqx.Module):
    """p(s) = (1 + #{r ≥ s}) / (n + 1) of reference scores r, kept at no more than `POINTS` of them
    whose ranks are evenly spaced in their logarithm, with log p linear between two.

    >>> round(float(Tail.of(np.arange(9.0))(jnp.asarray(8.5))), 3)      # larger than all nine
    0.1
    """

    values: Float[Array | np.ndarray, " points"]
    """In ascending order …"""
    log_p: Float[Array | np.ndarray, " points"]
    """… and log p there."""
    count: int = eqx.field(static=True)
    """n."""

    @staticmethod
    def of(scores: Float[np.ndarray, " n"]) -> Tail:
        """Read reference scores, one at least."""
        n = len(scores)
        ranks = np.unique(np.geomspace(1, n, POINTS).round().astype(int))
        values = np.unique(np.sort(scores)[n - ranks])
        above = n - np.searchsorted(np.sort(scores), values)
        log_p = np.log((1 + above) / (n + 1))
        return Tail(values.astype(np.float32), log_p.astype(np.float32), n)

    def __call__(self, s: AnyArray) -> AnyArray:
        """p of each score. Neighbouring points are found by comparison with all: without loops or
        look-ups, which not every format of other programs has."""
        least = -np.log(self.count + 1)
        if isinstance(s, np.ndarray):
            return np.exp(np.interp(s, self.values, self.log_p, left=0.0, right=least))
        at = self.values <= s[..., None]
        low = jnp.max(jnp.where(at, self.values, -jnp.inf), -1)
        high = jnp.min(jnp.where(at, jnp.inf, self.values), -1)
        above = jnp.min(jnp.where(at, self.log_p, jnp.inf), -1)  # log p falls as values rise
        below = jnp.max(jnp.where(at, -jnp.inf, self.log_p), -1)
        log_p = above + (s - low) / (high - low) * (below - above)
        first, last = self.values[0], self.values[-1]
        log_p = jnp.where(s == last, self.log_p[-1], log_p)
        return jnp.exp(jnp.where(s < first, 0.0, jnp.where(s > last, least, log_p)))


class Reference(eqx.Module):
    """The distances of inputs that belong to classes of their support sets."""

    spread: Float[Array | np.ndarray, " a"]
    """σ."""
    tails: tuple[Tail, Tail, Tail]
    """Of d₁, d₂ and d₃."""
    combined: Tail
    """Of -t."""
    words: str = eqx.field(static=True)
    """Which inputs they are."""

    @staticmethod
    def of(
        features: Float[np.ndarray, "n 2"],
        differences: Float[np.ndarray, "n support a"],
        spread: Float[np.ndarray, " a"],
        words: str,
    ) -> Reference:
        """Read what `Seen.distances` has found for n reference inputs."""
        spread = np.where(spread > 0, spread, 1).astype(np.float32)
        d = np.column_stack([features, _nearest(differences, spread)])
        tails = (Tail.of(d[:, 0]), Tail.of(d[:, 1]), Tail.of(d[:, 2]))
        return Reference(spread, tails, Tail.of(-_together(tails, d)), words)

    @property
    def count(self) -> int:
        """How many inputs they are."""
        return self.combined.count

    def score(self, features: AnyArray, differences: AnyArray) -> AnyArray:
        """The score (m,) of each input from its `Seen.distances`, (m, 2) and (m, n, a). Arrays of
        NumPy give one of NumPy: nothing is compiled then."""
        xp: Any = features.__array_namespace__()
        nearest = _nearest(differences, self.spread)
        d = xp.concatenate([features, nearest[:, None]], -1)
        return self.combined(-_together(self.tails, d))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` makes it again."""
        tails = [
            {"values": t.values.tolist(), "log_p": t.log_p.tolist(), "count": t.count}
            for t in (*self.tails, self.combined)
        ]
        return {"spread": self.spread.tolist(), "tails": tails, "words": self.words}

    @staticmethod
    def from_json(found: dict[str, Any]) -> Reference:
        """Raises `KeyError`, `TypeError` or `ValueError` where these are no such values."""
        first, second, third, combined = (
            Tail(np.float32(t["values"]), np.float32(t["log_p"]), int(t["count"]))  # pyright: ignore
            for t in found["tails"]
        )
        spread = np.asarray(found["spread"], np.float32)
        return Reference(spread, (first, second, third), combined, str(found["words"]))


def _nearest(differences: AnyArray, spread: Float[Array | np.ndarray, " a"]) -> AnyArray:
    """d₃ (m,), from (m, n, a)."""
    xp: Any = differences.__array_namespace__()
    return xp.min(xp.linalg.norm(differences / spread, axis=-1), -1)


def _together(tails: tuple[Tail, Tail, Tail], d: AnyArray) -> AnyArray:
    """t (m,), from d (m, 3)."""
    xp: Any = d.__array_namespace__()
    far, turned, looks = (tail(d[:, j]) for j, tail in enumerate(tails))
    return xp.minimum(xp.sqrt(far * turned), OF_APPEARANCE * looks)


@eqx.filter_jit
def _known_queries(
    learner: Learner, tasks: TaskDistribution[Episode], key: PRNGKeyArray, numbers: Int[Array, " n"]
) -> tuple[Array, Array, Array]:
    """Of the queries of some episodes: d₁ and d₂, differences of appearance, and appearance."""

    def one(number: Int[Array, ""]) -> tuple[Array, Array, Array]:
        for_task, for_learner = task_keys(key, number)
        task = tasks.sample(for_task)
        predictor = learner.adapt(task.support, task.likelihood, key=for_learner)
        seen = Seen.of(predictor, task.support, task.likelihood.size)
        z = predictor.embed(task.query.x)
        return (*seen.distances(z, task.query.x), appearance(task.query.x))

    return jax.lax.map(one, numbers)


AT_ONCE = 10
"""Episodes in a call."""


def reference(
    learner: Learner,
    tasks: TaskDistribution[Episode],
    *,
    episodes: int,
    seed: int = 0,
    words: str = "",
    show_progress: bool = False,
) -> Reference:
    """Take the queries of episodes, all of them of the episode's own classes, as reference inputs.

    >>> reference(learner, FewShot(source, way=5, shot=1, query=5), episodes=4).count
    100
    """
    enable_compilation_cache()
    parts: list[Any] = []
    with progress("what known inputs are like", episodes, show=show_progress) as reporter:
        for start in range(0, episodes, AT_ONCE):
            count = min(AT_ONCE, episodes - start)
            numbers = start + jnp.arange(AT_ONCE)
            found = _known_queries(learner, tasks, jax.random.key(seed), numbers)
            parts.append([np.asarray(x)[:count].reshape(-1, *x.shape[2:]) for x in found])
            reporter.at(start + count)
    features, differences, looks = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Reference.of(features, differences, looks.std(axis=0), words)


class OpenSetLearner(Learnable):
    """A learner that may say `unknown`: what it is measured by on `tasks.open_set.OpenSet`."""

    learner: Learner
    reference: Reference
    false_alarms: float = eqx.field(static=True)
    """The rate that is asked for."""

    def figures(self, task: Episode, *, key: PRNGKeyArray) -> Figures:
        """Those of the learner on queries of known classes. Beside them `auroc`, the probability
        that a known query has a higher score than an unknown one (Hanley and McNeil 1982),
        `false alarms`, the share of known queries that are called unknown, and `misses`, the share
        of unknown queries that are not."""
        predictor = self.learner.adapt(task.support, task.likelihood, key=key)
        found = self.learner.figures_of(predictor(task.query.x), task)
        seen = Seen.of(predictor, task.support, task.likelihood.size)
        z = predictor.embed(task.query.x)
        score = self.reference.score(*seen.distances(z, task.query.x))
        known = task.likelihood.labelled(task.query.y)
        unknown = score <= self.false_alarms
        metrics = {
            "auroc": auroc(score, known),
            "false alarms": jnp.mean(unknown, where=known),
            "misses": jnp.mean(~unknown, where=~known),
        }
        return eqx.tree_at(lambda f: f.metrics, found, {**found.metrics, **metrics})


def auroc(score: Float[Array, " n"], known: Bool[Array, " n"]) -> Float[Array, ""]:
    """The area under the curve of hits against false alarms, over all thresholds: the share of
    pairs of a known and an unknown input of which the known one has the higher score, equal ones
    by half.

    >>> auroc(jnp.array([0.9, 0.4, 0.4, 0.1]), jnp.array([True, True, False, False]))
    Array(0.875, dtype=float32)
    """
    higher = score[:, None] > score
    equal = score[:, None] == score
    return jnp.mean(higher + 0.5 * equal, where=known[:, None] & ~known)
