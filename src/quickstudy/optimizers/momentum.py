"""Gradient descent with momentum whose two numbers are learned: the smallest learned optimiser.

    v_{t+1} = β v_t + ∇f(θ_t),     θ_{t+1} = θ_t - α v_{t+1}

φ = (log α, logit β). With β = 0 it is plain gradient descent.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from quickstudy.optimizers.learned import LearnedOptimizer


class LearnedMomentum(LearnedOptimizer):
    """>>> optimizer = LearnedMomentum(rate=0.01, decay=0.9)"""

    log_rate: Float[Array, ""]
    logit_decay: Float[Array, ""]

    def __init__(self, rate: float = 0.01, decay: float = 0.9):
        self.log_rate = jnp.log(jnp.asarray(rate))
        self.logit_decay = jax.scipy.special.logit(jnp.asarray(decay))

    def init(self, parameters: PyTree) -> PyTree:
        return jax.tree.map(jnp.zeros_like, parameters)

    def update(
        self, gradients: PyTree, state: PyTree, parameters: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        rate, decay = jnp.exp(self.log_rate), jax.nn.sigmoid(self.logit_decay)
        velocity = jax.tree.map(lambda v, g: (decay * v + g).astype(g.dtype), state, gradients)
        return jax.tree.map(lambda v: (-rate * v).astype(v.dtype), velocity), velocity
