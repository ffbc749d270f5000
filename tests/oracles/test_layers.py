"""Fast layers against slow ones: values, gradients, and the second derivatives MAML needs."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.networks import MLP, Conv4
from quickstudy.networks.conv4 import ConvBlock
from quickstudy.networks.embedding import pooled
from quickstudy.networks.layers import (
    VARIANCE_FLOOR,
    BatchNorm,
    convolution_by_columns,
    convolution_by_patches,
    convolution_by_xla,
    max_pool,
    moments,
)
from quickstudy.networks.network import WithHead

KEY = jax.random.key(0)


@eqx.filter_jit
def run(network, x, statistics=None):
    return network(x, statistics)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def slow_convolution(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Every output place by itself; zeros outside, the odd one at the end."""
    (n, h, w, _), k = x.shape, kernel.shape[0]
    height, width = -(-h // stride), -(-w // stride)
    above = max((height - 1) * stride + k - h, 0) // 2
    left = max((width - 1) * stride + k - w, 0) // 2
    out = np.zeros((n, height, width, kernel.shape[-1]))
    for i, j, a, b in itertools.product(range(height), range(width), range(k), range(k)):
        row, column = i * stride + a - above, j * stride + b - left
        if 0 <= row < h and 0 <= column < w:
            out[:, i, j] += x[:, row, column] @ kernel[a, b]
    return out


@pytest.mark.parametrize(("stride", "size"), [(1, (5, 7)), (2, (6, 6)), (2, (5, 7))])
def test_every_convolution_is_the_slow_one(stride, size):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, *size, 2)), rng.normal(size=(3, 3, 2, 3))
    expected = slow_convolution(x, kernel, stride)
    weights = rng.normal(size=expected.shape)

    # A smooth function of the output makes all second derivatives count. The convolution is
    # linear in each argument, so its own derivatives follow from its values.
    @jax.jit
    def derivatives(x, kernel, direction):
        def by(convolution):
            def gradient(kernel):
                f = lambda x, k: jnp.sum(weights * jnp.sin(convolution(x, k, stride)))  # noqa: E731
                return jax.grad(f, (0, 1))(x, kernel)

            return convolution(x, kernel, stride), jax.jvp(gradient, (kernel,), (direction,))

        ways = [by(convolution_by_xla), by(convolution_by_patches)]
        if stride == 1:
            ways.append(by(lambda x, kernel, stride: convolution_by_columns(x, kernel)))
        return ways

    direction = rng.normal(size=kernel.shape)
    ways = derivatives(x, kernel, direction)
    for value, ((by_x, by_kernel), (_, curvature)) in ways:
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
        outer = weights * np.cos(expected)
        turned = -weights * np.sin(expected) * slow_convolution(x, direction, stride)
        for found, cotangent in ((by_kernel, outer), (curvature, turned)):
            probe = rng.normal(size=kernel.shape)
            np.testing.assert_allclose(
                np.sum(probe * found),
                np.sum(cotangent * slow_convolution(x, probe, stride)),
                rtol=1e-8,
            )
        probe = rng.normal(size=x.shape)
        np.testing.assert_allclose(
            np.sum(probe * by_x), np.sum(outer * slow_convolution(probe, kernel, stride)), rtol=1e-8
        )
    for way in ways[1:]:
        for a, b in zip(jax.tree.leaves(ways[0]), jax.tree.leaves(way), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_max_pool_takes_the_largest_of_each_square():
    x = np.random.default_rng(1).normal(size=(2, 5, 6, 3))
    expected = [
        [[x[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((0, 1)) for j in range(3)] for i in (0, 1)]
        for n in range(2)
    ]
    np.testing.assert_array_equal(max_pool(jnp.asarray(x)), expected)


def test_batch_norm_is_the_formula():
    rng = np.random.default_rng(2)
    x, gamma, beta = 3 + rng.normal(size=(4, 3, 3, 2)), rng.normal(size=2), rng.normal(size=2)
    norm = eqx.tree_at(
        lambda n: (n.gamma, n.beta), BatchNorm(2), (jnp.asarray(gamma), jnp.asarray(beta))
    )
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    found, used = norm(jnp.asarray(x))
    expected = gamma * (x - mean) / np.sqrt(variance + VARIANCE_FLOOR) + beta
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(used.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(used.variance, variance, rtol=1e-9)
    again, _ = norm(jnp.asarray(2 * x), used)
    np.testing.assert_allclose(
        again, gamma * (2 * x - mean) / np.sqrt(variance + VARIANCE_FLOOR) + beta, rtol=1e-9
    )


@pytest.mark.parametrize("given", [False, True])
def test_pooling_before_normalising_changes_nothing(given):
    """Also where gamma is negative, and in the second derivative."""
    rng = np.random.default_rng(3)
    x, other = jnp.asarray(rng.normal(size=(2, 3, 6, 7, 2)))
    block = ConvBlock(2, 4, 1, key=KEY)
    gamma, beta = jnp.asarray([1.3, -0.7, -1.1, 0.4]), jnp.asarray(rng.normal(size=4))
    block = eqx.tree_at(lambda b: (b.norm.gamma, b.norm.beta), block, (gamma, beta))
    statistics = moments(convolution_by_patches(other, block.kernel, 1)) if given else None

    def plain(block, x):
        z, _ = block.norm(convolution_by_xla(x, block.kernel, 1), statistics)
        return jax.nn.relu(max_pool(z))

    weights = jnp.asarray(rng.normal(size=(3, 3, 3, 4)))
    direction = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), block)

    @jax.jit
    def derivatives(block, x):
        def of(forward):
            gradient = jax.grad(lambda b: jnp.sum(weights * jnp.sin(forward(b, x))))
            return forward(block, x), jax.jvp(gradient, (block,), (direction,))

        return of(lambda b, x: b(x, statistics)[0]), of(plain)

    fast, slow = derivatives(block, x)
    assert np.min(np.sum(np.asarray(fast[0]) > 0, axis=(0, 1, 2))) > 0  # every channel counts
    for a, b in zip(jax.tree.leaves(fast), jax.tree.leaves(slow), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_pooled_statistics_are_those_of_all_batches_together():
    rng = np.random.default_rng(4)
    batches = rng.normal(size=(5, 6, 3)) * 2 + rng.normal(size=(5, 1, 3))
    [found] = pooled((jax.vmap(moments)(jnp.asarray(batches)),))
    together = batches.reshape(-1, 3)
    np.testing.assert_allclose(found.mean, together.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.variance, together.var(0), rtol=1e-9)


@pytest.mark.parametrize("stride", [1, 2])
def test_conv4_normalised_by_its_own_statistics_is_itself(stride):
    network = Conv4((16, 16, 1), filters=3, stride=stride, key=KEY)
    x = jnp.asarray(np.random.default_rng(5).normal(size=(4, 16, 16, 1)))
    features, statistics = run(network, x)
    again, _ = run(network, x, statistics)
    mixed, _ = run(network, x.at[1:].set(3.0), statistics)  # who else is there does not matter
    assert features.shape == (4, network.outputs) == (4, 3)
    np.testing.assert_allclose(again, features, rtol=1e-9)
    np.testing.assert_allclose(mixed[0], features[0], rtol=1e-9)
    assert np.max(np.abs(run(network, x.at[1:].set(3.0))[0][0] - features[0])) > 1e-3


@pytest.mark.parametrize("flat", [False, True])
def test_conv4_averages_what_its_strides_leave_or_keeps_it(flat):
    network = Conv4((28, 20, 1), filters=2, stride=2, flat=flat, key=KEY)
    x = jnp.asarray(np.random.default_rng(6).normal(size=(3, 28, 20, 1)))

    @eqx.filter_jit
    def both(network, x):
        places = x
        for block in network.blocks:
            places, _ = block(places, None)
        return places, network(x)[0]

    places, features = both(network, x)
    assert places.shape == (3, 2, 2, 2)
    expected = np.reshape(places, (3, 8)) if flat else np.mean(places, axis=(1, 2))
    np.testing.assert_allclose(features, expected, rtol=1e-9)
    assert features.shape == (3, network.outputs)


def test_conv4_refuses_images_that_it_cannot_halve_four_times():
    with pytest.raises(ValueError, match="15 × 20 is too small"):
        Conv4((15, 20, 1), key=KEY)


def test_an_mlp_with_a_head_is_the_formula():
    network = WithHead(MLP((2, 3), hidden=(5, 4), key=KEY), 2, key=KEY)
    x = np.random.default_rng(7).normal(size=(3, 2, 3))
    a, b = network.body.layers
    z = np.maximum(x.reshape(3, 6) @ a.weight + a.bias, 0)
    z = np.maximum(z @ b.weight + b.bias, 0)
    expected = z @ network.head.weight + network.head.bias
    np.testing.assert_allclose(network(jnp.asarray(x))[0], expected, rtol=1e-9)
    assert not network.normalises


def test_weights_start_with_the_spread_that_is_written():
    layer = MLP((400,), hidden=(300,), key=KEY).layers[0]
    for values in (layer.weight, layer.bias):
        assert np.max(np.abs(values)) <= 1 / 20
        assert np.max(np.abs(values)) > 0.95 / 20
    assert abs(np.std(layer.weight) / (1 / 20 / np.sqrt(3)) - 1) < 0.02
    kernel = np.asarray(Conv4((16, 16, 1), filters=64, key=KEY).blocks[1].kernel)
    assert abs(kernel.std() / np.sqrt(2 / (9 * 64)) - 1) < 0.02
