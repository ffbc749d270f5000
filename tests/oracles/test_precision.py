"""bfloat16 in matrix products and convolutions, and nowhere else."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from quickstudy.learners.gradient.maml import MAML
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP, Conv4, WithHead
from quickstudy.networks.layers import Linear, convolution, convolution_by_xla, multiply
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
ROUNDING = 2.0**-8
"""The relative error of one bfloat16 number is at most half of this."""


def products(program: Jaxpr) -> list[tuple]:
    """The types of the factors of every matrix product and convolution."""
    found = []
    for equation in program.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found.append(tuple(x.aval.dtype for x in equation.invars))
        for value in equation.params.values():
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            if isinstance(inner, Jaxpr):
                found += products(inner)
    return found


def test_a_layer_is_that_of_rounded_numbers():
    rng = np.random.default_rng(0)
    layer = Linear(40, 30, precision="bfloat16", key=KEY)
    x = jnp.asarray(rng.normal(size=(20, 40)), jnp.float32)
    rounded_x, weight = (np.asarray(v.astype(jnp.bfloat16), float) for v in (x, layer.weight))
    exact = rounded_x @ weight
    found = layer(x)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found - layer.bias, exact, rtol=ROUNDING, atol=1e-6)
    assert np.max(np.abs(found - layer.bias - x @ layer.weight)) > 1e-4


def test_sums_are_not_rounded_along_the_way():
    """In bfloat16 itself 256 + 1 is 256."""
    layer = Linear(4096, 1, precision="bfloat16", key=KEY)
    layer = eqx.tree_at(lambda x: (x.weight, x.bias), layer, (jnp.ones((4096, 1)), jnp.zeros(1)))
    assert float(layer(jnp.ones((1, 4096)))[0, 0]) == 4096


def test_a_convolution_is_that_of_rounded_numbers():
    rng = np.random.default_rng(1)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, 6, 6, 8), (3, 3, 8, 4)))
    rounded = [v.astype(jnp.bfloat16).astype(jnp.float32) for v in (x, kernel)]
    expected = convolution_by_xla(*rounded, 2)
    by_xla = multiply(lambda x, k: convolution_by_xla(x, k, 2), x, kernel, "bfloat16")
    for found in (convolution(x, kernel, 2, "bfloat16"), by_xla):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=1e-4)


def network(kind: str, precision):
    if kind == "mlp":
        body = MLP((16, 16, 1), hidden=(12,), normalise=True, precision=precision, key=KEY)
    else:
        body = Conv4((16, 16, 1), filters=8, stride=2, precision=precision, key=KEY)
    return WithHead(body, 3, key=KEY)


@pytest.mark.parametrize("kind", ["mlp", "conv4"])
def test_the_meta_gradient_of_second_order_maml_is_that_of_float32_but_for_rounding(kind):
    rng = np.random.default_rng(2)
    y = np.repeat(np.arange(3), 4)
    centres = rng.normal(size=(3, 16, 16, 1))

    def examples():
        x = centres[y] + rng.normal(size=(12, 16, 16, 1))
        return Examples(jnp.asarray(x, jnp.float32), jnp.asarray(y))

    task = Episode(examples(), examples(), Categorical(3))
    gradients = {}
    for precision in ("float32", "bfloat16"):
        learner = MAML(network(kind, precision), optax.sgd(0.1), train_steps=2)
        trained, fixed = eqx.partition(learner, eqx.is_inexact_array)
        gradient = jax.grad(lambda t, fixed=fixed: eqx.combine(t, fixed).loss(task, key=KEY)[0])
        types = set(products(jax.make_jaxpr(gradient)(trained).jaxpr))
        assert types == {(jnp.dtype(precision), jnp.dtype(precision))}
        found = jax.jit(gradient)(trained)
        assert {leaf.dtype for leaf in jax.tree.leaves((trained, found))} == {jnp.dtype("float32")}
        gradients[precision] = np.concatenate([g.ravel() for g in jax.tree.leaves(found)])
    exact, rounded = gradients.values()
    assert np.isfinite(rounded).all()
    off = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert 1e-4 < off < 0.15
