"""Options that are numbers: what is said is kept, and what cannot be is refused at once."""

import dataclasses
import math
from typing import get_type_hints

import pytest

from quickstudy.cli.demo import Demo
from quickstudy.cli.evaluate import TestOptions as EvaluateOptions
from quickstudy.cli.optimize import Optimize
from quickstudy.errors import UserError
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.recipes.learner_settings import NetworkSettings, Problem
from quickstudy.recipes.learners.gradient import ANIL, BOIL, CAVIA, MAML, TAML, MAMLPlusPlus, MTNet
from quickstudy.recipes.learners.gradient_estimates import EvolutionMAML, ImplicitMAML
from quickstudy.recipes.optimizers import OPTIMIZERS, ProblemSettings, UnrollSettings
from quickstudy.recipes.registry import LEARNERS
from quickstudy.recipes.settings import Asking, TaskSettings, TrainingSettings

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


CLASSES = Problem((3,), Categorical(2), 9)
TARGETS = Problem((1,), Gaussian(1), None)


@pytest.mark.parametrize(
    "settings", [MAML, ANIL, BOIL, CAVIA, MTNet, TAML, ImplicitMAML, MAMLPlusPlus]
)
def test_a_rate_of_zero_is_kept(settings):
    for problem in (CLASSES, TARGETS):
        assert settings(inner_rate=0.0).rate(problem) == 0
        assert settings().rate(problem) == settings.default_rates[not problem.classifies]


def test_hill_climbing_keeps_a_deviation_of_zero():
    import jax

    def deviation(**options):
        made = EvolutionMAML(adaptation="hill-climbing", **options)
        return made.build(TARGETS, jax.random.key(0)).deviation

    assert deviation(inner_rate=0.0) == 0
    assert deviation() == 0.05


def test_inner_steps_of_zero_are_kept():
    assert MAML(inner_steps=0).loop(TARGETS)["train_steps"] == 0
    assert MAML(inner_steps=0).loop(TARGETS)["test_steps"] == 0
    assert MAML(test_steps=0).loop(CLASSES)["test_steps"] == 0
    assert MAML().loop(CLASSES)["test_steps"] == MAML.default_test_steps == 3
