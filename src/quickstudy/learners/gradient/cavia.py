"""CAVIA, fast context adaptation via meta-learning (Zintgraf et al., ICML 2019).

A network has a few extra inputs, the context: it starts at zero for each task and is all that
inner steps change, while the weights that read it are shared by the tasks.

    φ_0 = 0,   φ_{t+1} = φ_t - α ∇_φ L(f(·; φ_t, θ), D_tr)
    min_θ Σ_i L(f(·; φ_T, θ), D_ts_i)

In a fully connected network, φ are extra inputs of the first layer; in one with batch
normalisation, γ and β of FiLM (Perez et al. 2018) after one of the normalisations are linear in φ:

    h = W x + U φ + b        or        h_c ← γ_c(φ) h_c + β_c(φ)

Differences from the paper: FiLM's γ starts at 1 for φ = 0 instead of near 0; the network for
images has fewer channels, and strides instead of pooling.
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.networks.layers import BatchNorm, Linear
from quickstudy.networks.network import Network, Normalisation
from quickstudy.task import Examples


class Modulation(eqx.Module):
    """How a context enters a network. Final subclasses: `ExtraInputs`, `FiLM`."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Of the context."""

    @abc.abstractmethod
    def __call__(self, network: Network, context: Float[Array, " size"]) -> Network:
        """The network in this context."""


class ExtraInputs(Modulation):
    """W x + b of one layer becomes W x + U φ + b: to that layer, φ are inputs."""

    weight: Float[Array, "size outputs"]
    """U."""
    where: Callable[[Any], Linear] = eqx.field(static=True)

    @property
    def size(self) -> int:
        return self.weight.shape[0]

    def __call__(self, network: Network, context: Float[Array, " size"]) -> Network:
        bias = self.where(network).bias + context @ self.weight
        return eqx.tree_at(lambda n: self.where(n).bias, network, bias)


class FiLM(Modulation):
    """What one batch normalisation gives is scaled by 1 + φ A and shifted by φ B, which is to
    say that its own scale and shift are changed."""

    scale: Float[Array, "size channels"]
    shift: Float[Array, "size channels"]
    where: Callable[[Any], BatchNorm] = eqx.field(static=True)

    @property
    def size(self) -> int:
        return self.scale.shape[0]

    def __call__(self, network: Network, context: Float[Array, " size"]) -> Network:
        norm = self.where(network)
        scale, shift = 1 + context @ self.scale, context @ self.shift
        changed = (norm.gamma * scale, norm.beta * scale + shift)
        return eqx.tree_at(lambda n: (self.where(n).gamma, self.where(n).beta), network, changed)


class CAVIA(InnerLoop):
    """A network, and how a context that is learned anew for each task enters it.

    >>> modulation = ExtraInputs(u, first_layer)
    >>> cavia = CAVIA(network, modulation, optax.sgd(1.0), train_steps=1, test_steps=1)
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


def first_layer(network: Any) -> Linear:
    """Of a fully connected body."""
    return network.body.layers[0]


def first_norm(network: Any) -> BatchNorm:
    """Of a fully connected body."""
    return network.body.norms[0]


def third_norm(network: Any) -> BatchNorm:
    """Of a conv4: the paper's place."""
    return network.body.blocks[2].norm
