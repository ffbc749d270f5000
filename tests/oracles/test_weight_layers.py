"""The layers that networks name, and the methods that change a network layer by layer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.data.inputs import TokenShape
from quickstudy.learners.baseline.transfer import groups
from quickstudy.learners.gradient.cavia import ExtraInputs, FiLM, modulation
from quickstudy.learners.gradient.mt_net import MTNet
from quickstudy.learners.metric.tadam import TADAM
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP, Network, WithHead
from quickstudy.networks.network import normalisations
from quickstudy.settings.learners import MTNetSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.task_spec import TaskSpec

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
PICTURE, VECTOR, TOKENS = (65, 65, 1), (5,), TokenShape((7,), 20)
NETWORKS: dict[str, tuple[tuple[int, ...], int]] = {
    "conv4": (PICTURE, 4),
    "conv4-stride": (PICTURE, 4),
    "conv4-flat": (PICTURE, 4),
    "resnet12": (PICTURE, 16),  # twelve, and four shortcuts
    "koch": (PICTURE, 5),
    "mlp": (VECTOR, 2),
    "mlp-norm": (VECTOR, 2),
    "text": (TOKENS, 3),
}
"""The inputs of each kind, and its layers with weights."""


def body(kind: str) -> Network:
    settings = NetworkSettings(kind, filters=2, hidden=(4, 3))  # pyright: ignore
    return settings.build(NETWORKS[kind][0], KEY)


def headed(kind: str) -> WithHead:
    return WithHead(body(kind), 3, key=KEY)


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_parameter_is_in_one_layer_in_order(kind):
    network = headed(kind)
    layers = network.weight_layers()
    assert len(layers) == NETWORKS[kind][1] + 1
    named, everything = ({id(x) for x in jax.tree.leaves(t)} for t in (layers, network))
    assert named == everything
    assert len(jax.tree.leaves(layers)) == len(jax.tree.leaves(network))
    for layer in layers:
        assert {x.shape[-1] for x in jax.tree.leaves(layer)} == {layer.weight.shape[-1]}
    assert layers[-1].weight is network.head.weight
    assert bool(normalisations(network)) == network.normalises


@pytest.mark.parametrize("kind", NETWORKS)
def test_mt_net_transforms_and_masks_each_layer(kind):
    shape, count = NETWORKS[kind]
    settings = MTNetSettings(NetworkSettings(kind))  # pyright: ignore
    problem = TaskSpec(shape, Categorical(3), 9)
    learner = eqx.filter_eval_shape(lambda: settings.build(problem, KEY))
    layers = learner.network.weight_layers()
    widths = [layer.weight.shape[-1] for layer in layers]
    assert [t.shape for t in learner.transforms] == [(w, w) for w in widths]
    assert [zeta.shape for zeta in learner.logits] == [(w,) for w in widths]
    assert len(widths) == count + 1


@pytest.mark.parametrize("kind", ["resnet12", "koch"])
def test_a_transform_is_multiplied_into_its_layer_alone(kind):
    network = headed(kind)
    learner = MTNet(network, optax.sgd(0.1))
    number = 2
    learner = eqx.tree_at(lambda n: n.transforms[number], learner, replace_fn=lambda t: 3 * t)
    found = learner.transformed(network).weight_layers()
    for i, (layer, expected) in enumerate(zip(found, network.weight_layers(), strict=True)):
        by = 3 if i == number else 1
        np.testing.assert_allclose(layer.weight, by * expected.weight, rtol=1e-5)
        if expected.bias is not None:
            np.testing.assert_allclose(layer.bias, by * expected.bias, rtol=1e-5)


@pytest.mark.parametrize("kind", ["conv4", "mlp-norm"])
def test_a_mask_is_that_of_all_weights_of_an_activation(kind):
    """Its normalisation's too."""
    network = headed(kind)
    learner = MTNet(network, optax.sgd(0.1))
    certain = [jnp.where(jnp.arange(z.size) == 0, -100.0, 100.0) for z in learner.logits]
    learner = eqx.tree_at(lambda n: n.logits, learner, tuple(certain))
    ones = jax.tree.map(jnp.ones_like, network)
    for layer in learner.masked(KEY)(ones, None).weight_layers():
        for array in jax.tree.leaves(layer):
            np.testing.assert_array_equal(array[..., 0], 0)
            np.testing.assert_array_equal(array[..., 1:], 1)


PLACES = {
    "conv4": (FiLM, 2),
    "conv4-stride": (FiLM, 2),
    "conv4-flat": (FiLM, 2),
    "resnet12": (FiLM, 2),
    "mlp-norm": (FiLM, 0),
    "mlp": (ExtraInputs, 0),
    "koch": (ExtraInputs, 0),
    "text": (ExtraInputs, 1),  # what reads the embeddings
}
"""Where a context enters: after which normalisation, or at which layer."""


@pytest.mark.parametrize("kind", PLACES)
def test_a_context_enters_every_network_at_one_place(kind):
    network = headed(kind)
    enters = modulation(network, 4, key=KEY)
    cls, place = PLACES[kind]
    assert isinstance(enters, cls)
    assert (enters.norm if isinstance(enters, FiLM) else enters.layer) == place
    changed = enters(network, jnp.ones(4))
    of_norms = (normalisations(n) for n in (network, changed))
    of_layers = (n.weight_layers() for n in (network, changed))
    for i, (a, b) in enumerate(zip(*(of_norms if cls is FiLM else of_layers), strict=True)):
        assert eqx.tree_equal(a, b) == (i != place)
    assert eqx.tree_equal(enters(network, jnp.zeros(4)), network)


def test_film_scales_and_shifts_what_the_normalisation_gives():
    """h ← γ(φ) h + β(φ), with γ = 1 + φ A and β = φ B, for a normalisation whose own γ and β are
    not 1 and 0."""
    network = MLP(VECTOR, hidden=(4,), normalise=True, key=KEY)
    own = [jnp.asarray(RNG.normal(size=4), jnp.float32) for _ in range(2)]
    network = eqx.tree_at(lambda n: (n.norms[0].gamma, n.norms[0].beta), network, own)
    a, b = (jnp.asarray(RNG.normal(size=(2, 4)), jnp.float32) for _ in range(2))
    phi = jnp.asarray([0.4, -1.1])
    x = jnp.asarray(RNG.normal(size=(6, 5)), jnp.float32)
    h, _ = network.norms[0](network.layers[0](x))
    expected = np.maximum((1 + phi @ a) * h + phi @ b, 0)
    np.testing.assert_allclose(FiLM(a, b, 0)(network, phi)(x)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "koch", "text"])
def test_tadam_refuses_a_network_without_a_normalised_layer(kind):
    with pytest.raises(ValueError, match="conditions the normalised layers"):
        TADAM(body(kind), 9, key=KEY)


@pytest.mark.parametrize("kind", NETWORKS)
def test_groups_of_layers_count_down_from_the_head(kind):
    layers = groups(headed(kind)).weight_layers()
    numbers = [set(jax.tree.leaves(layer)) for layer in layers]
    assert numbers == [{number} for number in reversed(range(len(layers)))]


class Unnamed(MLP):
    """A network that does not say what its layers are."""

    def weight_layers(self):
        return Network.weight_layers(self)


@pytest.mark.parametrize(
    "use",
    [
        lambda network: MTNet(network, optax.sgd(0.1)),
        lambda network: modulation(network, 4, key=KEY),
        lambda network: TADAM(network, 9, key=KEY),
        groups,
    ],
)
def test_a_network_that_does_not_name_its_layers_is_refused(use):
    network = WithHead(Unnamed(VECTOR, normalise=True, key=KEY), 3, key=KEY)
    with pytest.raises(ValueError, match="Unnamed does not name its layers"):
        use(network)
