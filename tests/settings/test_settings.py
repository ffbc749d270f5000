"""Options that are numbers: what is said is kept, and what cannot be is refused at once."""

import dataclasses
import json
import math
from typing import get_type_hints

import jax
import pytest

from quickstudy.cli.demo import Demo
from quickstudy.cli.evaluate import TestOptions as EvaluateOptions
from quickstudy.cli.optimize import Optimize
from quickstudy.errors import UserError
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.settings.learners import (
    ANILSettings,
    BOILSettings,
    CAVIASettings,
    EvolutionMAMLSettings,
    FineTuningSettings,
    ImplicitMAMLSettings,
    MAMLPlusPlusSettings,
    MAMLSettings,
    MTNetSettings,
    PixelsSettings,
    SNAILSettings,
    TADAMSettings,
    TAMLSettings,
    TapNetSettings,
)
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.registry import LEARNERS, OPTIMIZERS
from quickstudy.settings.run import Asking, RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.settings.training import TrainingSettings
from quickstudy.settings.unrolling import UnrollSettings

GROUPS = [
    *(TaskSettings, TrainingSettings, NetworkSettings, ProblemSettings, UnrollSettings),
    *LEARNERS.values(),
    *OPTIMIZERS.values(),
]
COMMANDS = [EvaluateOptions, Demo, Optimize, Asking]
LATER = {EvaluateOptions: {f.name for f in dataclasses.fields(TaskSettings)}}
"""Those that are checked where they become options of another group."""
REQUIRED = {Optimize: {"run": "a"}, Asking: {"ask": "random"}}


def options(*kinds: type) -> list:
    """Every option of every group that is a number of one of these kinds, or a tuple of them."""
    return [
        pytest.param(
            group,
            name,
            isinstance(hint, type) or "tuple" not in str(hint),
            id=f"{group.__name__}.{name}",
        )
        for group in [*GROUPS, *COMMANDS]
        for name, hint in get_type_hints(group).items()
        if name in {f.name for f in dataclasses.fields(group)} - LATER.get(group, set())
        and any(hint in (kind, kind | None, tuple[kind, ...]) for kind in kinds)
    ]


def refused(group: type, name: str, single: bool, value: float) -> str:
    with pytest.raises(UserError) as said:
        group(**REQUIRED.get(group, {}), **{name: value if single else (value,)})
    return str(said.value)


@pytest.mark.parametrize(("group", "name", "single"), options(float))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39, -0.5])
def test_a_number_that_is_none_or_none_that_a_device_holds_is_refused(group, name, single, value):
    assert f"--{name.replace('_', '-')} {value}: it" in refused(group, name, single, value)


@pytest.mark.parametrize(("group", "name", "single"), options(int))
@pytest.mark.parametrize("value", [-1, 2**31, 99999999999999999999])
def test_a_count_that_is_none_or_none_that_a_device_holds_is_refused(group, name, single, value):
    assert f"--{name.replace('_', '-')} {value}: it must be" in refused(group, name, single, value)


def test_the_largest_count_and_seed_are_taken():
    largest = TrainingSettings(steps=2**31 - 1, seed=2**31 - 1)
    assert (largest.steps, largest.seed) == (2147483647, 2147483647)


CLASSES = TaskSpec((3,), Categorical(2), 9)
TARGETS = TaskSpec((1,), Gaussian(1), None)


@pytest.mark.parametrize(
    "settings",
    [
        MAMLSettings,
        ANILSettings,
        BOILSettings,
        CAVIASettings,
        MTNetSettings,
        TAMLSettings,
        ImplicitMAMLSettings,
        MAMLPlusPlusSettings,
    ],
)
def test_a_rate_of_zero_is_kept(settings):
    for problem in (CLASSES, TARGETS):
        assert settings(inner_rate=0.0).rate(problem) == 0
        assert settings().rate(problem) == settings.default_rates[not problem.classifies]


def test_hill_climbing_keeps_a_deviation_of_zero():
    def deviation(**options):
        made = EvolutionMAMLSettings(adaptation="hill-climbing", **options)
        return made.build(TARGETS, jax.random.key(0)).deviation

    assert deviation(inner_rate=0.0) == 0
    assert deviation() == 0.05


def test_inner_steps_of_zero_are_kept():
    assert MAMLSettings(inner_steps=0).loop(TARGETS)["train_steps"] == 0
    assert MAMLSettings(inner_steps=0).loop(TARGETS)["test_steps"] == 0
    assert MAMLSettings(test_steps=0).loop(CLASSES)["test_steps"] == 0
    assert MAMLSettings().loop(CLASSES)["test_steps"] == MAMLSettings.default_test_steps == 3


def resolved(learner, tasks=None, **training):
    return RunSettings(learner, tasks or TaskSettings(), TrainingSettings(**training)).resolved()


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ({}, 26),
        ({"way": 5, "shot": 5}, 26),
        ({"way": 20, "shot": 5}, 101),
        ({"way": 5, "shot": 1, "train_way": 20, "train_shot": 5}, 101),
        ({"way": 20, "shot": 5, "train_way": 5, "train_shot": 1}, 101),
        ({"sequence": 50}, 50),
    ],
)
def test_a_snail_spans_its_longest_support_set_and_a_query(tasks, expected):
    """Mishra et al. 2018, appendix A: T = N K + 1."""
    assert resolved(SNAILSettings(), TaskSettings(**tasks)).learner.length == expected
    assert resolved(SNAILSettings(length=9), TaskSettings(**tasks)).learner.length == 9


def test_a_longer_snail_has_more_convolutions():
    def blocks(**tasks):
        learner = resolved(SNAILSettings(temporal_filters=4), TaskSettings(**tasks)).learner
        return len(learner.build(CLASSES, jax.random.key(0)).blocks)

    five, seven = math.ceil(math.log2(26)), math.ceil(math.log2(101))
    assert blocks() == blocks(way=5, shot=5) == 3 + 2 * five
    assert blocks(way=20, shot=5) == 3 + 2 * seven


@pytest.mark.parametrize(("steps", "expected"), [(None, 300), (2000, 100), (30_000, 1500), (0, 1)])
def test_tadam_classifies_less_often_after_each_twentieth_of_its_steps(steps, expected):
    """Oreshkin et al. 2018: 0.9^⌊20 t / T⌋."""
    assert resolved(TADAMSettings(), steps=steps).learner.anneal_every == expected
    assert resolved(TADAMSettings(anneal_every=7), steps=steps).learner.anneal_every == 7


@pytest.mark.parametrize(("steps", "expected"), [(None, 500), (2000, 200), (5, 0)])
def test_mamls_losses_are_annealed_over_a_tenth_of_its_steps(steps, expected):
    """Antoniou et al. 2019: 15 of 150 epochs."""
    assert resolved(MAMLPlusPlusSettings(), steps=steps).learner.annealing == expected
    assert resolved(MAMLPlusPlusSettings(annealing=0), steps=steps).learner.annealing == 0


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [({}, 20), ({"train_way": 5}, 5), ({"way": 30}, 30), ({"way": 25, "train_way": 5}, 25)],
)
def test_tapnet_has_a_reference_for_each_class_of_an_episode(tasks, expected):
    settings = resolved(TapNetSettings(NetworkSettings("mlp")), TaskSettings(**tasks))
    assert settings.learner.references == expected


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("meta_batch", [1, 6, 20, 24, None])
def test_a_meta_batch_divides_into_the_groups_that_a_learner_takes_by_default(name, meta_batch):
    training = resolved(LEARNERS[name](), meta_batch=meta_batch).training
    if training.tasks_at_once is not None:
        assert training.meta_batch % min(training.tasks_at_once, training.meta_batch) == 0


@pytest.mark.parametrize("name", LEARNERS)
def test_settings_with_all_defaults_filled_in_stay_as_they_are(name):
    settings = resolved(LEARNERS[name]())
    assert settings.resolved() == settings
    assert RunSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_classes_of_tasks_that_are_not_cut_out_of_classes_cannot_all_be_told_apart():
    tables = TaskSpec((3,), Categorical(2), None)
    PixelsSettings().build(tables, jax.random.key(0))
    for settings in (FineTuningSettings(), TADAMSettings()):
        with pytest.raises(UserError, match="these tasks are not cut out of classes"):
            settings.build(tables, jax.random.key(0))
        with pytest.raises(UserError, match="classifies; these tasks have real targets"):
            settings.build(TARGETS, jax.random.key(0))
