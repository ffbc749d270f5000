"""Gentle fine-tuning of a whole network (Howard and Ruder, "Universal Language Model Fine-tuning
for Text Classification", ACL 2018), as parts of an Optax optimiser.

The head is group 0, the layer below it group 1, and so on down to the inputs.

    α_g = α d^g                      smaller rates for earlier layers    (section 3.2; d = 1/2.6)
    group g rests before step g s    unfreezing from the top             (section 3.3)
    α_t = α (1 + p_t (r - 1)) / r    a slanted triangle: p_t rises to 1 over the first tenth of the
                                     steps, then falls to 0; r = 32      (section 3.2, eq. 3)

Difference from the paper: unfreezing counts steps, not epochs.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from quickstudy.networks.network import Network

RISING = 0.1
RATIO = 32


def slanted_triangle(rate: float, steps: int) -> optax.Schedule:
    """Return the schedule α_t for `steps` steps, with the largest value `rate`."""
    cut = max(1, int(steps * RISING))

    def at(step: Any) -> Any:
        falling = 1 - (step - cut) / max(1, steps - cut)
        return rate * (1 + jnp.minimum(step / cut, falling) * (RATIO - 1)) / RATIO

    return at


def by_layer(decay: float = 1.0, unfreeze_every: int = 0) -> optax.GradientTransformation:
    """Multiply updates of group g by `decay` to the power g, and set them to 0 before step g ·
    `unfreeze_every`. For a `WithHead`; put it last in an `optax.chain`."""

    def init(params: PyTree) -> Any:
        return jnp.zeros((), int)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        scaled = jax.tree.map(
            lambda u, g: u * decay**g * (state >= g * unfreeze_every), updates, groups(updates)
        )
        return scaled, state + 1

    return optax.GradientTransformation(init, update)


def groups(parameters: Network) -> Network:
    """Return the group of each array of a network or of its gradient, in the same structure: 0 in
    the last of its `weight_layers`, the head; 1 in the layer before; and so on.

    Raises `ValueError` where the network does not name its layers.
    """
    layers = parameters.weight_layers()
    numbers = [
        group
        for group, layer in zip(reversed(range(len(layers))), layers, strict=True)
        for _ in jax.tree.leaves(layer)
    ]
    return eqx.tree_at(lambda n: jax.tree.leaves(n.weight_layers()), parameters, numbers)
