"""Conditional neural processes against slow sums, one example after the other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.errors import UserError
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.memory.cnp import CNP
from quickstudy.likelihood import Categorical, Gaussian, HeteroscedasticGaussian, Likelihood
from quickstudy.networks import MLP, WithHead
from quickstudy.settings.learners import CNPSettings
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
REAL, CLASSES = HeteroscedasticGaussian(2), Categorical(3)
CONTEXT = Examples(
    jnp.asarray(RNG.normal(size=(7, 2)), jnp.float32),
    jnp.asarray(RNG.normal(size=(7, 1)), jnp.float32),
)
LABELLED = Examples(CONTEXT.x, jnp.asarray([0, 2, 1, 1, 0, 2, 1]))
QUERIES = jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32)


def learner(likelihood: Likelihood, heads: int) -> CNP:
    network = MLP((2,), hidden=(), key=KEY)
    return CNP(network, likelihood, width=6, layers=2, heads=heads, key=KEY)


@eqx.filter_jit
def run(learner: CNP, context: Examples, likelihood: Likelihood):
    return learner.adapt(context, likelihood, key=KEY)(QUERIES)


def slowly(learner: CNP, context: Examples, likelihood: Likelihood) -> np.ndarray:
    """Word for word: what is read of each example, what is in common for each query."""
    classifies, attention = likelihood == CLASSES, learner.attention
    found = []
    for query in np.asarray(QUERIES):
        means = []
        for k in range(3 if classifies else 1):
            seen, r = [], []
            for x, y in zip(np.asarray(context.x), np.asarray(context.y), strict=True):
                if (y == k) if classifies else not np.isnan(y).any():
                    read = x if classifies else np.concatenate([x, y])
                    seen.append(x)
                    r.append(np.asarray(learner.encoder(jnp.asarray(read[None]))[0][0]))
            if attention is None:
                means.append(np.mean(r, axis=0) if r else np.zeros(6))
                continue
            e = lambda x: attention.places(jnp.asarray(x[None]))[0]  # noqa: E731
            q, parts = np.asarray(attention.queries(e(query))[0]), []
            for w in range(2):
                head = slice(3 * w, 3 * w + 3)
                keys = [np.asarray(attention.keys(e(x))[0])[head] for x in seen]
                values = [np.asarray(attention.values(jnp.asarray(one)))[head] for one in r]
                weights = np.exp([q[head] @ key / np.sqrt(3) for key in keys])
                parts.append(weights @ np.stack(values) / weights.sum())
            means.append(np.concatenate(parts))
        both = np.concatenate([query, *means])
        found.append(np.asarray(learner.decoder(jnp.asarray(both[None], jnp.float32))[0][0]))
    return np.stack(found)


@pytest.mark.parametrize("heads", [0, 2])
@pytest.mark.parametrize("likelihood", [REAL, CLASSES], ids=["functions", "classes"])
def test_predictions_are_the_equations_and_sets_have_no_order_and_no_masked_examples(
    likelihood, heads
):
    made = learner(likelihood, heads)
    context = LABELLED if likelihood == CLASSES else CONTEXT
    found = run(made, context, likelihood)
    np.testing.assert_allclose(found, slowly(made, context, likelihood), rtol=1e-4, atol=1e-5)
    order = RNG.permutation(7)
    turned = jax.tree.map(lambda a: a[order], context)
    np.testing.assert_allclose(run(made, turned, likelihood), found, rtol=1e-4, atol=1e-5)

    kept, none = np.asarray([0, 1, 2, 5]), -1 if likelihood == CLASSES else jnp.nan
    masked = jnp.full_like(context.y, none).at[kept].set(context.y[kept])
    shorter = jax.tree.map(lambda a: a[kept], context)
    np.testing.assert_allclose(
        run(made, Examples(context.x, masked), likelihood),
        run(made, shorter, likelihood),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("heads", [0, 2])
def test_without_a_context_it_tells_the_prior_and_has_a_slope(heads):
    """One that is masked is as good as none, and no NaN comes back."""
    made = learner(REAL, heads)
    masked = Examples(CONTEXT.x, jnp.full_like(CONTEXT.y, jnp.nan))
    prior = made.decoder(jnp.concatenate([QUERIES, jnp.zeros((4, 6))], axis=1))[0]
    np.testing.assert_allclose(run(made, masked, REAL), prior, rtol=1e-5)
    task = Episode(masked, Examples(QUERIES, CONTEXT.y[:4]), REAL)
    slope = eqx.filter_jit(eqx.filter_grad(lambda made: made.loss(task, key=KEY)[0]))(made)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(slope))


def test_other_tasks_than_it_was_made_for_are_refused():
    with pytest.raises(ValueError, match="3 numbers for classes, the task needs 5"):
        learner(CLASSES, 0).adapt(LABELLED, Categorical(5), key=KEY)
    with pytest.raises(ValueError, match="for functions, the task needs 2 for classes"):
        learner(REAL, 0).adapt(LABELLED, Categorical(2), key=KEY)
    with pytest.raises(UserError, match="--heads 8: --width 20"):
        CNPSettings(attention=True, width=20)


@pytest.mark.parametrize("likelihood", [Gaussian(1), REAL], ids=["mean", "mean and scale"])
def test_maml_adapts_to_the_labelled_alone(likelihood):
    network = WithHead(MLP((2,), hidden=(5,), key=KEY), likelihood.size, key=KEY)
    maml = MAML(network, optax.sgd(0.1), train_steps=2, test_steps=2)
    some = np.asarray([1, 3])
    y = jnp.full_like(CONTEXT.y, jnp.nan).at[some].set(CONTEXT.y[some])
    adapt = eqx.filter_jit(lambda s: maml.adapt(s, likelihood, key=KEY)(QUERIES))
    shorter = Examples(CONTEXT.x[some], CONTEXT.y[some])
    np.testing.assert_allclose(adapt(Examples(CONTEXT.x, y)), adapt(shorter), rtol=1e-4, atol=1e-6)
