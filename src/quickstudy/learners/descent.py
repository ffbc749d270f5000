"""Gradient descent on a support set: the inner loop."""

from collections.abc import Callable
from typing import TypeVar, cast

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float

Parameters = TypeVar("Parameters")


def descend(
    loss: Callable[[Parameters], Float[Array, ""]],
    parameters: Parameters,
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    first_order: bool = False,
    rematerialise: bool = False,
) -> Parameters:
    """`steps` steps of `optimizer` on `loss` from `parameters` (a module or any pytree).

    The result is differentiable in `parameters` and in whatever `loss` closes over. With
    `first_order` the inner gradients count as constants (Finn et al. 2017, section 5.2). With
    `rematerialise` each step's intermediate values are computed again on the way back, so that
    memory grows by one copy of the parameters a step.

    >>> import jax.numpy as jnp
    >>> descend(lambda w: w**2, jnp.asarray(1.0), optax.sgd(0.25), 2)
    Array(0.25, dtype=float32)
    """
    trainable, fixed = eqx.partition(parameters, eqx.is_inexact_array)

    def step(carry, _):
        trainable, state = carry
        gradient = jax.grad(lambda t: loss(eqx.combine(t, fixed)))(trainable)
        if first_order:
            gradient = jax.lax.stop_gradient(gradient)
        updates, state = optimizer.update(gradient, state, trainable)
        return (optax.apply_updates(trainable, updates), state), None

    if rematerialise:
        step = jax.checkpoint(step)
    start = (trainable, optimizer.init(trainable))
    (adapted, _), _ = jax.lax.scan(step, start, length=steps)
    return eqx.combine(cast(Parameters, adapted), fixed)
