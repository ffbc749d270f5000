"""Problems of several kinds as one problem, so one compiled step of meta-training has them all:

    f((θ_1, …, θ_n)) = 1/n Σ_k f_k(θ_k) / c_k

where c_k is about the value of f_k at the start of a minimisation, so all kinds have equal weight.
For an optimiser that treats tensors separately, and takes the same steps on f and on c f, this
equals minimising each problem alone."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.task import Optimizee, TaskDistribution

DRAWS = 256
"""The number of problems of a kind that estimate c_k."""


class Several(Optimizee):
    """One problem of each kind."""

    problems: tuple[Optimizee, ...]
    scales: Float[Array, " kinds"]
    """c"""

    def init(self, key: PRNGKeyArray) -> tuple[PyTree, ...]:
        keys = jax.random.split(key, len(self.problems))
        return tuple(problem.init(k) for problem, k in zip(self.problems, keys, strict=True))

    def losses(self, parameters: tuple[PyTree, ...], key: PRNGKeyArray) -> Float[Array, " kinds"]:
        """f_k / c_k"""
        keys = jax.random.split(key, len(self.problems))
        of_each = [
            problem.loss(theta, k)
            for problem, theta, k in zip(self.problems, parameters, keys, strict=True)
        ]
        return jnp.stack(of_each) / self.scales

    def loss(self, parameters: tuple[PyTree, ...], key: PRNGKeyArray) -> Float[Array, ""]:
        return jnp.mean(self.losses(parameters, key))


class SeveralKinds(TaskDistribution[Several]):
    """>>> problems = SeveralKinds(Quadratics(), LogisticRegressions())"""

    kinds: tuple[TaskDistribution, ...]
    scales: Float[Array, " kinds"]

    def __init__(self, *kinds: TaskDistribution):
        self.kinds = kinds
        self.scales = jnp.stack([first_loss(kind) for kind in kinds])

    def sample(self, key: PRNGKeyArray) -> Several:
        keys = jax.random.split(key, len(self.kinds))
        problems = [kind.sample(k) for kind, k in zip(self.kinds, keys, strict=True)]
        return Several(tuple(problems), self.scales)

    def protocol(self) -> dict[str, Any]:
        return {"problems": "several kinds", "kinds": [kind.protocol() for kind in self.kinds]}


@eqx.filter_jit
def first_loss(kind: TaskDistribution) -> Float[Array, ""]:
    """Estimate the mean of f(θ_0) over `DRAWS` problems."""

    def one(key: PRNGKeyArray) -> Float[Array, ""]:
        problem = kind.sample(key)
        return problem.loss(problem.init(key), key)

    return jnp.mean(jax.vmap(one)(jax.random.split(jax.random.key(0), DRAWS)))
