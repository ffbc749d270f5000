"""ResNet-12 against its blocks written out with the compiler's convolution."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.networks import ResNet12
from quickstudy.networks.layers import VARIANCE_FLOOR
from quickstudy.networks.network import normalisations
from quickstudy.networks.resnet12 import ResidualBlock

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@eqx.filter_jit
def run(network, x, statistics=None):
    return network(x, statistics)


def bent(module):
    """With other scales and shifts than 1 and 0."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda a: a + jnp.asarray(rng.normal(size=a.shape)) if a.ndim == 1 else a, module
    )


def images(n: int, side: int, channels: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(2).normal(size=(n, side, side, channels)))


def test_a_block_is_three_convolutions_beside_a_shortcut():
    block = bent(ResidualBlock(2, 3, key=KEY))
    x = images(4, 7, 2)

    def layer(i, x):
        x = jax.lax.conv_general_dilated(
            x, block.kernels[i], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        mean, variance = np.mean(x, (0, 1, 2)), np.var(x, (0, 1, 2))
        norm = block.norms[i]
        return norm.gamma * (x - mean) / np.sqrt(variance + VARIANCE_FLOOR) + norm.beta

    h = layer(2, np.maximum(layer(1, np.maximum(layer(0, x), 0)), 0))
    h = np.maximum(h + layer(3, x), 0)[:, :6, :6]  # pooling drops the odd row and column
    expected = h.reshape(4, 3, 2, 3, 2, 3).max((2, 4))
    np.testing.assert_allclose(run(block, x)[0], expected, atol=1e-9)


def test_it_is_its_blocks_and_the_mean_over_places():
    network = bent(ResNet12((33, 33, 1), filters=2, key=KEY))
    x = images(5, 33, 1)
    features, used = run(network, x)
    assert features.shape == (5, network.outputs) == (5, 16)
    assert [len(m.mean) for m in used] == [2] * 4 + [4] * 4 + [8] * 4 + [16] * 4
    assert [norm.gamma.size for norm in normalisations(network)] == [len(m.mean) for m in used]
    places = x
    for block in network.blocks:
        places, _ = run(block, places)
    assert places.shape == (5, 2, 2, 16)
    np.testing.assert_allclose(features, np.mean(places, (1, 2)), atol=1e-9)


def test_normalised_by_its_own_statistics_it_is_itself_whoever_else_is_there():
    network = bent(ResNet12((16, 16, 1), filters=2, key=KEY))
    x = images(4, 16, 1)
    features, used = run(network, x)
    mixed, _ = run(network, x.at[1:].set(3.0), used)
    np.testing.assert_allclose(run(network, x, used)[0], features, atol=1e-9)
    np.testing.assert_allclose(mixed[0], features[0], atol=1e-9)


def test_it_refuses_images_that_it_cannot_halve_four_times():
    with pytest.raises(ValueError, match="15 × 20 is too small"):
        ResNet12((15, 20, 1), key=KEY)
