"""What a model gives for each token or place, as one vector for each input."""

import numpy as np
from jaxtyping import Float

from quickstudy.datasets.preprocessing import Declaration, Texts  # noqa: F401
from quickstudy.errors import UserError


def pooled(
    x: np.ndarray, declared: Declaration, mask: np.ndarray | None = None
) -> Float[np.ndarray, "n features"]:
    """One vector for each input, of an output (N, features), (N, tokens, features) or, of images,
    a map of features; of length 1 where that is declared. `mask` (N, tokens) is 1 where there is a
    token.

    Raises `UserError` where the shape does not go with the declared pooling.

    >>> declared = Declaration(texts=Texts("tokenizer.json", 256), pooling="mean")
    >>> pooled(np.float32([[[2, 4], [4, 8], [9, 9]]]), declared, np.array([[1, 1, 0]]))
    array([[3., 6.]], dtype=float32)
    """
    x = _one_vector(x, declared, mask)
    return x / np.linalg.norm(x, axis=1, keepdims=True) if declared.unit_length else x


def _one_vector(x: np.ndarray, declared: Declaration, mask: np.ndarray | None) -> np.ndarray:
    """`pooled` before its length is changed."""
    match declared.pooling, x.ndim:
        case "none", rank if rank >= 2 and all(length == 1 for length in x.shape[2:]):
            return x.reshape(x.shape[:2])
        case "first", 3:
            first = 0 if mask is None else mask.argmax(1)
            return x[np.arange(len(x)), first]
        case "mean", 3:
            weights = np.ones(x.shape[:2]) if mask is None else mask
            weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
            return np.einsum("ntf,nt->nf", x, weights)
        case "mean", 4 if declared.images is not None:
            return x.mean((2, 3) if declared.images.layout == "NCHW" else (1, 2))
    raise UserError(
        f'the model\'s output has the shape {x.shape}, which does not go with "pooling": '
        f'"{declared.pooling}" in its .json'
    )
