"""What a learner was built for, saved and loaded again."""

import json
import sys

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.data.inputs import TokenShape
from quickstudy.errors import UserError
from quickstudy.likelihood import (
    Categorical,
    Gaussian,
    HeteroscedasticGaussian,
    Letters,
    Likelihood,
)
from quickstudy.runs import plan as planning
from quickstudy.runs import train as training_runs
from quickstudy.runs.problem_json import kinds_of, problem_from_json, problem_to_json
from quickstudy.settings.learners import MAMLSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.settings.training import TrainingSettings


class Scaled(Gaussian):
    """A likelihood of the user's own, with fields of its own."""

    bounds: tuple[float, float] = eqx.field(static=True, default=(0.0, 1.0))
    called: str = eqx.field(static=True, default="a")


class Learned(Gaussian):
    """One whose scale is an array."""

    scales: np.ndarray = eqx.field(default_factory=lambda: jnp.ones(2))


class Otherwise(Gaussian):
    """One that is made from other things than its fields."""

    def __init__(self, variance: float):
        self.size, self.scale = 1, variance**0.5


OfTheSameName = type("Gaussian", (Gaussian,), {"__module__": __name__, "__qualname__": "Gaussian"})
"""The user's own, with the name of one of the project's."""


def again(likelihood):
    found = json.loads(json.dumps(problem_to_json(TaskSpec((3,), likelihood, None))))
    return problem_from_json(found).likelihood


@pytest.mark.parametrize(
    "likelihood",
    [
        Categorical(7),
        Letters(),
        Gaussian(2),
        Gaussian(1, scale=0.1),
        HeteroscedasticGaussian(4, floor=0.01),
        Scaled(1, 0.3, (-1.0, 2.5), "b"),
        OfTheSameName(2),
    ],
    ids=repr,
)
def test_a_likelihood_keeps_every_field(likelihood):
    loaded = again(likelihood)
    assert type(loaded) is type(likelihood)
    assert loaded == likelihood
    prediction, y = jnp.full((1, likelihood.size), 0.2), likelihood_target(likelihood)
    np.testing.assert_array_equal(
        *(kind.negative_log_likelihood(prediction, y) for kind in (loaded, likelihood))
    )


def likelihood_target(likelihood):
    if isinstance(likelihood, Categorical):
        return jnp.asarray([1])
    if isinstance(likelihood, Letters):
        return jnp.asarray([[1, 2, 3, 4, 0]])
    return jnp.ones((1, likelihood.targets))


def test_every_likelihood_of_the_project_is_known():
    names = {kind.__name__ for kind in kinds_of(Likelihood)}
    assert {"Categorical", "Letters", "Gaussian", "HeteroscedasticGaussian"} <= names


@pytest.mark.parametrize("likelihood", [Learned(1), Otherwise(4.0)], ids=["array", "arguments"])
def test_a_likelihood_that_could_not_be_loaded_is_refused_when_it_is_saved(likelihood):
    with pytest.raises(UserError, match=f"{type(likelihood).__name__} cannot be saved"):
        problem_to_json(TaskSpec((3,), likelihood, None))


def test_a_likelihood_that_is_not_defined_here_is_named_and_nothing_is_imported():
    found = problem_to_json(TaskSpec((3,), Gaussian(1), None))
    with pytest.raises(UserError, match=r"likelihood this\.Poisson can be loaded only where"):
        problem_from_json({**found, "likelihood": "this.Poisson"})
    assert "this" not in sys.modules


def test_older_runs_that_say_the_size_alone_load_as_before():
    found = {
        "shape": [3],
        "vocabulary": 9,
        "likelihood": "HeteroscedasticGaussian",
        "size": 4,
        "training_classes": None,
    }
    problem = problem_from_json(found)
    assert problem == TaskSpec(TokenShape((3,), 9), HeteroscedasticGaussian(4), None)
    assert problem_from_json({**found, "likelihood": "Gaussian"}).likelihood == Gaussian(4)


def test_what_could_not_be_loaded_again_is_not_trained(monkeypatch, tmp_path):
    monkeypatch.setattr(planning, "problem_of", lambda _: TaskSpec((1,), Learned(1), None))
    settings = RunSettings(MAMLSettings(), TaskSettings("sinusoid"), TrainingSettings(steps=1))
    with pytest.raises(UserError, match="Learned cannot be saved"):
        training_runs.train(settings, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()
