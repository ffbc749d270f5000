"""Means of figures, each with a 95 % interval that says what it covers."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

NORMAL_QUANTILE = 1.959964
"""z with P(|Z| ≤ z) = 95 %."""

Table = Float[np.ndarray, "trainings episodes"]


def complete(*tables: Table) -> list[Table]:
    """Select the episodes that have a figure, not NaN, in every row of every table."""
    known = ~np.any([np.isnan(table).any(axis=0) for table in tables], axis=0)
    return [table[:, known] for table in tables]


@dataclass(frozen=True)
class Estimate:
    """A mean with the half-width of its 95 % interval, and the coverage of the interval."""

    mean: float
    half_width: float
    episodes: int
    """The number of episodes."""

    trainings: tuple[int, ...] = (1,)
    """The number of measured trainings of the learner; for a difference, of both learners. 0 where
    the learner has nothing to train."""

    @staticmethod
    def of(
        values: Float[np.ndarray, " episodes"] | Table,
        minus: Float[np.ndarray, " episodes"] | Table | None = None,
    ) -> "Estimate":
        """The mean of figures on E episodes, or of their difference from figures on the same
        episodes. With a leading axis, these are figures of R trainings each.

        Of one training, the interval is 1.96 s / √E: other episodes may give another mean for this
        trained learner. Of several trainings, it covers other trainings too. Every training meets
        every episode, so figures follow the two-way model with crossed random effects

            x_te = μ + a_t + b_e + c_te,     Var x̄ = σ_a²/R + σ_b²/E + σ_c²/(R E)
                                                   = (E[MS_t] + E[MS_e] - E[MS_c]) / (R E)

        where MS_t, MS_e and MS_c are the mean squares of trainings, of episodes and of the rest
        (Searle, Casella and McCulloch 1992, chapter 4). The variance of the mean is estimated by

            V = (MS_t + max(MS_e - MS_c, 0)) / (R E)

        and the half-width is t √V, where t is Student's quantile for the degrees of freedom that
        Satterthwaite (1946) gives a sum of mean squares, V² / Σ_i V_i²/ν_i for its parts V_i with
        ν_i degrees, and no fewer than the R - 1 of trainings.

        In a difference x̄ - ȳ the trainings of the two learners are separate and their episodes are
        shared. So trainings and rests add up, and the variance of the episodes' differences takes
        the place of MS_e / (R E):

            V = Σ_xy MS_t / (R E) + max(s² / E - Σ_xy MS_c / (R E), 0),
            s² = Var_e(x̄_e - ȳ_e).

        A learner that was trained once adds nothing to the sums: its training is not covered.

        >>> Estimate.of(np.array([[0.8, 0.9, 1.0], [0.6, 0.7, 0.8]])).trainings
        (2,)
        """
        tables = [np.atleast_2d(x) for x in (values, minus) if x is not None]
        count, trainings = tables[0].shape[1], tuple(len(table) for table in tables)
        with np.errstate(invalid="ignore"):  # infinite losses have no interval
            of_episodes = tables[0].mean(0) - (tables[1].mean(0) if minus is not None else 0.0)
            mean = float(np.mean(of_episodes)) if count else math.nan
            if count < 2:
                half_width = math.nan
            elif max(trainings) == 1:
                spread = float(np.std(of_episodes, ddof=1))
                half_width = NORMAL_QUANTILE * spread / math.sqrt(count)
            else:
                half_width = _crossed(of_episodes, [t for t in tables if len(t) > 1])
        return Estimate(mean, half_width, count, trainings)

    @property
    def covers(self) -> str:
        """What the interval covers, in words.

        >>> Estimate(0.98, 0.01, 1000, (5,)).covers
        'over 5 trainings and 1,000 test episodes together'
        """
        episodes = f"{self.episodes:,} test episodes"
        several = [n for n in self.trainings if n > 1]
        if not any(self.trainings):
            return f"over {episodes}; nothing is trained"
        if not several:
            return f"over {episodes} of one training; another training may differ by more"
        words = f"over {' and '.join(map(str, several))} trainings and {episodes} together"
        return words + ("; the other learner was trained once" if 1 in self.trainings else "")

    def percent(self) -> str:
        """`98.12 ± 0.21`, for a share."""
        return f"{100 * self.mean:.2f} ± {100 * self.half_width:.2f}"

    def plain(self) -> str:
        """`0.381 ± 0.012`."""
        return f"{self.mean:.3f} ± {self.half_width:.3f}"

    def compact(self) -> str:
        """`0.01234 ± 0.0021`, for values that vary over orders of magnitude."""
        return f"{self.mean:.4g} ± {self.half_width:.2g}"


def _crossed(of_episodes: Float[np.ndarray, " episodes"], tables: list[Table]) -> float:
    """The half-width of `Estimate.of` where there are several trainings: those in `tables`."""
    count = len(of_episodes)
    trainings, rests = [], []  # (V_i, ν_i)
    for x in tables:
        size = len(x)
        of_trainings, mean = x.mean(1, keepdims=True), x.mean()
        rest = x - of_trainings - x.mean(0) + mean
        mean_square = count * np.sum((of_trainings - mean) ** 2) / (size - 1)
        degrees = (size - 1) * (count - 1)
        trainings.append((mean_square / (size * count), size - 1))
        rests.append((np.sum(rest**2) / degrees / (size * count), degrees))
    episodes = (np.var(of_episodes, ddof=1) / count, count - 1)
    without_rest = max(episodes[0] - sum(v for v, _ in rests), 0.0)
    variance = float(sum(v for v, _ in trainings) + without_rest)
    if variance == 0:
        return 0.0
    parts = [*trainings, episodes, *rests]
    degrees = variance**2 / sum(v**2 / n for v, n in parts)
    degrees = max(degrees, min(n for _, n in trainings))
    from scipy.special import stdtrit  # takes a tenth of a second, which one training saves

    return float(stdtrit(degrees, 0.975)) * math.sqrt(variance)
