"""A learner that has learned the user's own classes, in scikit-learn's manner.

    symbols = quickstudy.load("symbols.qs")
    symbols.predict(["a.png", "b.png"])

Predictions are for each input by itself. A learner set to normalise queries by each other
(`--normalisation batch`, MAML's default, as in its paper) is adapted with the statistics of the
support set instead: the statistics of a single image would tell nothing about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from quickstudy.compilation import enable_compilation_cache
from quickstudy.data.inputs import Inputs
from quickstudy.datasets.labels import normalised
from quickstudy.errors import UserError
from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Categorical
from quickstudy.numbers import FALSE_ALARMS
from quickstudy.open_set import Reference, Seen
from quickstudy.serving.left_out import Measured
from quickstudy.serving.support_set import SupportSet
from quickstudy.serving.values import read_values
from quickstudy.settings.run import RunSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples
from quickstudy.terminal import warn

NEAREST = 3
"""Support examples that are named beside a prediction."""

AT_ONCE = 32
"""Inputs are predicted in batches of this size, so that one program serves any number."""

SEED = 0

AT_LEAST = 0.05
"""Seconds of compiling from which on a program is kept for the next process: one picture should
not wait for what can be kept."""


@dataclass(frozen=True, eq=False)
class Kept:
    """What it takes to adapt again: see `updating.py`."""

    learner: Learner
    """The run's learner, with its meta-parameters ω."""
    x: Shaped[np.ndarray, "n ..."]
    """The support set, as the learner takes it."""
    best: dict[str, float] | None
    """Where the best method was asked for: the accuracy of each on the run's validation tasks, if
    the run keeps it (`left_out.best_of`). None where the run's own learner was."""
    known: list[dict[str, Any]] | None
    """What the run's file says of known inputs (`runs.known.known_in`)."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """A predictor of the user's own classes, and what is known of it; an estimator of scikit-learn
    that has been fitted.

    >>> symbols = quickstudy.load("symbols.qs")
    >>> symbols.classes_, symbols.predict("image.png"), symbols.predict_proba(x).shape
    (array(['alpha', 'beta', 'gamma'], dtype='<U5'), array(['beta'], dtype='<U5'), (10, 3))
    """

    predictor: Predictor
    """Its outputs are logits at temperature 1."""
    settings: RunSettings
    """Of the run; `inputs` in its tasks are those of the support set too."""
    problem: TaskSpec
    names: tuple[str, ...]
    """Of the classes: output k is for names[k]."""
    counts: tuple[int, ...]
    """How many support examples each class had."""
    right: int
    """How many of the support examples it gives their own class."""
    transductive: bool
    """Whether a prediction may depend on the inputs predicted with it: warn before use."""
    method: str = ""
    """What adapted: the run's learner or a free opponent; nothing in files of an older
    quickstudy, which have none of what follows either."""
    left_out: tuple[Measured, ...] = ()
    """What was measured on left-out examples; nothing where each class has one example."""
    temperature: float = 1.0
    examples: tuple[str, ...] = ()
    """The names of the support examples."""
    seen: Seen | None = None
    """The support set, as its features."""
    known: Reference | None = None
    """What known inputs are like; None where no input is called unknown."""
    false_alarms: float = FALSE_ALARMS
    """The share of known inputs that may be called unknown: the threshold of the score."""
    kept: Kept | None = None
    """What it takes to adapt again; None where the file does not hold it."""
    provenance: dict[str, Any] | None = None
    """Of the run; None where that is not known."""

    @property
    def inputs(self) -> Inputs:
        """What it takes."""
        assert self.settings.tasks.inputs is not None
        return self.settings.tasks.inputs

    @property
    def support(self) -> SupportSet:
        """The support set. Raises `UserError` where the file does not hold it."""
        if self.kept is None:
            raise UserError(
                f"{self.inputs.learner} was written without its support set (by adapt --forget, or "
                "by an older quickstudy): adapt to all examples anew"
            )
        return SupportSet(self.kept.x, self.names, self.counts, self.examples)

    @cached_property
    def classes_(self) -> Shaped[np.ndarray, " classes"]:
        """The names of the classes, in the order of `predict_proba`."""
        return np.asarray(self.names)

    def predict(self, X: Any) -> Shaped[np.ndarray, " n"]:
        """The most probable class of each input, whether it is `unknown` or not. `values.py` has
        what `X` may be. Raises `UserError` where the inputs cannot be read or do not fit."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n classes"]:
        """p(class | input) if the input is of one of the classes. Raises as `predict` does."""
        return self.probabilities(self.read(X))

    def score_samples(self, X: Any) -> Float[np.ndarray, " n"]:
        """How familiar each input is: the share of known inputs that look no more familiar
        (`open_set.py`), NaN where that is not known. Raises as `predict` does."""
        return self.answers(self.read(X))[1]

    def unknown(self, X: Any) -> Bool[np.ndarray, " n"]:
        """Whether each input is of none of the classes: whether its score is at most
        `false_alarms`. Raises as `predict` does."""
        return self.score_samples(X) <= self.false_alarms

    def score(self, X: Any, y: Any) -> float:
        """The share of inputs whose class is `y`, in the spelling of its name or another (`labels.
        normalised`). Warns where a label is none of the classes. Raises as `predict` does, and
        where there is not one class for each input."""
        found, y = self.predict(X), np.asarray(y)
        if y.shape != found.shape:
            raise UserError(
                f"y has shape {y.shape}: it must be ({len(found)},), a class for each input"
            )
        spelled = [str(y_i) if str(y_i) in self.names else normalised(y_i) for y_i in y]
        if unknown := sorted(set(spelled) - set(self.names)):
            warn(f"y has labels that are none of the classes, such as {unknown[0]!r}")
        return float(np.mean(found == np.asarray(spelled)))

    def read(self, X: Any) -> Shaped[np.ndarray, "n ..."]:
        """Bring inputs to the form that `answers` takes. Raises as `predict` does."""
        self.warn_if_transductive()
        enable_compilation_cache(AT_LEAST)
        return read_values(self.inputs, X)

    def probabilities(self, x: Shaped[np.ndarray, "n ..."]) -> Float[np.ndarray, "n classes"]:
        """p(class | input) for inputs as `read` gives them."""
        return self.answers(x)[0]

    def answers(
        self, x: Shaped[np.ndarray, "n ..."]
    ) -> tuple[
        Float[np.ndarray, "n classes"], Float[np.ndarray, " n"], Int[np.ndarray, "n nearest"]
    ]:
        """p(class | input); the score of each input, NaN where there is none; and the places of
        the support examples that are nearest."""
        size = max(1, len(x)) if self.transductive else AT_ONCE
        padded = np.pad(x, [(0, max(size - len(x), -len(x) % size))] + [(0, 0)] * (x.ndim - 1))
        temperature, parts = jnp.asarray(self.temperature), []
        for batch in padded.reshape(-1, size, *x.shape[1:]):
            found = _answers(self.predictor, self.seen, self.known, temperature, jnp.asarray(batch))
            parts.append(map(np.asarray, found))
        p, score, nearest = (np.concatenate(each)[: len(x)] for each in zip(*parts, strict=True))
        return p, score, nearest

    def warn_if_transductive(self) -> None:
        """Say so in one line where a prediction may depend on the inputs predicted with it."""
        if self.transductive:
            warn(
                f"{self.settings.learner.name} is transductive: each of these predictions depends "
                "on the other inputs given with it"
            )

    def __sklearn_is_fitted__(self) -> bool:
        return True


def scored(
    predictor: Predictor, seen: Seen | None, known: Reference | None, temperature: Any, x: Array
) -> tuple[Float[Array, "n classes"], Float[Array, " n"], Float[Array, "n d"] | None]:
    """p(class | input); the score of each input, NaN where there is none; and the features of the
    inputs, where they are compared with what was seen."""
    p, score = jax.nn.softmax(predictor(x) / temperature), jnp.full(x.shape[0], jnp.nan)
    if seen is None:
        return p, score, None
    z = predictor.embed(x)
    return p, score if known is None else known.score(*seen.distances(z, x)), z


@eqx.filter_jit
def _answers(
    predictor: Predictor, seen: Seen | None, known: Reference | None, temperature: Array, x: Array
) -> tuple[Array, Array, Array]:
    p, score, z = scored(predictor, seen, known, temperature, x)
    if seen is None or z is None:
        return p, score, jnp.zeros((len(x), 0), int)
    return p, score, seen.nearest(z)[:, :NEAREST]


@eqx.filter_jit
def adapted_to(
    learner: Learner, support: Examples, ways: int
) -> tuple[Predictor, Seen, Array, Array]:
    """The predictor, what it has seen, how many support examples it gets right, and whether it
    gives numbers."""
    predictor, seen = learned(learner, support, ways)
    logits = predictor(support.x)
    right = jnp.sum(jnp.argmax(logits, -1) == support.y)
    finite = jnp.all(jnp.isfinite(jax.nn.softmax(logits)))
    return predictor, seen, right, finite


def learned(learner: Learner, support: Examples, ways: int) -> tuple[Predictor, Seen]:
    """The predictor, and what it has seen."""
    predictor = learner.adapt(support, Categorical(ways), key=jax.random.key(SEED))
    return predictor, Seen.of(predictor, support, ways)
