"""Free opponents for real targets: the mean of the support set, and one regression for all tasks.
(The third, ridge regression on each support set alone, is in `ridge.py`.)

    mean:          ŷ(x) = ȳ, the mean of the support targets
    one for all:   ŷ(x) = Wᵀ (1, x),   W = (Φᵀ Φ + I)⁻¹ Φᵀ Y   with the rows of all training tasks

Both predict the standard deviation of their errors with each mean; where a support set has one
example it is 1, the unit of the target."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Likelihood, RealTargets, complete, with_log_scale
from quickstudy.task import Episode, Examples, TaskDistribution

TASKS = 1024
"""The number of episodes that the regression for all tasks is fitted to."""
LEAST_VARIANCE = 1e-6
"""The smallest variance, in squares of the unit of the target."""


class LinearGaussian(Predictor):
    """Means ŷ(x) = x W + b, and one scale for each number of the target."""

    weight: Float[Array, "d k"]
    bias: Float[Array, " k"]
    variance: Float[Array, "*k"]

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m size"]:
        mean = x.reshape(x.shape[0], -1) @ self.weight + self.bias
        log_scale = jnp.log(jnp.maximum(self.variance, LEAST_VARIANCE)) / 2
        return jnp.concatenate([mean, jnp.broadcast_to(log_scale, mean.shape)], axis=1)


class SupportMean(Learner):
    """A learner without parameters and training.

    >>> task = Sinusoid(shot=10, query=10).sample(key)
    >>> SupportMean().adapt(task.support, task.likelihood, key=key)(task.query.x).shape
    (10, 2)
    """

    def answers(self, likelihood: Likelihood) -> Likelihood:
        return with_log_scale(likelihood)

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> LinearGaussian:
        require_numbers(likelihood)
        counted = complete(support.y, likelihood)[:, None]
        y, n = likelihood.encode(support.y), jnp.maximum(jnp.sum(counted), 1)
        mean = jnp.sum(y * counted, 0) / n
        variance = jnp.sum(counted * (y - mean) ** 2, 0) / jnp.maximum(n - 1, 1) * (1 + 1 / n)
        weight = jnp.zeros((support.x[0].size, y.shape[1]))
        return LinearGaussian(weight, mean, jnp.where(n > 1, variance, 1.0))


class OneForAll(Learner):
    """A regression on the rows of all training tasks, which `settle` fits. It ignores the support
    set of a task.

    >>> learner = OneForAll(jnp.zeros((4, 1)), jnp.ones(1))     # 3 inputs, 1 target
    """

    weight: Float[Array, "p k"]
    """W, with the constant first."""
    variance: Float[Array, " k"]

    def answers(self, likelihood: Likelihood) -> Likelihood:
        return with_log_scale(likelihood)

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> LinearGaussian:
        require_numbers(likelihood)
        return LinearGaussian(self.weight[1:], self.weight[0], self.variance)

    def settle(self, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> "OneForAll":
        """Fit the weights to the rows of training tasks."""

        def rows(key: PRNGKeyArray) -> tuple[Array, Array]:
            task = tasks.sample(key)
            x = jnp.concatenate([task.support.x, task.query.x])
            y = jnp.concatenate([task.support.y, task.query.y])
            counted = complete(y, task.likelihood)[:, None]
            phi = jnp.concatenate([jnp.ones((len(x), 1)), x.reshape(len(x), -1)], axis=1)
            return phi * counted, task.likelihood.encode(y) * counted

        phi, y = jax.vmap(rows)(jax.random.split(key, TASKS))
        phi, y = phi.reshape(-1, phi.shape[-1]), y.reshape(-1, y.shape[-1])
        weight = jnp.linalg.solve(phi.T @ phi + jnp.eye(phi.shape[1]), phi.T @ y)
        count = jnp.maximum(jnp.sum(phi[:, 0]), 1)
        return OneForAll(weight, jnp.sum((y - phi @ weight) ** 2, 0) / count)


def require_numbers(likelihood: Likelihood) -> None:
    """Raise `ValueError` where targets are classes."""
    if not isinstance(likelihood, RealTargets):
        raise ValueError("this is a regression; these targets are classes")
