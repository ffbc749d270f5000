"""Times of several contenders, in turns, and what they say."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.contender import Contender

SECONDS_PER_REPETITION = 0.3
"""A repetition takes as many steps as fill about this time."""


@dataclass(frozen=True)
class Spread:
    """The median of some figures, the least and the greatest."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """
        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.0, high=3.0)
        """
        return Spread(float(np.median(values)), float(min(values)), float(max(values)))


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times longer a peer takes: repetition by repetition, because those lie side by
    side in time.

    >>> ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    Spread(median=2.0, low=2.0, high=3.0)
    """
    return Spread.of([a / b for a, b in zip(theirs, ours, strict=True)])


def seconds_of(contender: Contender, steps: int) -> float:
    """Seconds that so many steps take."""
    start = time.perf_counter()
    contender.run(steps)
    return time.perf_counter() - start


def fitting_steps(contender: Contender) -> int:
    """How many steps fill a repetition. What happens only at first has happened after this, and
    does not take so long that it would be most of a very long first step."""
    steps = 1
    if seconds_of(contender, steps) > 10 * SECONDS_PER_REPETITION:
        return steps
    while (seconds := seconds_of(contender, steps)) < SECONDS_PER_REPETITION / 5:
        steps *= 4
    return max(1, math.ceil(steps * SECONDS_PER_REPETITION / seconds))


def in_turns(
    contenders: Mapping[str, Contender], repetitions: int, failed: dict[str, Exception]
) -> Iterator[dict[str, tuple[int, float]]]:
    """Each repetition's steps, and seconds a step, of every contender; one after the other. One
    that raises goes into `failed`, and has no more turns."""
    steps: dict[str, int] = {}

    def turn(name: str, contender: Contender) -> tuple[int, float] | None:
        if name in failed:
            return None
        try:
            if name not in steps:
                steps[name] = fitting_steps(contender)
                return None
            return steps[name], seconds_of(contender, steps[name]) / steps[name]
        except Exception as error:  # whatever a package meets when it runs
            failed[name] = error
            return None

    for number in range(1 + repetitions):
        taken = {name: found for name, x in contenders.items() if (found := turn(name, x))}
        if number > 0:
            yield taken
