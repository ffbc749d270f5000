"""Meta-SGD (Li, Zhou, Chen and Li, 2017).

Learn the starting point and also the direction and the length of the step: every parameter has its
own learning rate, which may be negative.

    φ = θ - α ∘ ∇_θ L(θ, D_tr)
    min_{θ, α} Σ_i L(φ_i, D_ts_i)

Differences from the paper: more than one step may be taken, all with the same α; in regression,
gradients are half the paper's, so α starts twice as large."""

from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Network, Normalisation
from quickstudy.task import Examples


class MetaSGD(InnerLoop):
    """A starting point and a learning rate for each of its parameters.

    >>> meta_sgd = MetaSGD(network, random_rates(network, 0.1, key=key))
    """

    network: Network
    rates: PyTree
    """α, in the structure of the network's floating-point leaves."""
    train_steps: int = eqx.field(static=True, kw_only=True, default=1)
    test_steps: int = eqx.field(static=True, kw_only=True, default=1)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        update = optax.stateless(lambda gradient, _: self.scaled(gradient))
        return descend(loss_on(support, likelihood), self.network, update, steps)

    def scaled(self, gradient: Any) -> Any:
        """-α ∘ gradient."""
        return jax.tree.map(lambda rate, g: -rate * g, self.rates, gradient)


def random_rates(network: Network, largest: float, *, key: PRNGKeyArray) -> PyTree:
    """α ~ U[largest / 20, largest] for each parameter (the paper's: from 0.005 to 0.1)."""
    leaves, structure = jax.tree.flatten(eqx.filter(network, eqx.is_inexact_array))
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.uniform(k, x.shape, x.dtype, largest / 20, largest)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)
