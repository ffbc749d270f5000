"""Gradient descent on a support set: the inner loop."""

from collections.abc import Callable
from functools import partial
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
    truncate: int | None = None,
    rematerialise: bool = False,
) -> Parameters:
    """`steps` steps of `optimizer` on `loss` from `parameters` (a module or any pytree).

    The result is differentiable in `parameters` and in whatever `loss` closes over. With
    `first_order` the inner gradients count as constants (Finn et al. 2017, section 5.2); with
    `truncate` those of all but the last so many steps do, so that dφ_T/dφ_0 keeps the factors
    I - α ∇²L(φ_t) of these steps alone: 0 is `first_order`, `steps` is everything. With
    `rematerialise` each step's intermediate values are computed again on the way back, so that
    memory grows by one copy of the parameters a step.

    >>> import jax.numpy as jnp
    >>> descend(lambda w: w**2, jnp.asarray(1.0), optax.sgd(0.25), 2)
    Array(0.25, dtype=float32)
    """
    trainable, fixed = eqx.partition(parameters, eqx.is_inexact_array)

    def step(carry, _, constant: bool):
        trainable, state = carry
        gradient = jax.grad(lambda t: loss(eqx.combine(t, fixed)))(trainable)
        if constant:
            gradient = jax.lax.stop_gradient(gradient)
        updates, state = optimizer.update(gradient, state, trainable)
        return (optax.apply_updates(trainable, updates), state), None

    differentiated = 0 if first_order else steps if truncate is None else min(truncate, steps)
    carry = (trainable, optimizer.init(trainable))
    for constant, count in ((True, steps - differentiated), (False, differentiated)):
        if count:
            body = partial(step, constant=constant)
            carry, _ = jax.lax.scan(
                jax.checkpoint(body) if rematerialise else body, carry, length=count
            )
    return eqx.combine(cast(Parameters, carry[0]), fixed)
