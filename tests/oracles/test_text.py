"""The network for text, place by place."""

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.networks import Text


def test_each_place_of_the_window_has_weights_of_its_own():
    network = Text((4,), 11, width=3, hidden=6, outputs=5, key=jax.random.key(0))
    x = np.random.default_rng(0).integers(0, 11, (7, 4))
    found, statistics = network(jnp.asarray(x))
    embedding, weight = np.asarray(network.embedding), np.asarray(network.hidden.weight)
    for tokens, z in zip(x, np.asarray(found), strict=True):
        inside = np.asarray(network.hidden.bias).copy()
        for place, token in enumerate(tokens):
            inside += embedding[token] @ weight[3 * place : 3 * (place + 1)]
        expected = np.maximum(inside, 0) @ network.last.weight + network.last.bias
        np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)
    assert statistics == ()
