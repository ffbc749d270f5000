"""Features for recurrent networks whose inputs have very different magnitudes. (The LSTM cell is
`equinox.nn.LSTMCell`.)"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def log_and_sign(x: Float[Array, "*n"], p: float = 10.0) -> Float[Array, "*n 2"]:
    """Encode a number as two numbers of moderate size, its logarithmic magnitude and its sign:

        x ↦ (log|x| / p, sgn x)   if |x| ≥ e⁻ᵖ
            (-1, eᵖ x)            otherwise

    (Andrychowicz et al. 2016, appendix A). Continuous, and with finite derivatives everywhere: at 0
    they are 0 and eᵖ.

    >>> log_and_sign(jnp.asarray([-1.0, 0.0]))
    Array([[ 0., -1.],
           [-1.,  0.]], dtype=float32)
    """
    large = jnp.abs(x) >= math.exp(-p)
    magnitude = jnp.where(large, jnp.log(jnp.where(large, jnp.abs(x), 1.0)) / p, -1.0)
    sign = jnp.where(large, jnp.sign(x), math.exp(p) * jnp.where(large, 0.0, x))
    return jnp.stack([magnitude, sign], axis=-1)
