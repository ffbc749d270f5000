"""Logistic regression on raw inputs, with scikit-learn's default penalty: a linear model of one
support set, where scikit-learn is installed.

    p(y = k | x) ∝ exp(w_kᵀ x + b_k),    minimising Σ_i -log p(y_i | x_i) + ½ Σ_k ‖w_k‖²

The minimum is found by Newton's method. Inputs in their own units are badly conditioned: there the
default, L-BFGS, takes hundreds of iterations, and may stop before the minimum.
"""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from quickstudy.learner import Learner
from quickstudy.learners.baseline.ridge import Linear
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.task import Examples

MOST_ITERATIONS, TOLERANCE = 1000, 1e-5


def is_there() -> bool:
    """Whether scikit-learn is installed."""
    from importlib.util import find_spec

    return find_spec("sklearn") is not None


class LogisticRegression(Learner):
    """A learner without parameters and training. It has no gradient, because the host computes it.

    >>> LogisticRegression().adapt(support, Categorical(5), key=key)(queries).shape
    (75, 5)
    """

    @property
    def has_slope(self) -> bool:
        return False

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Linear:
        if not isinstance(likelihood, Categorical):
            raise ValueError("logistic regression classifies; these targets are not classes")
        x = support.x.reshape(len(support.y), -1)
        shapes = (
            jax.ShapeDtypeStruct((x.shape[1], likelihood.size), jnp.float32),
            jax.ShapeDtypeStruct((likelihood.size,), jnp.float32),
        )
        weight, bias = jax.pure_callback(
            partial(fitted, classes=likelihood.size),
            shapes,
            jax.lax.stop_gradient(x),
            support.y,
            vmap_method="sequential",
        )
        return Linear(weight, bias, likelihood.seen(support.y))


@cache
def blas() -> Any:
    """Control the threads of BLAS (by a package that scikit-learn brings along): several threads
    on matrices of some tens of rows wait for each other."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def fitted(x: Any, y: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit the weights (d, classes) and constants (classes,) to rows `x` labelled `y`; rows labelled
    -1 and classes without a row are left out.

    The weights are a combination of the rows (Kimeldorf and Wahba 1971), so where there are more
    features than rows, the model is fitted in coordinates of the rows' span: X = RᵀQᵀ, w = Q w'.
    """
    from sklearn.linear_model import LogisticRegression as OfScikitLearn

    x, y = np.asarray(x, np.float64), np.asarray(y)
    x, y = x[y >= 0], y[y >= 0]
    weight, bias = np.zeros((x.shape[1], classes), np.float32), np.zeros(classes, np.float32)
    if len(there := np.unique(y)) > 1:
        axes, coordinates = None, x
        if x.shape[1] > len(x):
            axes, r = np.linalg.qr(x.T)
            coordinates = r.T
        with blas().limit(limits=1):
            model = OfScikitLearn(solver="newton-cg", tol=TOLERANCE, max_iter=MOST_ITERATIONS)
            model.fit(coordinates, y)
        found = model.coef_ if axes is None else model.coef_ @ axes.T
        of_two = len(there) == 2  # whose one row of weights is that of the second class
        rows = np.concatenate([0 * found, found]) if of_two else found
        constants = np.append(0, model.intercept_) if of_two else model.intercept_
        weight[:, there], bias[there] = rows.T, constants
    return weight, bias
