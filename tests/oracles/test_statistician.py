"""The Neural Statistician against closed forms, SciPy's densities and plain loops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quickstudy.distributions import Normal, divergence
from quickstudy.learners.memory.statistician import Bound, Statistician, normal, some_of_each
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.networks import MLP
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
SETS = Examples(
    jnp.asarray(RNG.normal(size=(7, 2)), jnp.float32), jnp.asarray([0, 1, 0, 1, -1, 0, 1])
)


def some_normal() -> Normal:
    mean, log_variance = (jnp.asarray(RNG.normal(size=(1, 3)), jnp.float32) for _ in range(2))
    return Normal(mean, log_variance)


@pytest.fixture(scope="module")
def learner() -> Statistician:
    network = MLP((2,), hidden=(5,), key=KEY)
    return Statistician(network, (2,), context=3, latent=2, width=4, halve_every=100, key=KEY)


def log_density(at, of: Normal):
    scale = np.exp(0.5 * np.asarray(of.log_variance))
    return stats.norm.logpdf(at, np.asarray(of.mean), scale).sum(-1)


def drawn(of: Normal, count: int) -> np.ndarray:
    """Samples, by NumPy."""
    mean, scale = np.asarray(of.mean), np.exp(0.5 * np.asarray(of.log_variance))
    return mean + scale * RNG.normal(size=(count, mean.shape[1]))


def test_the_divergence_is_the_mean_difference_of_log_densities():
    p, q = some_normal(), some_normal()
    found = drawn(p, 200_000)
    differences = log_density(found, p) - log_density(found, q)
    error = 5 * differences.std() / np.sqrt(len(found))
    assert float(divergence(p, q)[0]) == pytest.approx(differences.mean(), abs=error)
    assert float(divergence(p, p)[0]) == pytest.approx(0, abs=1e-6)
    assert error < 0.1 * differences.mean()


def test_the_bound_is_the_expected_log_of_joint_over_posterior(learner):
    """E_q log p(D, z, c) - log q(z, c), with densities from SciPy; one set after the other."""
    keys = jax.random.split(KEY, 20_000)
    bound = eqx.filter_jit(
        lambda keys: jax.lax.map(
            lambda key: learner.bound(SETS, 2, key=key, drop=False).total, keys, batch_size=500
        )
    )(keys)
    expected, variance = 0.0, 0.0
    for k in range(2):
        x = SETS.x[SETS.y == k]
        h, _ = learner.encoder(x)
        of_set = learner.contexts(h, jnp.zeros(len(x), int), 1)
        c = drawn(of_set, 20_000)
        weight = stats.norm.logpdf(c).sum(1) - log_density(c, of_set)
        c = jnp.asarray(c, jnp.float32)
        for one, features in zip(x, h, strict=True):
            tiled = jnp.tile(features, (len(c), 1))
            q, p = normal(learner.posterior, tiled, c), normal(learner.prior, c)
            z = drawn(q, len(c))
            given = np.asarray(
                learner.decoder(jnp.concatenate([jnp.asarray(z, jnp.float32), c], 1))[0]
            )
            scale = 0.1 + 0.9 * np.log1p(np.exp(given[:, 2:]))
            weight += stats.norm.logpdf(np.asarray(one), given[:, :2], scale).sum(1)
            weight += log_density(z, p) - log_density(z, q)
        expected += weight.mean()
        variance += weight.var() / len(weight)
    error = float(5 * np.sqrt(variance + np.var(bound) / len(bound)))
    assert np.mean(bound) == pytest.approx(expected, abs=error)
    assert error < 0.2 * abs(expected)


def test_pictures_are_bernoulli_variables():
    network = MLP((2, 2, 1), hidden=(5,), key=KEY)
    learner = Statistician(network, (2, 2, 1), context=3, latent=2, width=4, key=KEY)
    x = jnp.asarray(RNG.integers(0, 2, (3, 2, 2, 1)), jnp.float32)
    z, c = jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32), jnp.zeros((3, 3))
    p = 1 / (1 + np.exp(-np.asarray(learner.decoder(jnp.concatenate([z, c], 1))[0])))
    expected = stats.bernoulli.logpmf(np.asarray(x).reshape(3, 4), p).sum(1)
    np.testing.assert_allclose(learner.log_probability(x, z, c), expected, rtol=1e-4)
    assert learner.members(c, 4, key=KEY).shape == (3, 4, 2, 2, 1)


def test_a_summary_has_no_order_and_counts_its_members(learner):
    """Twice the same members are the same mean, but more of them."""
    h, _ = learner.encoder(SETS.x)
    find = eqx.filter_jit(lambda h, sets: learner.contexts(h, sets, 2))
    found, order = find(h, SETS.y), RNG.permutation(7)
    for a, b in zip(find(h[order], SETS.y[order]), found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    without = SETS.y >= 0
    for a, b in zip(learner.contexts(h[without], SETS.y[without], 2), found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    twice = find(jnp.concatenate([h, h]), jnp.concatenate([SETS.y, SETS.y]))
    assert np.max(np.abs(twice.mean - found.mean)) > 1e-3


def integrated(p: Normal, q: Normal) -> float:
    """∫ p log (p / q), coordinate by coordinate, by the trapezoidal rule."""
    total = 0.0
    for i in range(p.mean.shape[1]):
        of_p, of_q = (
            stats.norm(float(n.mean[0, i]), np.exp(0.5 * float(n.log_variance[0, i])))
            for n in (p, q)
        )
        c = np.linspace(*of_p.interval(1 - 1e-12), 20_001)
        total += np.trapezoid(of_p.pdf(c) * (of_p.logpdf(c) - of_q.logpdf(c)), c)
    return total


def test_queries_are_classified_by_the_divergence_of_the_class_from_their_own_context(learner):
    """Edwards and Storkey (2017), section 5.3: minimal "from the test context to the training
    context", by its integral."""
    queries = jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32)
    found = learner.adapt(SETS, Categorical(2), key=KEY)(queries)
    other = np.zeros((4, 2))
    for i, query in enumerate(queries):
        h, _ = learner.encoder(query[None])
        own = learner.contexts(h, jnp.zeros(1, int), 1)
        for k in range(2):
            members, _ = learner.encoder(SETS.x[SETS.y == k])
            of_class = learner.contexts(members, jnp.zeros(len(members), int), 1)
            assert found[i, k] == pytest.approx(-integrated(of_class, own), rel=1e-3, abs=1e-5)
            other[i, k] = -integrated(own, of_class)
    assert np.max(np.abs(found / other - 1)) > 0.01  # or the directions could not be told apart
    with pytest.raises(ValueError, match="targets are not classes"):
        learner.adapt(SETS, Gaussian(1), key=KEY)


def test_sample_dropout_leaves_some_of_each_set_and_any_number():
    sets = jnp.asarray([0] * 4 + [1] * 2 + [-1])
    drop = jax.jit(jax.vmap(lambda key: some_of_each(sets, 2, key)))
    left = np.asarray(drop(jax.random.split(KEY, 2000)))
    assert (left[:, 6] == -1).all()
    for members, size in ((slice(0, 4), 4), (slice(4, 6), 2)):
        kept = left[:, members] >= 0
        np.testing.assert_array_equal(left[:, members][kept], np.asarray(sets)[members][0])
        counts = np.bincount(kept.sum(1), minlength=size + 1)
        assert counts[0] == 0
        np.testing.assert_allclose(counts[1:] / 2000, 1 / size, atol=0.06)
        np.testing.assert_allclose(kept.mean(0), (size + 1) / 2 / size, atol=0.06)


def test_reconstruction_counts_more_at_first_and_by_half_as_much_more_later(learner):
    bound = Bound(jnp.asarray(3.0), jnp.asarray(1.0), jnp.asarray(0.5))
    assert bound.weighted(learner.at_step(jnp.asarray(0)).alpha) == pytest.approx(6 - 0.75)
    later = learner.at_step(jnp.asarray(200))
    assert later.alpha == pytest.approx(0.25)
    assert bound.weighted(later.alpha) == pytest.approx(1.25 * 3 - 1.5 / 1.25)
    assert bound.weighted(jnp.asarray(0.0)) == bound.total

    task = Episode(SETS, SETS, Categorical(2))
    loss, figures = eqx.filter_jit(lambda made: made.loss(task, key=KEY))(later)
    parts = Bound(*(figures[n] for n in ("reconstruction", "KL of contexts", "KL of latents")))
    assert loss == pytest.approx(-float(parts.weighted(later.alpha)), rel=1e-5)
