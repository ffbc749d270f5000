"""ALPaCA and the estimate of its prior against the slow and obvious versions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.evaluation import evaluate
from quickstudy.learners.baseline.regression import OneForAll, SupportMean
from quickstudy.learners.baseline.ridge import PENALTIES, Ridge
from quickstudy.learners.bayesian.alpaca import ALPaCA
from quickstudy.learners.bayesian.linear_prior import em_step
from quickstudy.likelihood import Gaussian, HeteroscedasticGaussian, LogScaleGaussian
from quickstudy.networks import MLP
from quickstudy.runs.opponents import free_opponents
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples
from quickstudy.tasks.rows import RowsOfTasks

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
N, D, HIDDEN = 7, 3, 4
X = RNG.normal(size=(N, D)).astype(np.float32)
Y = RNG.normal(size=(N, 1)).astype(np.float32)
NEW = RNG.normal(size=(5, D)).astype(np.float32)
GAUSSIAN = Gaussian(1)


def some_alpaca() -> ALPaCA:
    """With a prior that is like no other."""
    learner = ALPaCA(MLP((D,), hidden=(HIDDEN,), key=KEY), D)
    p = 1 + D + HIDDEN
    factor = jnp.asarray(RNG.normal(size=(p, p)), jnp.float32)
    mean = jnp.asarray(RNG.normal(size=(p, 1)), jnp.float32)
    return eqx.tree_at(lambda a: (a.mean, a.factor), learner, (mean, factor))


def answers(learner, x, y, likelihood=GAUSSIAN, new=NEW):
    predictor = learner.adapt(Examples(jnp.asarray(x), jnp.asarray(y)), likelihood, key=KEY)
    mean, scale = learner.answers(likelihood).moments(predictor(jnp.asarray(new)))
    return np.asarray(mean, float), np.asarray(scale, float)


def test_the_posterior_is_that_of_the_normal_equations():
    learner = some_alpaca()
    phi, new = (np.asarray(learner.features(jnp.asarray(x)), float) for x in (X, NEW))
    factor = np.tril(np.asarray(learner.factor, float))
    precision = np.linalg.inv(factor @ factor.T)  # Λ₀
    prior = np.asarray(learner.mean, float)
    after = np.linalg.inv(phi.T @ phi + precision)
    mean = new @ after @ (phi.T @ Y + precision @ prior)
    variance = np.exp(2 * float(learner.log_noise)) * (1 + np.sum(new @ after * new, 1))
    found = answers(learner, X, Y)
    np.testing.assert_allclose(found[0], mean, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found[1][:, 0], np.sqrt(variance), rtol=2e-3)


def test_row_by_row_it_is_the_online_update_of_the_paper():
    """Harrison, Sharma and Pavone (2018), algorithm 2, as in `incorporate_transition` of their
    code (github.com/StanfordASL/ALPaCA): the recursion

        Λ⁻¹ ← Λ⁻¹ - (Λ⁻¹ φ)(Λ⁻¹ φ)ᵀ / (1 + φᵀ Λ⁻¹ φ),   Q ← Q + φ yᵀ,   K̄ = Λ⁻¹ Q

    from Λ₀⁻¹ and Q = Λ₀ K̄₀ gives the batch posterior after each row. By the chain rule, the
    densities of the rows, each given those before it, have the marginal likelihood as their
    product: Y ~ N(Φ K̄₀, σ² (I + Φ Λ₀⁻¹ Φᵀ)).
    """
    learner = some_alpaca()
    factor = np.tril(np.asarray(learner.factor, float))
    covariance, prior = factor @ factor.T, np.asarray(learner.mean, float)  # Λ₀⁻¹, K̄₀
    noise = np.exp(2 * float(learner.log_noise))
    phi = np.asarray(learner.features(jnp.asarray(X)), float)
    after, q, predictive = covariance, np.linalg.solve(covariance, prior), 0.0
    for i in range(N):
        told = np.where(np.arange(N)[:, None] < i, Y, np.nan)
        mean, scale = (of[i, 0] for of in answers(learner, X, told, new=X))
        spread = after @ phi[i]
        np.testing.assert_allclose(mean, phi[i] @ after @ q[:, 0], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(scale**2, noise * (1 + phi[i] @ spread), rtol=4e-3)
        predictive -= ((Y[i, 0] - mean) / scale) ** 2 / 2 + np.log(2 * np.pi * scale**2) / 2
        after = after - np.outer(spread, spread) / (1 + phi[i] @ spread)
        q = q + np.outer(phi[i], Y[i])
    whole = marginal(phi[None], Y[None], prior, noise * covariance, noise)
    np.testing.assert_allclose(predictive, whole - N * np.log(2 * np.pi) / 2, rtol=1e-3)


def test_unlabelled_rows_count_for_nothing_and_without_any_the_prior_answers():
    learner = some_alpaca()
    hidden = Y.copy()
    hidden[4:] = np.nan
    for a, b in zip(answers(learner, X, hidden), answers(learner, X[:4], Y[:4]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    mean, _ = answers(learner, X, np.full_like(Y, np.nan))
    prior = learner.features(jnp.asarray(NEW)) @ learner.mean
    np.testing.assert_allclose(mean, prior, rtol=1e-4, atol=1e-5)


def test_it_begins_as_ridge_regression_on_the_inputs():
    learner = ALPaCA(MLP((D,), hidden=(HIDDEN,), key=KEY), D)
    phi, new = (np.column_stack([np.ones(len(x)), x]) for x in (X, NEW))
    ridge = new @ np.linalg.solve(phi.T @ phi + np.eye(1 + D), phi.T @ Y)
    np.testing.assert_allclose(answers(learner, X, Y)[0], ridge, atol=1e-3)


def test_the_tasks_say_which_figure_counts():
    learner = ALPaCA(MLP((D,), hidden=(HIDDEN,), key=KEY), D)
    assert learner.answers(GAUSSIAN).headline == "mse"
    assert learner.answers(HeteroscedasticGaussian(2)).headline == "nll"
    with pytest.raises(ValueError, match="a prior for 1 numbers, a target here has 2"):
        learner.adapt(Examples(jnp.asarray(X), jnp.zeros((N, 2))), Gaussian(2), key=KEY)


def test_log_scales_are_the_scales_of_a_normal_distribution():
    found = LogScaleGaussian(size=2).negative_log_likelihood(
        jnp.asarray([[1.0, np.log(0.01)]]), jnp.asarray([[1.02]])
    )
    np.testing.assert_allclose(found, 2 + np.log(0.01) + np.log(2 * np.pi) / 2, rtol=1e-4)


def marginal(phi, y, mean, s, variance):
    """Σ_t log p(y_t), by the covariance of each task."""
    total = 0.0
    for one, target in zip(np.asarray(phi, float), np.asarray(y, float), strict=True):
        covariance = one @ s @ one.T + variance * np.eye(len(one))
        error = target - one @ mean
        total -= (error.T @ np.linalg.solve(covariance, error)).item() / 2
        total -= np.linalg.slogdet(covariance)[1] / 2
    return total


def test_each_step_of_the_estimate_makes_the_targets_more_likely():
    """With the weak prior of the mean, log p(y) + log p(m) goes up, and S and σ² are the expected
    ones of the posterior."""
    phi, y = RNG.normal(size=(12, 6, 3)), RNG.normal(size=(12, 6, 1))
    phi, y = jnp.asarray(phi, jnp.float32), jnp.asarray(y, jnp.float32)
    now = (jnp.zeros((3, 1)), jnp.eye(3), jnp.asarray(0.5))
    last = -np.inf
    for _ in range(4):
        mean, s, variance = em_step(phi, y, jnp.asarray(72), *now)
        value = marginal(phi, y, np.asarray(mean), np.asarray(s), float(variance))
        value -= float(jnp.sum(mean**2)) / 2
        assert value > last
        last, now = value, (mean, s, variance)


def test_one_step_has_the_moments_of_the_posterior():
    phi, y = RNG.normal(size=(5, 4, 2)), RNG.normal(size=(5, 4, 1))
    s, variance = np.asarray([[1.0, 0.3], [0.3, 0.5]]), 0.4
    found = em_step(
        *(jnp.asarray(a, jnp.float32) for a in (phi, y, 20, np.zeros((2, 1)), s, variance))
    )
    mean = np.asarray(found[0], float)
    second, noise = np.zeros((2, 2)), 0.0
    for one, target in zip(phi, y, strict=True):
        after = np.linalg.inv(one.T @ one / variance + np.linalg.inv(s))
        weights = after @ (one.T @ target / variance + np.linalg.inv(s) @ mean)
        second += after + (weights - mean) @ (weights - mean).T
        noise += np.sum((target - one @ weights) ** 2) + np.trace(one @ after @ one.T)
    np.testing.assert_allclose(found[1], second / 5, rtol=1e-3)
    np.testing.assert_allclose(found[2], noise / 20, rtol=1e-3)


def many(mean, deviation, tasks=60, rows=14):
    """Tasks with weights N(mean, deviation²) and noise .5."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(tasks, rows, D))
    weights = mean + deviation * rng.normal(size=(tasks, D))
    y = np.einsum("trd,td->tr", x, weights) + 0.5 * rng.normal(size=(tasks, rows))
    first = rows * np.arange(tasks)
    return RowsOfTasks(
        jnp.asarray(x.reshape(-1, D), jnp.float32),
        jnp.asarray(y.reshape(-1, 1), jnp.float32),
        jnp.asarray(first),
        jnp.full(tasks, rows),
        shot=5,
        query=9,
    )


def test_it_begins_with_what_training_tasks_share():
    """The prior of weights N((2, -1, 0), .3²) is found, and intervals hold what they claim."""
    tasks = many(np.asarray([2.0, -1.0, 0.0]), 0.3)
    learner = ALPaCA(MLP((D,), hidden=(HIDDEN,), key=KEY), D)
    learner = eqx.filter_jit(lambda a: a.initialised(tasks, key=KEY))(learner)
    np.testing.assert_allclose(learner.mean[1 : 1 + D, 0], [2, -1, 0], atol=0.2)
    noise = float(jnp.exp(learner.log_noise))
    assert 0.4 < noise < 0.6
    scales = noise * np.linalg.norm(np.asarray(learner.factor[1 : 1 + D, : 1 + D]), axis=1)
    assert (np.abs(scales - 0.3) < 0.2).all()
    result = evaluate(learner, tasks, episodes=60)
    assert result.estimate("mse").mean < evaluate(Ridge(), tasks, episodes=60).estimate().mean
    assert result.calibration_error is not None
    assert result.calibration_error < 0.05


def test_ridge_takes_the_penalty_that_is_best_when_rows_are_really_left_out():
    """Each penalty is tried by leaving each row out, and the best one is solved anew."""
    unit = np.sum((X - X.mean(0)) ** 2) / N

    def fitted(x, y, penalty):
        middle = x.mean(0)
        weight = np.linalg.solve(
            (x - middle).T @ (x - middle) + penalty * unit * np.eye(D),
            (x - middle).T @ (y - y.mean()),
        )
        return lambda new: y.mean() + (new - middle) @ weight

    keep = [np.arange(N) != i for i in range(N)]
    errors = [
        np.mean([(fitted(X[k], Y[k], p)(X[~k]) - Y[~k]) ** 2 for k in keep]) for p in PENALTIES
    ]
    mean, scale = answers(Ridge(), X, Y)
    best = PENALTIES[int(np.argmin(errors))]
    np.testing.assert_allclose(mean, fitted(X, Y, best)(NEW), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scale, np.sqrt(min(errors)), rtol=1e-2)


def test_the_other_free_opponents_are_what_their_names_say():
    mean, scale = answers(SupportMean(), X, Y)
    np.testing.assert_allclose(mean, Y.mean(), rtol=1e-5)
    np.testing.assert_allclose(scale, np.sqrt(Y.var(ddof=1) * (1 + 1 / N)), rtol=1e-4)
    tasks = many(np.asarray([2.0, -1.0, 0.0]), 0.0)
    assert list(free_opponents(TaskSpec((D,), GAUSSIAN, None))) == ["mean", "ridge", "one for all"]
    blank = free_opponents(TaskSpec((D,), GAUSSIAN, None))["one for all"]
    fitted = blank.settle(tasks, key=KEY)
    assert isinstance(fitted, OneForAll)
    phi = np.column_stack([np.ones(len(tasks.x)), tasks.x])
    expected = np.linalg.lstsq(phi, np.asarray(tasks.y), rcond=None)[0]
    np.testing.assert_allclose(fitted.weight, expected, atol=0.05)
