"""CAVIA, fast context adaptation via meta-learning (Zintgraf et al., ICML 2019).

A network has a few extra inputs, the context. It starts at zero for each task, and inner steps
change only the context; tasks share all weights.

    φ_0 = 0,   φ_{t+1} = φ_t - α ∇_φ L(f(·; φ_t, θ), D_tr)
    min_θ Σ_i L(f(·; φ_T, θ), D_ts_i)

In a network without batch normalisation, φ are extra inputs of the first layer; in one with it, γ
and β of FiLM (Perez et al. 2018) after one of the normalisations are linear in φ:

    h = W x + U φ + b        or        h_c ← γ_c(φ) h_c + β_c(φ)

Differences from the paper: FiLM's γ starts at 1 for φ = 0 instead of near 0; the network for
images has fewer channels, and strides instead of pooling.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Network, Normalisation, normalisations
from quickstudy.task import Examples


class Modulation(eqx.Module):
    """The way in which a context enters a network. Final subclasses: `ExtraInputs`, `FiLM`."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """The number of context parameters."""

    @abc.abstractmethod
    def __call__(self, network: Network, context: Float[Array, " size"]) -> Network:
        """Return the network with this context."""


class ExtraInputs(Modulation):
    """W x + b of one layer becomes W x + U φ + b: φ are extra inputs of that layer. For a
    convolution they are extra channels with a constant value."""

    weight: Float[Array, "size outputs"]
    """U."""
    layer: int = eqx.field(static=True)
    """The index of the layer in the network's `weight_layers`."""

    @property
    def size(self) -> int:
        return self.weight.shape[0]

    def __call__(self, network: Network, context: Float[Array, " size"]) -> Network:
        bias = network.weight_layers()[self.layer].bias
        assert bias is not None
        return eqx.tree_at(
            lambda n: n.weight_layers()[self.layer].bias, network, bias + context @ self.weight
        )


class FiLM(Modulation):
    """The output of one batch normalisation is scaled by 1 + φ A and shifted by φ B, which changes
    its own scale and shift."""

    scale: Float[Array, "size channels"]
    shift: Float[Array, "size channels"]
    norm: int = eqx.field(static=True)
    """The index of the normalisation in the network's `normalisations`."""

    @property
    def size(self) -> int:
        return self.scale.shape[0]

    def __call__(self, network: Network, context: Float[Array, " size"]) -> Network:
        norm = normalisations(network)[self.norm]
        changed = norm.modulated(context @ self.scale, context @ self.shift)
        return eqx.tree_at(lambda n: normalisations(n)[self.norm], network, changed)


THIRD = 2
"""The normalisation of a convolutional network that FiLM follows: the third of four, as in the
paper."""


def modulation(network: Network, size: int, *, key: PRNGKeyArray) -> Modulation:
    """Choose how a context of `size` numbers enters a network: by FiLM after its third
    normalisation if it is convolutional, after its first if it is fully connected; as extra inputs
    of its first layer with a bias if it does not normalise. Weights are drawn from U[-r, r] with r
    = 1 / √size.

    Raises `ValueError` where the network has neither, or does not name its layers.
    """

    def drawn(key: PRNGKeyArray, columns: int) -> Float[Array, "size columns"]:
        r = size**-0.5
        return jax.random.uniform(key, (size, columns), minval=-r, maxval=r)

    one, other = jax.random.split(key)
    layers = network.weight_layers()
    if normalised := [layer for layer in layers if layer.norm is not None]:
        convolves = normalised[0].weight.ndim > 2
        norm = min(THIRD, len(normalised) - 1) if convolves else 0
        channels = normalised[norm].weight.shape[-1]
        return FiLM(drawn(one, channels), drawn(other, channels), norm)
    for number, layer in enumerate(layers):
        if layer.bias is not None:
            return ExtraInputs(drawn(one, layer.bias.size), number)
    raise ValueError("a context enters at a layer with a bias or at a normalisation: there is none")


class CAVIA(InnerLoop):
    """A network with a context that is learned for each task.

    >>> enters = modulation(network, 100, key=key)
    >>> cavia = CAVIA(network, enters, optax.sgd(1.0), train_steps=1, test_steps=1)
    """

    network: Network
    modulation: Modulation
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=1)
    test_steps: int = eqx.field(static=True, kw_only=True, default=1)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        loss = loss_on(support, likelihood)
        context = descend(
            lambda context: loss(self.modulation(self.network, context)),
            jnp.zeros(self.modulation.size),
            self.optimizer,
            steps,
        )
        return self.modulation(self.network, context)
