"""The methods that may answer for one function, and their errors on left-out rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.errors import UserError
from quickstudy.learner import Learner
from quickstudy.likelihood import RealTargets
from quickstudy.runs.opponents import free_opponents, opponents_of
from quickstudy.runs.saved import SavedRun
from quickstudy.task import Examples

SEED = 0


def settled_opponents(saved: SavedRun) -> tuple[dict[str, Learner], str]:
    """Give the free opponents of a run, and what to say of them. The regression for all tasks is
    fitted to the run's training tasks, and is not there where these cannot be opened."""
    settings, problem = saved.settings, saved.problem
    try:
        return opponents_of(settings, problem, settings.tasks), ""
    except UserError as error:
        free = free_opponents(problem)
        del free["one for all"]
        said = f"the run's data cannot be opened, so 'one for all' is not measured ({error})"
        return free, said


def left_out_rmse(
    methods: Mapping[str, Learner], support: Examples, likelihood: RealTargets
) -> dict[str, float]:
    """The root of the mean squared error of left-out rows by method, each row predicted from the
    others; infinite where a prediction is not finite; nothing for a single row."""
    errors = {}
    for name, method in methods.items() if len(support.y) > 1 else ():
        squared = np.square(np.asarray(_errors(method, support, likelihood), np.float64))
        mean = float(squared.mean())
        errors[name] = math.sqrt(mean) if math.isfinite(mean) else math.inf
    return errors


@eqx.filter_jit
def _errors(learner: Learner, support: Examples, likelihood: RealTargets) -> Float[Array, " n"]:
    answers = learner.answers(likelihood)
    assert isinstance(answers, RealTargets)

    def error(i: Array) -> Array:
        others = Examples(support.x, support.y.at[i].set(jnp.nan))
        predictor = learner.adapt(others, likelihood, key=jax.random.key(SEED))
        return (answers.moments(predictor(support.x[i][None]))[0] - support.y[i])[0, 0]

    return jax.lax.map(error, jnp.arange(len(support.y)))
