"""Which options of an episode go together, and what each mode cuts."""

import itertools
from dataclasses import fields

import jax
import pytest

from quickstudy.cli.evaluate import CHANGED
from quickstudy.cli.evaluate import TestTasks as Changes
from quickstudy.data.modes import MODES, OPTIONS
from quickstudy.errors import UserError
from quickstudy.runs.tasks import episode_tasks
from quickstudy.settings.run import TaskSettings

CHANGES = {
    "fixed_labels": True,
    "any_shot": True,
    "proportional": True,
    "within": True,
    "labelled": 0.5,
    "anywhere": True,
    "distractors": 2,
    "zero_shot": True,
    "verify": True,
    "sequence": 9,
    "letters": True,
}
TOGETHER = {
    frozenset(pair)
    for pair in (
        ("fixed_labels", "any_shot"),
        ("fixed_labels", "labelled"),
        ("fixed_labels", "distractors"),
        ("labelled", "anywhere"),
        ("labelled", "distractors"),
        ("within", "verify"),
        ("sequence", "letters"),
    )
}
"""Pairs of options that mean something together."""

ALONE = {"anywhere": "--anywhere is about where labels", "letters": "--letters is about sequences"}


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(CHANGES, 2)))
def test_two_options_go_together_or_are_refused_by_name(one, other):
    changed = {one: CHANGES[one], other: CHANGES[other]}
    if {one, other} in TOGETHER:
        TaskSettings(**changed)
        return
    with pytest.raises(UserError) as error:
        TaskSettings(**changed)
    named = [f"--{name.replace('_', '-')}" for name in changed]
    assert all(flag in str(error.value) for flag in named) or any(
        ALONE.get(name, "?") in str(error.value) for name in changed
    )


def test_every_option_of_a_mode_is_an_option_of_tasks_and_is_looked_at_here():
    assert set(OPTIONS) == set(CHANGES)
    defaults = {f.name: f.default for f in fields(TaskSettings)}
    assert {name: defaults[name] for name in OPTIONS} == OPTIONS


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
def test_each_mode_cuts_what_its_options_say(mode):
    first = next(f.name for f in fields(mode))
    shot = 1 if first == "zero_shot" else 2
    tasks = TaskSettings(way=3, shot=shot, query=2, **{first: CHANGES[first]})
    assert type(tasks.mode) is mode
    if first == "within":
        with pytest.raises(UserError, match="names like group/class"):  # glyphs have no groups
            episode_tasks(tasks, "test", 3, tasks.shot, 2)
        return
    if first == "proportional":
        with pytest.raises(UserError, match="--proportional takes classes of your own"):
            episode_tasks(tasks, "test", 3, tasks.shot, 2)
        return
    made = episode_tasks(tasks, "test", 3, tasks.shot, 2)
    episode = jax.eval_shape(made.sample, jax.random.key(0))
    support = {"verify": 0, "sequence": 0, "zero_shot": 3}.get(first, 6)
    queries = {"verify": 12, "sequence": 9}.get(first, 6)
    assert (len(episode.support.y), len(episode.query.y)) == (support, queries)


def test_a_test_changes_options_of_tasks_under_their_own_names_and_kinds():
    kinds = {f.name: f.type for f in fields(Changes)}
    assert set(kinds) == set(CHANGED) <= {f.name for f in fields(TaskSettings)}
    assert all(getattr(Changes(), name) is None for name in CHANGED)
