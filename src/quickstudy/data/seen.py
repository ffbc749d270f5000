"""Whether classes to test on were trained on, going by their names."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from quickstudy.data.options import DataOptions, choice
from quickstudy.data.own import listed
from quickstudy.data.registry import data_of
from quickstudy.datasets.kept import NOT_KEPT
from quickstudy.terminal import warn


def seen_in_training(
    trained: DataOptions, tested: DataOptions, part: str = "test"
) -> tuple[Sequence[str], Sequence[str]]:
    """Give the classes of the part that is tested on, and those of them whose names are among the
    training classes; nothing where data are of different families, or training classes are what
    is asked for."""
    same = choice(trained) == choice(tested)
    one, other = data_of(trained), data_of(tested)
    if (one.family or one.name) != (other.family or other.name) or (same and part == "train"):
        return (), ()
    if same and trained.classes in (None, NOT_KEPT):
        return (), ()  # parts without a class in common
    names, known = other.names(part), set(one.names("train"))
    return names, [name for name in names if name in known]


@functools.lru_cache
def warn_of_seen_classes(
    trained: DataOptions, tested: DataOptions, part: str, run: str = "the run"
) -> None:
    """Say in one line on standard error, once, where classes to test on were trained on. `run` is
    what to call the run."""
    one, data = data_of(trained), data_of(tested)
    other = choice(trained) != choice(tested)
    if trained.classes == NOT_KEPT and one.own and other:
        if data.own:
            warn(
                f"{run} kept no names of its classes (an older quickstudy trained it): whether it "
                f"was trained on classes of {tested.tasks} is not known"
            )
        return
    names, seen = seen_in_training(trained, tested, part)
    if not seen:
        return
    _, words = data.things
    if data.test_only:
        advice = "; for new ones train on --split koch or lake"
    elif data.own and other:
        advice = "; the run's split.json, given to --split, has classes that it was not trained on"
    else:
        advice = ""
    warn(
        f"{run} was trained on {len(seen)} of the {len(names)} {part} {words} of {tested.tasks}, "
        f"going by their names ({listed(seen)}): the figures are no evidence for new "
        f"{words}{advice}"
    )
