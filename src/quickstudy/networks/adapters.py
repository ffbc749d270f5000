"""Networks of other libraries as networks here: an Equinox module, or a function
`apply(params, x)` as Flax and Haiku have it.

Neither names its layers, so methods that change a network layer by layer refuse it
(`Network.weight_layers`). Batch normalisation of these libraries keeps a state: take a network
without it, or write a `Network` with `layers.BatchNorm`.
"""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree, Shaped

from quickstudy.networks.network import Network, Statistics


class Plain(Network):
    """A module that maps one input to one vector of `outputs` numbers, as Equinox's own do.

    >>> network = Plain(eqx.nn.MLP(8, 16, width_size=32, depth=1, key=key), outputs=16)
    >>> network(jnp.zeros((25, 8)))[0].shape
    (25, 16)
    """

    module: Callable[[Array], Array]
    outputs: int = eqx.field(static=True)

    def __init__(self, module: Callable[[Array], Array], outputs: int):
        self.module, self.outputs = module, outputs

    def __call__(
        self, x: Shaped[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        return jax.vmap(self.module)(x), ()

    @property
    def normalises(self) -> bool:
        return False


class Applied(Network):
    """A function apply(params, x) of a batch of inputs, and its parameters.

    >>> def apply(params, x):
    ...     return jax.nn.relu(x @ params["w"] + params["b"])
    >>> network = Applied(apply, {"w": jnp.ones((8, 16)), "b": jnp.zeros(16)}, outputs=16)
    >>> network(jnp.zeros((25, 8)))[0].shape
    (25, 16)

    With Flax: `Applied(module.apply, module.init(key, x), outputs)`.
    """

    apply: Callable[[PyTree, Array], Array] = eqx.field(static=True)
    params: PyTree
    outputs: int = eqx.field(static=True)

    def __init__(self, apply: Callable[[PyTree, Array], Array], params: PyTree, outputs: int):
        self.apply, self.params, self.outputs = apply, params, outputs

    def __call__(
        self, x: Shaped[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        return self.apply(self.params, x), ()

    @property
    def normalises(self) -> bool:
        return False
