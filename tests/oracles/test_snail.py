"""SNAIL against slow loops over its pseudocode, and what it may and may not depend on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.experiments.studies.attention import attended, shares
from quickstudy.learners.memory.snail import SNAIL, Attention, Dense
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP
from quickstudy.task import Episode, Examples
from quickstudy.tasks.sequences import Sequence

KEY = jax.random.key(0)
WAY, INPUTS, LENGTH = 3, 4, 8
LIKELIHOOD = Categorical(WAY)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(LENGTH, INPUTS)), jnp.float32)
Y = jnp.asarray([1, 0, 2, 2, 1, 0, 1, 2])
QUERIES = jnp.asarray(RNG.normal(size=(3, INPUTS)), jnp.float32)
SNAIL_3 = SNAIL(MLP((INPUTS,), hidden=(5,), key=KEY), WAY, filters=8, length=9, key=KEY)


@eqx.filter_jit
def predicted(x, y, queries):
    return SNAIL_3.adapt(Examples(x, y), LIKELIHOOD, key=KEY)(queries)


@eqx.filter_jit
def in_turn(x, y):
    return SNAIL_3.in_turn(Examples(x, y), LIKELIHOOD, key=KEY)


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def affine(linear, x):
    return x @ np.asarray(linear.weight) + np.asarray(linear.bias)


def slow_dense(block, x):
    out = []
    for t in range(len(x)):
        past = x[t - block.dilation] if t >= block.dilation else np.zeros(x.shape[1])
        both = affine(block.weights, np.concatenate([past, x[t]]))
        f, g = both[: len(both) // 2], both[len(both) // 2 :]
        out.append(np.concatenate([x[t], np.tanh(f) / (1 + np.exp(-g))]))
    return np.asarray(out)


def slow_attention(block, x):
    out = []
    for t in range(len(x)):
        query = affine(block.query, x[t])
        keys = [affine(block.key, x[i]) for i in range(t + 1)]
        p = softmax(np.asarray([query @ k for k in keys]) / np.sqrt(len(query)))
        read = sum(p[i] * affine(block.value, x[i]) for i in range(t + 1))
        out.append(np.concatenate([x[t], read]))
    return np.asarray(out)


def slow_logits(x, labels):
    """The whole sequence, one place after the other; x are embeddings."""
    z = np.concatenate([x, labels], 1)
    for block in SNAIL_3.blocks:
        z = (slow_dense if isinstance(block, Dense) else slow_attention)(block, z)
    return affine(SNAIL_3.head, z)


def test_the_blocks_are_those_of_the_paper():
    temporal = [(Dense, 8, 2**i) for i in (1, 2, 3, 4)]
    attention = [(Attention, values, 2 * values) for values in (2, 8, 16)]
    expected = [attention[0], *temporal, attention[1], *temporal, attention[2]]
    found = [
        (Dense, b.added, b.dilation)
        if isinstance(b, Dense)
        else (Attention, b.added, b.key.bias.size)
        for b in SNAIL_3.blocks
    ]
    assert found == expected


def test_what_is_kept_answers_as_rerunning_the_sequence_for_each_query():
    f, of_queries = (np.asarray(SNAIL_3.network(x)[0]) for x in (X, QUERIES))
    labels = np.concatenate([np.eye(WAY)[np.asarray(Y)], np.zeros((1, WAY))])
    found = predicted(X, Y, QUERIES)
    for query, logits in zip(of_queries, found, strict=True):
        expected = slow_logits(np.concatenate([f, query[None]]), labels)[-1]
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shown", [2, 5])
def test_a_set_with_masked_examples_is_the_shorter_set(shown):
    labelled = RNG.permutation(LENGTH)[:shown]
    masked = jnp.full(LENGTH, -1).at[labelled].set(Y[labelled])
    order = np.sort(labelled)
    np.testing.assert_allclose(
        predicted(X, masked, QUERIES), predicted(X[order], Y[order], QUERIES), rtol=1e-5, atol=1e-6
    )


def test_what_comes_later_changes_nothing_earlier():
    before = in_turn(X, Y)
    later_x, later_y = in_turn(X.at[4].add(1.0), Y), in_turn(X, Y.at[4].set(0))
    np.testing.assert_array_equal(before[:4], later_x[:4])
    np.testing.assert_array_equal(before[:5], later_y[:5])  # its label is told after it
    for later in (later_x[4:], later_y[5:]):
        assert np.all(np.max(np.abs(later - before[-len(later) :]), 1) > 1e-6)


def test_one_pass_over_a_sequence_is_adapting_anew_each_time():
    together = in_turn(X, Y)
    for t in (0, 1, 4, LENGTH - 1):
        hidden = jnp.where(jnp.arange(LENGTH) < t, Y, -1)
        found = predicted(X, hidden, X[t : t + 1])
        np.testing.assert_allclose(found[0], together[t], rtol=1e-4, atol=1e-5)


def test_training_reads_the_support_set_in_random_order():
    """And predicts the sequences, whose order is theirs, as they come."""
    task = Sequence(Examples(X[:0], Y[:0]), Examples(X, Y), LIKELIHOOD)
    loss, _ = eqx.filter_jit(lambda task: SNAIL_3.loss(task, key=KEY))(task)
    np.testing.assert_allclose(loss, LIKELIHOOD.mean_loss(in_turn(X, Y), Y), rtol=1e-5)

    episode = Episode(Examples(X, Y), Examples(QUERIES, Y[:3]), LIKELIHOOD)
    loss_of = eqx.filter_jit(lambda key: SNAIL_3.loss(episode, key=key)[0])
    losses = {float(loss_of(jax.random.key(i))) for i in range(3)}
    assert len(losses) == 3


def test_attention_maps_are_shares_of_what_may_be_seen():
    masked = Y.at[jnp.asarray([0, 3])].set(-1)
    task = Episode(Examples(X, masked), Examples(QUERIES, Y[:3]), LIKELIHOOD)
    weights = np.asarray(attended(SNAIL_3, task))
    assert weights.shape == (3, 3, LENGTH + 1)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert (weights[:, :, :2] == 0).all()
    assert (weights[:, :, 2:] > 0).all()
    whole = Episode(Examples(X, Y), Examples(QUERIES, Y[:3]), LIKELIHOOD)
    own, itself = shares(SNAIL_3, whole)
    weights = np.asarray(attended(SNAIL_3, whole))
    slow = [
        np.mean([sum(w[q, i] for i in range(LENGTH) if Y[i] == Y[q]) for q in range(3)])
        for w in weights
    ]
    np.testing.assert_allclose(own, slow, rtol=1e-5)
    np.testing.assert_allclose(itself, weights[:, :, -1].mean(1), rtol=1e-5)
