"""A function as StableHLO, by `jax.export`: JAX alone runs it, on any of the platforms below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import export

from quickstudy.errors import UserError

FORMAT = "StableHLO, serialised by jax.export"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def written(
    function: Callable[..., Any], taken: tuple[tuple[int, ...], Any], _: Sequence[str] = ()
) -> bytes:
    """The bytes of a function of n inputs of this shape and type; its outputs have no names. Raises
    `UserError` where JAX cannot export it for any n."""
    shape, dtype = taken
    (n,) = export.symbolic_shape("n")
    try:
        made = export.export(jax.jit(function), platforms=PLATFORMS)(
            jax.ShapeDtypeStruct((n, *shape), dtype)
        )
    except Exception as error:  # what tracing with an unknown n raises has no class in common
        raise UserError(f"this learner has no form as StableHLO: {_first_line(error)}") from error
    return bytes(made.serialize())


def opened(content: bytes) -> Callable[[np.ndarray], Any]:
    """The function in a file."""
    return export.deserialize(bytearray(content)).call


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
