"""Images under affine maps."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def resampled(
    x: Float[Array, "h w c"],
    inverse: Float[Array, "2 2"],
    shift: Float[Array, " 2"],
) -> Float[Array, "h w c"]:
    """Apply an affine map to an image, about its centre. The value at the point p = (row, column),
    counted from the centre, is the value of the image at `inverse` @ (p - `shift`), in pixels,
    interpolated between the four pixels around it, and 0 beyond the border. Differentiable in all
    three arguments.

    >>> quarter_turn = jnp.asarray([[0.0, 1.0], [-1.0, 0.0]])
    >>> resampled(image, quarter_turn, jnp.zeros(2))           # as jnp.rot90(image)
    """
    middle = (jnp.asarray(x.shape[:2]) - 1) / 2
    row, column = jnp.indices(x.shape[:2]) - (middle + shift)[:, None, None]
    at = [a * row + b * column + m for (a, b), m in zip(inverse, middle, strict=True)]

    def of_channel(image: Float[Array, "h w"]) -> Float[Array, "h w"]:
        return jax.scipy.ndimage.map_coordinates(image, at, order=1)

    return jax.vmap(of_channel, -1, -1)(x)
