"""Adapters that make networks of other libraries networks of ours: an Equinox module, or a function
`apply(params, x)` as Flax and Haiku have it.

Each input is mapped alone, so a prediction never depends on the other inputs of a batch. The
adapters refuse what training would silently get wrong: a state (batch normalisation), dropout that
asks for a key, parameters that are not floats, and outputs that are not one vector for each input.
They do not name their layers, so methods that change a network layer by layer refuse them
(`Network.weight_layers`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

from quickstudy.errors import UserError
from quickstudy.networks.network import Network, Statistics

WITHOUT_STATE = (
    "a network keeps no state from call to call: take a module without it (group or layer "
    "normalisation in place of batch normalisation), or write a Network with "
    "quickstudy.networks.layers.BatchNorm"
)


class Plain(Network):
    """A module that maps one input, without a batch axis, to one vector of `outputs` numbers, as
    Equinox's own modules do.

    >>> network = Plain(eqx.nn.MLP(8, 16, width_size=32, depth=1, key=key), outputs=16)
    >>> network(jnp.zeros((25, 8)))[0].shape
    (25, 16)

    Raises `UserError` for a module with a state, with active dropout or with parameters of less
    than 32 bits; and, when it is first applied, for outputs that are not `outputs` floats.
    """

    module: Callable[[Array], Array]
    outputs: int = eqx.field(static=True)

    def __init__(self, module: Callable[[Array], Array], outputs: int):
        self.module, self.outputs = module, outputs
        for part in jax.tree.leaves(module, is_leaf=_is_special):
            if isinstance(part, eqx.nn.StateIndex):
                raise UserError(f"{self._name} has a state, and {WITHOUT_STATE}")
            if isinstance(part, eqx.nn.Dropout) and not part.inference:
                raise UserError(
                    f"{self._name} has dropout, which asks for a random key at each call, and a "
                    "network is given none: switch it off with equinox.nn.inference_mode(module)"
                )
            if eqx.is_inexact_array(part):
                _require_float(self._name, part)

    @property
    def _name(self) -> str:
        return f"Plain({type(self.module).__name__})"

    def __call__(
        self, x: Shaped[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        return jax.vmap(lambda one: _vector(self._name, self.module, one, (self.outputs,)))(x), ()

    @property
    def normalises(self) -> bool:
        return False


class Applied(Network):
    """A function `apply(params, x)` of a batch of inputs, and its parameters.

    >>> def apply(params, x):
    ...     return jax.nn.relu(x @ params["w"] + params["b"])
    >>> network = Applied(apply, {"w": jnp.ones((8, 16)), "b": jnp.zeros(16)}, outputs=16)
    >>> network(jnp.zeros((25, 8)))[0].shape
    (25, 16)

    `apply` is given batches of a single input. With Flax Linen: `Applied(module.apply,
    module.init(key, x), outputs)`.

    Raises `UserError` for parameters that are not all arrays of 32-bit floats or longer ones, and
    for parameters with a state beside them; and, when it is first applied, for outputs that are not
    `outputs` floats for each input.
    """

    apply: Callable[[PyTree, Array], Array] = eqx.field(static=True)
    params: PyTree
    outputs: int = eqx.field(static=True)

    def __init__(self, apply: Callable[[PyTree, Array], Array], params: PyTree, outputs: int):
        self.apply, self.params, self.outputs = apply, params, outputs
        try:
            hash(apply)
        except TypeError as error:
            raise UserError(
                f"{self._name} cannot hash its function, as JAX does to compile it once: give a "
                "function without arrays of its own (wrap an Equinox module as Plain)"
            ) from error
        if isinstance(params, Mapping) and "params" in params and len(params) > 1:
            others = ", ".join(str(name) for name in params if name != "params")
            raise UserError(
                f"{self._name} has a state beside its params ({others}), and {WITHOUT_STATE}"
            )
        for part in jax.tree.leaves(params, is_leaf=_is_special):
            if type(part).__name__ == "BatchStat":  # Flax NNX's: no import of Flax for its name
                raise UserError(f"{self._name} has a state (BatchStat), and {WITHOUT_STATE}")
            _require_float(self._name, part)

    @property
    def _name(self) -> str:
        return f"Applied({getattr(self.apply, '__qualname__', type(self.apply).__name__)})"

    def __call__(
        self, x: Shaped[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        def of_one(one: Array) -> Array:
            function = lambda batch: self.apply(self.params, batch)  # noqa: E731
            return _vector(self._name, function, one[None], (1, self.outputs))[0]

        return jax.vmap(of_one)(x), ()

    @property
    def normalises(self) -> bool:
        return False


def _is_special(part: Any) -> bool:
    """Whether a part of a module is one that the adapters refuse, or look at closely."""
    special = isinstance(part, eqx.nn.StateIndex | eqx.nn.Dropout)
    return special or type(part).__name__ == "BatchStat"


def _require_float(name: str, leaf: Any) -> None:
    dtype = getattr(leaf, "dtype", type(leaf).__name__)
    if isinstance(dtype, str) or not _is_float(dtype):
        raise UserError(
            f"{name} has a parameter of type {dtype}, and training needs arrays of float32 or "
            "float64: convert it, or keep it out of the parameters where it is a constant"
        )


def _is_float(dtype: Any) -> bool:
    """Whether numbers are floats of 32 bits or more."""
    return jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize >= 4


def _vector(name: str, function: Callable[[Array], Any], x: Array, shape: tuple[int, ...]) -> Array:
    """Apply a function to one input, and return its outputs.

    Raises `UserError` where the function fails, or returns anything else than floats of `shape`.
    """
    given = f"{name}, applied to one input of shape {x.shape},"
    try:
        y = function(x)
    except Exception as error:
        said = str(error).strip().split("\n")[0]
        raise UserError(
            f"{given} fails with {type(error).__name__}: {said} (Plain maps one input without a "
            "batch axis, Applied a batch of inputs)"
        ) from error
    if not isinstance(y, jax.Array):
        why = f": {WITHOUT_STATE}" if isinstance(y, tuple) else ""
        raise UserError(f"{given} returns a {type(y).__name__} and no array{why}")
    if y.shape != shape:
        raise UserError(
            f"{given} returns shape {y.shape} where {shape} is due: one vector of "
            f"outputs={shape[-1]} numbers for each input (flatten it, or change `outputs`)"
        )
    if not _is_float(y.dtype):
        raise UserError(
            f"{given} returns {y.dtype}: losses are computed in float32, so let it end with "
            ".astype(jnp.float32)"
        )
    return y
