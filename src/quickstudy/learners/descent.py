"""Gradient descent on a support set: the inner loop."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

Parameters = TypeVar("Parameters")

MOST_STEPS = 1_000_000
"""The numbers of the steps are an array."""


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
    """Take `steps` steps of `optimizer` on `loss` from `parameters` (a module or any pytree).

    The result is differentiable in `parameters` and in everything that `loss` and `optimizer` close
    over. With `first_order` the inner gradients count as constants (Finn et al. 2017, section 5.2).
    With `truncate` only the last so many steps are differentiated, so dφ_T/dφ_0 keeps only their
    factors I - α ∇²L(φ_t): 0 is `first_order`, `steps` is the whole derivative. With
    `rematerialise` the intermediate values of each step are recomputed in the backward pass, so
    memory grows by one copy of the parameters for each step.

    >>> import jax.numpy as jnp
    >>> descend(lambda w: w**2, jnp.asarray(1.0), optax.sgd(0.25), 2)
    Array(0.25, dtype=float32)
    """
    adapted, _, _ = trajectory(
        lambda parameters, _: loss(parameters),
        parameters,
        optimizer,
        steps,
        first_order=first_order,
        truncate=truncate,
        rematerialise=rematerialise,
    )
    return adapted


def trajectory(
    loss: Callable[[Parameters, Int[Array, ""]], Float[Array, ""]],
    parameters: Parameters,
    optimizer: optax.GradientTransformation,
    steps: int,
    *,
    state: optax.OptState | None = None,
    watch: Callable[[Parameters, Int[Array, ""]], Any] = lambda parameters, number: None,
    first_order: bool = False,
    truncate: int | None = None,
    rematerialise: bool = False,
) -> tuple[Parameters, optax.OptState, Any]:
    """`descend` on a loss that depends on the step: `loss(φ_t, t)`, with t from 0. Return φ_T, the
    final state of the optimiser, and the stacked results of `watch(φ_{t+1}, t)` after each step.
    The optimiser starts from `state`, by default from its own `init`.

    Raises `ValueError` for more than `MOST_STEPS` steps.
    """
    if steps > MOST_STEPS:
        raise ValueError(f"{steps} steps of gradient descent: at most {MOST_STEPS}")
    trainable, fixed = eqx.partition(parameters, eqx.is_inexact_array)
    state = optimizer.init(trainable) if state is None else state

    def step(carry, number, constant: bool):
        trainable, state = carry
        gradient = jax.grad(lambda t: loss(eqx.combine(t, fixed), number))(trainable)
        if constant:
            gradient = jax.lax.stop_gradient(gradient)
        updates, state = optimizer.update(gradient, state, trainable)
        trainable = optax.apply_updates(trainable, updates)
        return (trainable, state), watch(eqx.combine(cast(Parameters, trainable), fixed), number)

    differentiated = 0 if first_order else steps if truncate is None else min(truncate, steps)
    numbers = np.split(np.arange(steps), [steps - differentiated])
    carry, seen = (trainable, state), []
    for constant, some in zip((True, False), numbers, strict=True):
        if len(some) or (steps == 0 and not constant):
            body = partial(step, constant=constant)
            body = jax.checkpoint(body) if rematerialise else body
            carry, found = jax.lax.scan(body, carry, some)
            seen.append(found)
    seen = jax.tree.map(lambda *parts: jnp.concatenate(parts), *seen)
    return eqx.combine(cast(Parameters, carry[0]), fixed), carry[1], seen
