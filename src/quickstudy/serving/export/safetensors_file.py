"""Weights as safetensors, by their paths in the module. Nothing else imports that package."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from quickstudy.errors import UserError

SUFFIX = ".safetensors"
FORMAT = "safetensors: arrays by their paths in the module"


def weights(module: Any) -> dict[str, np.ndarray]:
    """The arrays of a module, by their paths.

    >>> list(weights({"body": [jnp.ones(2)], "head": jnp.ones(3)}))
    ['body.0', 'head']
    """
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(module, eqx.is_array))
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.array(leaf, order="C")
        for path, leaf in leaves
    }


def written(module: Any) -> bytes:
    """The bytes of the file. Raises `UserError` where the package is not installed."""
    try:
        from safetensors.numpy import save
    except ImportError:
        raise UserError("this needs safetensors: pip install 'quickstudy[export]'") from None
    return save(weights(module), {"written_by": "quickstudy"})
