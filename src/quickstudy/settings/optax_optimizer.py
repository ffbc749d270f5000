"""Optimisers of Optax by their names. Nothing here imports JAX before one is made."""

from __future__ import annotations

import functools
from typing import Any

from quickstudy.errors import UserError, nearest


def optax_optimizer(name: str, learning_rate: Any) -> Any:
    """Make `optax.<name>(learning_rate)`, of a number or a schedule. Raises `UserError` for a name
    that is no optimiser of a learning rate in Optax.

    >>> optax_optimizer("adam", 1e-3).update(gradient, state, parameters)
    """
    import optax

    scheduled = callable(learning_rate)
    if scheduled and descends(name, scheduled=False) and not descends(name, scheduled=True):
        raise UserError(f"Optax's {name} takes no learning rate that changes: add --decay none")
    if not descends(name, scheduled=scheduled):
        common = ["adagrad", "adam", "adamw", "lion", "nadam", "rmsprop", "sgd"]
        raise UserError(
            f"Optax has no optimiser {name!r} of a learning rate: {nearest(name, common)}"
        )
    return getattr(optax, name)(learning_rate)


@functools.cache
def descends(name: str, *, scheduled: bool) -> bool:
    """Tell whether `optax.<name>` of a learning rate, or of a schedule of it, goes down a slope
    that is given to it as gradients alone: (1, 1) by a few steps from (1, 1)."""
    import jax
    import jax.numpy as jnp
    import optax

    rate = 0.1
    with jax.ensure_compile_time_eval():  # the answer is a value, also while JAX traces
        start = slope = jnp.ones(2)
        try:
            optimizer = getattr(optax, name)(optax.constant_schedule(rate) if scheduled else rate)
            if not isinstance(optimizer, optax.GradientTransformation):
                return False
            state = optimizer.init(start)
            parameters: Any = start
            for _ in range(PROBED_STEPS):
                updates, state = optimizer.update(slope, state, parameters)
                parameters = optax.apply_updates(parameters, updates)
            return bool(jnp.all(parameters < start))
        except Exception:  # what a function of Optax raises that wants other things has many names
            return False


PROBED_STEPS = 10
"""Some optimisers do not move in their first steps."""
