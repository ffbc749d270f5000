"""How good is a method on a support set? Ask it about examples that were left out of the set.

Fold f of F leaves out, of each class that has two examples or more, those whose number is f modulo
F, where F is the largest count of a class and at most 10. So one example of each class is left out
at a time where no class has more than 10. What is measured is a set that has fewer examples than
the one that is served, by one of each class at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.learner import Learner
from quickstudy.likelihood import Categorical
from quickstudy.open_set import Seen, appearance
from quickstudy.progress import progress
from quickstudy.task import Examples

MOST_FOLDS = 10

FEWEST = 10
"""Left-out examples below which no temperature is fitted."""

TEMPERATURES = (1e-3, 1e4)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What a method says of the examples that were left out, one after the other."""

    logits: Float[np.ndarray, "n classes"]
    y: Int[np.ndarray, " n"]
    """Their classes."""
    features: Float[np.ndarray, "n 2"]
    differences: Float[np.ndarray, "n support a"]
    """`open_set.Seen.distances` from the others."""
    spread: Float[np.ndarray, " a"]
    """Of the appearance of the whole support set."""

    @property
    def right(self) -> int:
        """How many get their own class; an answer that is not finite is none."""
        from scipy.special import softmax

        with np.errstate(invalid="ignore"):
            answered = np.isfinite(softmax(self.logits, axis=1)).all(1)
        return int(np.sum((self.logits.argmax(1) == self.y) & answered))

    def nll(self, temperature: float = 1.0) -> float:
        """Their mean negative log-likelihood, in nats, with p = softmax(z / T)."""
        from scipy.special import log_softmax

        log_p = log_softmax(self.logits / temperature, axis=1)
        return float(-np.mean(log_p[np.arange(len(self.y)), self.y]))


def folds(count: Int[np.ndarray, " classes"]) -> list[Int[np.ndarray, " _"]]:
    """The rows that each fold leaves out of a set that is sorted by class, with `count` examples of
    each; no fold where every class has one.

    >>> [fold.tolist() for fold in folds(np.array([2, 1, 3]))]
    [[0, 3], [1, 4], [5]]
    """
    number = np.concatenate([np.arange(n) for n in count])
    several = np.repeat(count, count) > 1
    most = min(int(count.max()), MOST_FOLDS)
    if most < 2:
        return []
    return [np.flatnonzero(several & (number % most == fold)) for fold in range(most)]


def leave_out(
    methods: Mapping[str, Learner], support: Examples, count: Int[np.ndarray, " classes"], key: Any
) -> dict[str, LeftOut]:
    """Ask each method about the examples that each fold leaves out. Empty where there is no fold.

    Raises `ValueError` where a method cannot serve the set.
    """
    found: dict[str, LeftOut] = {}
    if not (left := folds(count)):
        return found
    with progress("leaving examples out", len(methods)) as reporter:
        for done, (name, learner) in enumerate(methods.items()):
            found[name] = _of_folds(learner, support, left, len(count), key)
            reporter.at(done + 1, name)
    return found


def _of_folds(
    learner: Learner,
    support: Examples,
    left: list[Int[np.ndarray, " _"]],
    ways: int,
    key: PRNGKeyArray,
) -> LeftOut:
    """What one method says. Where it sees unlabelled examples, those left out are taken away, and
    a program is compiled for each size of what remains; otherwise they lose their labels, and one
    program serves all folds."""
    y, rows = np.asarray(support.y), np.arange(len(support.y))
    taken = learner.uses_unlabelled or learner.transductive
    parts: list[Any] = []
    size = max(map(len, left))
    for fold in left:
        asked = fold if taken else np.resize(fold, size)
        kept = np.setdiff1d(rows, fold) if taken else rows
        labels = y[kept] if taken else np.where(np.isin(rows, fold), -1, y)
        told = Examples(support.x[kept], jnp.asarray(labels))
        z, features, differences = _ask(learner, told, support.x[asked], ways, key)
        whole = np.full((len(fold), len(rows), differences.shape[-1]), np.inf, np.float32)
        whole[:, kept] = differences[: len(fold)]
        parts.append((np.asarray(z)[: len(fold)], np.asarray(features)[: len(fold)], whole))
    logits, features, differences = (np.concatenate(each) for each in zip(*parts, strict=True))
    spread = np.asarray(appearance(support.x)).std(axis=0)
    return LeftOut(logits, y[np.concatenate(left)], features, differences, spread)


@eqx.filter_jit
def _ask(
    learner: Learner, support: Examples, x: Array, ways: int, key: PRNGKeyArray
) -> tuple[Array, Array, Array]:
    predictor = learner.adapt(support, Categorical(ways), key=key)
    seen = Seen.of(predictor, support, ways)
    return predictor(x), *seen.distances(predictor.embed(x), x)


def temperature(left: LeftOut) -> float:
    """T of p = softmax(z / T) that minimises the negative log-likelihood of n left-out examples
    (Guo et al. 2017, section 4.2), from 10⁻³ to 10⁴; 1 where n is below 10 or
    a logit is not finite.

    As in Platt (1999), nobody is quite sure of a label: a share ε = 1 / (n + 2) of each is spread
    over all K classes,

        T = argmin Σ_i (1 - ε) l_i(y_i) + ε / K Σ_k l_i(k),     l_i(k) = -log softmax_k(z_i / T)

    So n right answers claim a probability of about 1 - ε, and never 1.
    """
    from scipy.optimize import minimize_scalar  # a quarter of a second, which predict saves
    from scipy.special import log_softmax

    n, ways = left.logits.shape
    if n < FEWEST or not np.isfinite(left.logits).all():
        return 1.0
    share = 1 / (n + 2)
    target = np.full((n, ways), share / ways)
    target[np.arange(n), left.y] += 1 - share

    def loss(log_t: float) -> float:
        return -float(np.sum(target * log_softmax(left.logits / np.exp(log_t), axis=1)))

    # A coarse search first: the loss is flat where T is far too small or far too large.
    low, high = np.log(TEMPERATURES)
    grid = np.linspace(low, high, 41)
    best = int(np.argmin([loss(t) for t in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, 40)])
    found: Any = minimize_scalar(loss, bounds=around, method="bounded")
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Measured:
    """One row of the table of methods."""

    method: str
    right: int
    """How many of the left-out examples get their own class …"""
    of: int
    """… and how many there are."""
    nll: float
    """The mean negative log-likelihood of their classes, with the temperature."""
    temperature: float

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return self.right / self.of


def measured(found: Mapping[str, LeftOut]) -> tuple[Measured, ...]:
    """Make the table of what `leave_out` has found, in its order."""
    rows = []
    for name, left in found.items():
        t = temperature(left)
        rows.append(Measured(name, left.right, len(left.y), left.nll(t), t))
    return tuple(rows)


def best_of(table: tuple[Measured, ...], validation: Mapping[str, float]) -> str:
    """Choose the method with the highest sum of two accuracies: on left-out examples, and on the
    run's `validation` tasks, where all methods of the table were measured there. A few examples
    alone say little: of equally good methods many are ahead by chance. The first of equal ones."""
    known = validation if all(row.method in validation for row in table) else {}
    return max(table, key=lambda row: row.accuracy + known.get(row.method, 0.0)).method
