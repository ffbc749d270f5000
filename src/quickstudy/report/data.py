"""What a report shows, as plain NumPy arrays and Python values.

Whoever wires a report fills these in; a section whose data is None or empty is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from quickstudy.estimate import Estimate


def called(metric: str) -> str:
    """A metric's name as people write it.

    >>> called("accuracy"), called("mse")
    ('accuracy', 'MSE')
    """
    return metric.upper() if metric in ("mse", "nll", "cka") else metric


@dataclass(frozen=True)
class Row:
    """One learner, measured: a row of the results table."""

    name: str
    headline: Estimate
    """The report's metric: accuracy as a fraction in [0, 1], or an error."""
    nll: Estimate | None = None
    """Negative log-likelihood of the query targets, in nats."""
    calibration_error: float | None = None
    """Expected calibration error, a fraction in [0, 1]."""
    mode: str = ""
    """What a prediction may look at: "transductive", "inductive", "no batch norm" …"""
    difference: Estimate | None = None
    """This row minus the best one, paired on the same episodes; None for the best itself."""


@dataclass(frozen=True, eq=False)
class Curve:
    """The history of one training run."""

    name: str
    steps: Int[np.ndarray, " n"]
    loss: Float[np.ndarray, " n"]
    metric: Float[np.ndarray, " n"]
    """The headline metric on the training episodes."""
    validation_steps: Int[np.ndarray, " m"]
    validation: Float[np.ndarray, " m"]
    """The headline metric on validation episodes; m may be 0."""

    def best(self, higher_is_better: bool) -> int | None:
        """The position of the best validation point; None without one."""
        if not np.isfinite(self.validation).any():
            return None
        pick = np.nanargmax if higher_is_better else np.nanargmin
        return int(pick(self.validation))


@dataclass(frozen=True, eq=False)
class ImageEpisode:
    """An episode of images in [0, 1], with C = 1, 3 or 4, and what was predicted on it."""

    names: Sequence[str]
    """The `way` classes; labels are positions in this list."""
    support_images: Float[np.ndarray, "n H W C"]
    support_labels: Int[np.ndarray, " n"]
    query_images: Float[np.ndarray, "m H W C"]
    query_labels: Int[np.ndarray, " m"]
    probabilities: Float[np.ndarray, "m way"]


@dataclass(frozen=True, eq=False)
class CurveEpisode:
    """An episode of regression from one number to one number, say a sinusoid."""

    support_x: Float[np.ndarray, " n"]
    support_y: Float[np.ndarray, " n"]
    x: Float[np.ndarray, " m"]
    """A grid, in ascending order, on which the curves are drawn."""
    truth: Float[np.ndarray, " m"]
    predictions: Mapping[str, Float[np.ndarray, " m"]]
    """In order, say {"before adapting": …, "after 10 steps": …}."""


@dataclass(frozen=True, eq=False)
class Line:
    """The headline metric of one learner at several settings."""

    name: str
    x: Float[np.ndarray, " k"] | Int[np.ndarray, " k"]
    mean: Float[np.ndarray, " k"]
    half_width: Float[np.ndarray, " k"]
    """Of the 95% interval over episodes."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """The headline metric against one setting at test time."""

    setting: str
    """What x counts: "inner steps", "shots" or "presentations"."""
    lines: Sequence[Line]


@dataclass(frozen=True, eq=False)
class Calibration:
    """A reliability diagram: bins that cut [0, 1] evenly. Empty bins have count 0."""

    name: str
    counts: Float[np.ndarray, " bins"] | Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    """Mean probability claimed in each bin."""
    correct: Float[np.ndarray, " bins"]
    """Fraction of the claims that came true."""

    @classmethod
    def from_sums(cls, name: str, sums: Float[np.ndarray, "bins 3"]) -> "Calibration":
        """From what `Likelihood.calibration` gives, added up over tasks.

        >>> Calibration.from_sums("protonet", np.array([[0, 0, 0], [4, 3.6, 3.0]])).error
        0.15
        """
        counts, confidence, correct = np.asarray(sums, float).T
        claims = np.maximum(counts, 1)
        return cls(name, counts, confidence / claims, correct / claims)

    @property
    def error(self) -> float:
        """Expected calibration error: Σ_b n_b/n |correct_b - confidence_b|."""
        held = self.counts > 0
        gaps = np.abs(self.correct[held] - self.confidence[held])
        return round(float(np.average(gaps, weights=self.counts[held])), 12) if held.any() else 0.0


@dataclass(frozen=True, eq=False)
class Embedding:
    """Examples where the network puts them, projected to their first two principal components."""

    names: Sequence[str]
    points: Float[np.ndarray, "n 2"]
    labels: Int[np.ndarray, " n"]
    prototypes: Float[np.ndarray, "way 2"] | None = None
    explained: float | None = None
    """The share of the variance that the two components hold, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """Queries of one class taken for another: `count` of `total`."""

    true: str
    predicted: str
    count: int
    total: int
    """Queries of the true class in episodes that held both classes."""
    true_image: Float[np.ndarray, "H W C"] | None = None
    predicted_image: Float[np.ndarray, "H W C"] | None = None


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything on the page.

    >>> ReportData("protonet on glyphs, 5-way 1-shot", "accuracy", episodes=600, chance=0.2,
    ...            rows=[Row("protonet", Estimate(0.962, 0.004, 600))]).higher_is_better
    True
    """

    title: str
    metric: str
    """The headline metric. "accuracy" is printed in percent, any other name as it is."""
    episodes: int
    """How many test episodes the results are means over."""
    higher_is_better: bool = True
    chance: float | None = None
    """The metric of guessing, in the metric's units."""
    rows: Sequence[Row] = ()
    headline: str = ""
    """The name of the row whose figure stands at the top of the page; by default the best."""
    verdict: str = ""
    """Whether the learner is ahead of what needs no training, in one sentence."""
    protocol: Mapping[str, Any] | None = None
    curves: Sequence[Curve] = ()
    episode: ImageEpisode | CurveEpisode | None = None
    sweeps: Sequence[Sweep] = ()
    calibration: Sequence[Calibration] = ()
    embedding: Embedding | None = None
    confusions: Sequence[Confusion] = ()
