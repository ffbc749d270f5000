"""MT-net (Lee and Choi, "Gradient-based meta-learning with learned layerwise metric and subspace",
ICML 2018).

The weights W of each layer are followed by a linear map T that tasks share and inner steps do not
change. So gradient steps on W use a learned metric. A random mask with learned probabilities
selects the rows of W, each the weights of one activation, that take steps.

    y = T (W x + b)
    φ_{t+1} = φ_t - α M ∘ ∇_φ L(φ_t, T, D_tr)
    M_j ~ Bernoulli(σ(ζ_j)), the same for all weights of activation j
    min_{θ, T, ζ} Σ_i L(φ_T, T, D_ts_i)

Masks are drawn once for each task, with the gradient of their relaxation (Gumbel-softmax at
temperature 1, straight through). Without masks this is the paper's T-net.

Every layer that the network names (`Network.weight_layers`) has its T.

Differences from the paper: T is multiplied into W and b, which gives the same result; the scale and
shift of a layer's batch normalisation take steps too, under the same mask."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Layer, Network, Normalisation
from quickstudy.task import Examples


class MTNet(InnerLoop):
    """A starting point, a map T for each layer, and the log-odds ζ that a row adapts; T-net with
    `masks=False`. Raises `ValueError` where the network does not name its layers.

    >>> learner = MTNet(network, optax.sgd(0.4))
    """

    network: Network
    transforms: tuple[Float[Array, "_ _"], ...]
    """T of each layer."""
    logits: tuple[Float[Array, " _"], ...] | None
    """ζ of each layer; None without masks."""
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True)
    test_steps: int = eqx.field(static=True)
    normalisation: Normalisation = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        optimizer: optax.GradientTransformation,
        *,
        masks: bool = True,
        train_steps: int = 1,
        test_steps: int = 1,
        normalisation: Normalisation = "batch",
    ):
        widths = [layer.weight.shape[-1] for layer in network.weight_layers()]
        self.network = network
        self.transforms = tuple(jnp.eye(width) for width in widths)
        self.logits = tuple(jnp.zeros(width) for width in widths) if masks else None
        self.optimizer = optimizer
        self.train_steps = train_steps
        self.test_steps = test_steps
        self.normalisation = normalisation

    @property
    def has_slope(self) -> bool:
        return self.logits is None

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        loss = loss_on(support, likelihood)
        adapted = descend(
            lambda network: loss(self.transformed(network)),
            self.network,
            optax.chain(optax.stateless(self.masked(key)), self.optimizer),
            steps,
        )
        return self.transformed(adapted)

    def transformed(self, network: Network) -> Network:
        """Multiply T into the network: T W x + T b."""
        return each_layer(linear_part, network, self.transforms, jnp.matmul)

    def masked(self, key: PRNGKeyArray) -> Callable[[Any, Any], Any]:
        """Return the function gradient ↦ M ∘ gradient, for one draw of M."""
        if self.logits is None:
            return lambda gradient, _: gradient
        keys = jax.random.split(key, len(self.logits))
        masks = [bernoulli(zeta, key=k) for zeta, k in zip(self.logits, keys, strict=True)]
        return lambda gradient, _: each_layer(jax.tree.leaves, gradient, masks, jnp.multiply)


def bernoulli(logits: Float[Array, " n"], *, key: PRNGKeyArray) -> Float[Array, " n"]:
    """Draw zeros and ones, one with probability σ(logit). They are the rounding of σ(logit +
    logistic noise), whose gradient they have: a difference of two Gumbel variables is logistic."""
    soft = jax.nn.sigmoid(logits + jax.random.logistic(key, logits.shape))
    return soft + jax.lax.stop_gradient(jnp.round(soft) - soft)


def linear_part(layer: Layer) -> list[Any]:
    """Return W, and b if there is one."""
    return [layer.weight] if layer.bias is None else [layer.weight, layer.bias]


def each_layer(
    parts: Callable[[Layer], list[Any]],
    network: Network,
    values: Sequence[Array],
    change: Callable[[Array, Array], Array],
) -> Network:
    """Return the network with `change(array, value of its layer)` for the arrays of each layer that
    are in `parts`."""
    changed = [
        change(array, value)
        for layer, value in zip(network.weight_layers(), values, strict=True)
        for array in parts(layer)
    ]
    return eqx.tree_at(
        lambda n: [array for layer in n.weight_layers() for array in parts(layer)], network, changed
    )
