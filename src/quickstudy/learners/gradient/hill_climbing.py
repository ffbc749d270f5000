"""MAML by hill climbing (Song, Gao, Yang, Choromanski, Pacchiano and Tang, "ES-MAML", ICLR 2020,
section 3.3).

Adaptation without derivatives: try a few random perturbations of the network, keep the one with the
lowest support loss, if it is lower than without a perturbation, and repeat.

    φ_0 = θ,   φ_{t+1} = argmin { L(φ, D_tr) : φ ∈ {φ_t, φ_t + α g_1, …, φ_t + α g_m} }
    g_1, …, g_m ~ N(0, I), drawn anew in each step

This choice has no useful derivative (it depends on θ through the winners), so the meta-gradient is
`metagradients.Evolution`.

Difference from the paper: losses of a support set instead of returns of a policy, so values have no
noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.metagradients.evolution import direction
from quickstudy.networks.network import Network, Normalisation
from quickstudy.task import Examples


class HillClimbing(InnerLoop):
    """A starting point from which a few random steps suffice. Train it with
    `metagradients.Evolution`.

    `deviation` is α, `candidates` is m.

    >>> learner = HillClimbing(network, deviation=0.05, candidates=10, test_steps=5)
    >>> meta_train(learner, tasks, optax.adam(1e-3), steps=1000, meta_gradient=Evolution(64))
    """

    network: Network
    deviation: float = eqx.field(static=True)
    candidates: int = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=1)
    test_steps: int = eqx.field(static=True, kw_only=True, default=1)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        theta, fixed = eqx.partition(self.network, eqx.is_inexact_array)
        of_network = loss_on(support, likelihood)

        def loss(phi: PyTree) -> Float[Array, ""]:
            return of_network(eqx.combine(phi, fixed))

        def perturbed(phi: PyTree, key: PRNGKeyArray) -> PyTree:
            return jax.tree.map(lambda p, g: p + self.deviation * g, phi, direction(key, phi))

        def climb(at: tuple[PyTree, Float[Array, ""]], key: PRNGKeyArray):
            phi, lowest = at
            keys = jax.random.split(key, self.candidates)
            losses = jax.lax.map(lambda key: loss(perturbed(phi, key)), keys)
            best = jnp.argmin(losses)
            better = losses[best] < lowest
            there = perturbed(phi, keys[best])  # drawn again from its key, not kept
            phi = jax.tree.map(lambda new, old: jnp.where(better, new, old), there, phi)
            return (phi, jnp.minimum(losses[best], lowest)), None

        start = (theta, loss(theta))
        (phi, _), _ = jax.lax.scan(climb, start, jax.random.split(key, steps))
        return eqx.combine(phi, fixed)
