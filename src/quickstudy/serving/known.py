"""Which known inputs an adapted learner's score compares an input with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from quickstudy.errors import UserError
from quickstudy.learner import Learner
from quickstudy.open_set import Reference
from quickstudy.runs.known import known_in, known_inputs
from quickstudy.serving.left_out import LeftOut
from quickstudy.terminal import warn

if TYPE_CHECKING:
    from quickstudy.serving.adapting import Source

LEFT_OUT = "left-out support examples"
"""The words for reference inputs that are these."""

SURPRISE = 0.01
"""The probability below which so many left-out examples beyond the threshold are no accident."""


def known_for(
    source: Source,
    method: str,
    learner: Learner,
    counts: tuple[int, ...],
    left: LeftOut | None,
) -> tuple[Reference | None, str]:
    """Choose the reference inputs of the score of a method's `learner`, and what to say of them.

    They are what the run's file keeps of them, if it does and the method is the run's own;
    otherwise queries of the run's validation classes, where its data can be opened, or those from
    `before` an update. Where the left-out examples are beyond the threshold more often than false
    alarms at this rate are, with a probability below 1 % of that by chance, the support set is
    unlike the data of the run. Then, and where there are no other reference inputs, they are the
    left-out examples. None where these are fewer than 1 / false_alarms - 1, the least with which a
    score can be so low.
    """
    way, shot, false_alarms = len(counts), int(np.median(counts)), source.false_alarms
    if source.known:
        own = method == source.settings.learner.name
        found = known_in(source.known, way, shot) if own else None
        said = "the file of the run has no reference inputs for this method"
    else:
        try:
            found, said = known_inputs(source.settings, learner, way, shot), ""
        except UserError as error:
            found, said = source.before.get(method), f"the run's data cannot be opened ({error})"
            if found is not None:
                warn(f"{said}: unknown inputs are told by comparison with {found.words}, as before")
    return chosen(found, said, left, false_alarms)


def chosen(
    found: Reference | None, said: str, left: LeftOut | None, false_alarms: float
) -> tuple[Reference | None, str]:
    """Choose between the reference inputs that were `found`, the left-out examples, and none, as
    `known_for` does; `said` is why none were found."""
    if found is not None:
        if left is None or not (beyond := surprising(found, left, false_alarms)):
            return found, ""
        said = f"{beyond} of {len(left.y)} left-out examples are unlike the run's own data"
    if left is not None and len(left.y) + 1 >= 1 / false_alarms:
        made = Reference.of(
            left.features, left.differences, left.spread, f"{len(left.y)} {LEFT_OUT}"
        )
        return made, f"{said}: unknown inputs are told by comparison with the left-out examples"
    least = int(np.ceil(1 / false_alarms - 1 - 1e-9))
    return None, (
        f"{said}, and fewer than {least} support examples can be left out: no input will be called "
        "unknown (add examples, or allow more --false-alarms)"
    )


def surprising(found: Reference, left: LeftOut, false_alarms: float) -> int:
    """Count the left-out examples beyond the threshold, 0 where that many may be an accident: where
    a binomial variable is as large with a probability of 1 % or more."""
    beyond = int(np.sum(found.score(left.features, left.differences) <= false_alarms))
    chance = binom.sf(beyond - 1, len(left.y), false_alarms)
    return beyond if chance < SURPRISE else 0
