"""Likelihoods against closed forms, SciPy, and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, log_loss

from quickstudy.evaluation import Met, Result
from quickstudy.likelihood import (
    CALIBRATION_BINS,
    Categorical,
    Gaussian,
    HeteroscedasticGaussian,
    Letters,
)

RNG = np.random.default_rng(0)
LOGITS = 2 * RNG.normal(size=(40, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, 40)
HALF_LABELLED = np.where(np.arange(40) % 2, LABELS, -1)


def test_categorical_is_the_softmax_cross_entropy():
    found = Categorical(3).negative_log_likelihood(jnp.asarray(LOGITS), jnp.asarray(LABELS))
    expected = -log_softmax(LOGITS, axis=1)[np.arange(40), LABELS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_categorical_metrics_are_scikit_learns():
    found = Categorical(3).metrics(jnp.asarray(LOGITS), jnp.asarray(LABELS))
    assert found["accuracy"] == pytest.approx(accuracy_score(LABELS, LOGITS.argmax(1)))
    assert found["nll"] == pytest.approx(log_loss(LABELS, softmax(LOGITS, axis=1)), rel=1e-5)


def test_unlabelled_examples_do_not_count():
    likelihood, some = Categorical(3), HALF_LABELLED >= 0
    all_ = (jnp.asarray(LOGITS), jnp.asarray(HALF_LABELLED))
    labelled = (jnp.asarray(LOGITS[some]), jnp.asarray(HALF_LABELLED[some]))
    for name, value in likelihood.metrics(*all_).items():
        assert value == pytest.approx(float(likelihood.metrics(*labelled)[name]), rel=1e-5)
    assert likelihood.mean_loss(*all_) == pytest.approx(
        float(likelihood.mean_loss(*labelled)), rel=1e-5
    )
    np.testing.assert_allclose(
        likelihood.calibration(*all_), likelihood.calibration(*labelled), rtol=1e-5
    )
    none = likelihood.metrics(jnp.asarray(LOGITS), jnp.full(40, -1))
    assert (none["accuracy"], none["nll"]) == (0, 0)


def test_another_number_of_logits_is_refused():
    with pytest.raises(ValueError, match="3 logits, the task has 5 classes"):
        Categorical(5).mean_loss(jnp.asarray(LOGITS), jnp.asarray(LABELS))


def slow_calibration_error(p: np.ndarray, y: np.ndarray) -> float:
    """Guo et al. 2017, eq. 3, bin by bin."""
    confidence, correct = p.max(1), p.argmax(1) == y
    error = 0.0
    for b in range(CALIBRATION_BINS):
        inside = (confidence >= b / CALIBRATION_BINS) & (
            (confidence < (b + 1) / CALIBRATION_BINS) | (b == CALIBRATION_BINS - 1)
        )
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            error += inside.mean() * gap
    return error


def result(bins: np.ndarray) -> Result:
    return Result({}, np.asarray(bins), "accuracy", higher_is_better=True, tasks=Met({}))


def test_calibration_error_is_the_slow_one_and_adds_up_over_tasks():
    likelihood = Categorical(3)
    certain = np.concatenate([LOGITS, np.eye(3, dtype=np.float32)[LABELS[:5]] * 200])
    labels = np.concatenate([LABELS, LABELS[:5]])
    parts = [
        likelihood.calibration(jnp.asarray(certain[part]), jnp.asarray(labels[part]))
        for part in (slice(0, 11), slice(11, None))
    ]
    expected = slow_calibration_error(softmax(certain, axis=1), labels)
    assert result(sum(parts)).calibration_error == pytest.approx(expected, abs=1e-6)
    assert expected > 0.05


def test_claims_that_come_true_as_often_as_claimed_have_no_calibration_error():
    p = np.tile([0.6, 0.3, 0.1], (10, 1))
    y = np.asarray([0] * 6 + [1] * 4)
    bins = Categorical(3).calibration(jnp.log(jnp.asarray(p, jnp.float32)), jnp.asarray(y))
    assert result(bins).calibration_error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_gaussian_is_the_density_of_scipy(scale):
    m, y = RNG.normal(size=(6, 2)), RNG.normal(size=(6, 2))
    found = Gaussian(2, scale).negative_log_likelihood(jnp.asarray(m), jnp.asarray(y))
    np.testing.assert_allclose(found, -stats.norm.logpdf(y, m, scale).sum(1), rtol=1e-5)
    metrics = Gaussian(2, scale).metrics(jnp.asarray(m), jnp.asarray(y))
    assert metrics["mse"] == pytest.approx(np.mean((y - m) ** 2), rel=1e-5)
    assert metrics["nll"] == pytest.approx(float(np.mean(found)), rel=1e-5)


def test_targets_from_the_claimed_gaussian_are_calibrated_and_others_are_not():
    m = RNG.normal(size=(20000, 1))
    y = m + 0.5 * RNG.normal(size=m.shape)
    honest, proud, shy = (
        np.asarray(Gaussian(1, s).calibration(jnp.asarray(m), jnp.asarray(y)))
        for s in (0.5, 0.25, 1.0)
    )
    asked, claimed, true = honest.T
    np.testing.assert_array_equal(asked, 20000)
    np.testing.assert_allclose(claimed / asked, (np.arange(15) + 0.5) / 15, rtol=1e-5)
    np.testing.assert_allclose(true / asked, claimed / asked, atol=4 * 0.5 / np.sqrt(20000))
    assert result(honest).calibration_error < 0.01
    assert (proud[:, 2] < proud[:, 1]).all()
    assert (shy[:, 2] > shy[:, 1]).all()


def test_predicted_scales_are_those_of_the_density():
    prediction, y = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 2))
    scale = 0.1 + 0.9 * np.log1p(np.exp(prediction[:, 2:]))
    found = HeteroscedasticGaussian(4).metrics(jnp.asarray(prediction), jnp.asarray(y))
    expected = -stats.norm.logpdf(y, prediction[:, :2], scale).sum(1)
    assert found["nll"] == pytest.approx(expected.mean(), rel=1e-5)
    assert found["mse"] == pytest.approx(np.mean((y - prediction[:, :2]) ** 2), rel=1e-5)
    sure = jnp.asarray([[0.0, -50.0]])
    np.testing.assert_allclose(HeteroscedasticGaussian(2, floor=0.3).moments(sure)[1], 0.3)


def test_targets_under_the_scale_predicted_for_each_are_calibrated():
    a = RNG.normal(size=(20000, 1))
    likelihood = HeteroscedasticGaussian(2)
    prediction = jnp.asarray(np.concatenate([a, a], 1), jnp.float32)
    mean, scale = likelihood.moments(prediction)
    y = mean + scale * RNG.normal(size=a.shape)
    assert result(likelihood.calibration(prediction, y)).calibration_error < 0.01


BEST = {
    Categorical(3): lambda y: 1e4 * jax.nn.one_hot(y, 3),
    Letters(): lambda y: 1e4 * jax.nn.one_hot(y, 5).reshape(-1, 25),
    Gaussian(2, 0.7): lambda y: y,
}
"""The most probable prediction of a target."""


@pytest.mark.parametrize("likelihood", BEST, ids=lambda likelihood: type(likelihood).__name__)
def test_the_deviance_is_twice_the_distance_in_log_likelihood_to_the_best_prediction(likelihood):
    y = {
        Categorical: RNG.integers(0, 3, 6),
        Letters: RNG.integers(0, 5, (6, 5)),
        Gaussian: RNG.normal(size=(6, 2)),
    }[type(likelihood)]
    y, prediction = jnp.asarray(y), jnp.asarray(RNG.normal(size=(6, likelihood.size)))
    loss = likelihood.negative_log_likelihood
    expected = 2 * (loss(prediction, y) - loss(BEST[likelihood](y), y))
    np.testing.assert_allclose(likelihood.deviance(prediction, y), expected, rtol=1e-4, atol=1e-5)
    none = jnp.full_like(y, jnp.nan if jnp.issubdtype(y.dtype, jnp.floating) else -1)
    masked = none.at[:2].set(y[:2])
    assert likelihood.mean_deviance(prediction, masked) == pytest.approx(
        float(np.mean(expected[:2])), rel=1e-4
    )


@pytest.mark.parametrize("likelihood", [Gaussian(2, 0.7), HeteroscedasticGaussian(4)])
def test_numbers_without_a_label_count_towards_nothing(likelihood):
    prediction = jnp.asarray(RNG.normal(size=(6, likelihood.size)), jnp.float32)
    y = jnp.asarray(RNG.normal(size=(6, 2)), jnp.float32)
    some = np.asarray([0, 2, 5])
    masked = jnp.full_like(y, jnp.nan).at[some].set(y[some])
    for name, value in likelihood.metrics(prediction, masked).items():
        expected = likelihood.metrics(prediction[some], y[some])[name]
        assert value == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(
        likelihood.calibration(prediction, masked),
        likelihood.calibration(prediction[some], y[some]),
        rtol=1e-5,
    )
    slope = jax.grad(lambda p: likelihood.mean_loss(p, masked))(prediction)
    expected = jax.grad(lambda p: likelihood.mean_loss(p, y[some]))(prediction[some])
    np.testing.assert_allclose(slope[some], expected, rtol=1e-5)
    np.testing.assert_array_equal(np.delete(slope, some, 0), 0)
    assert likelihood.mean_loss(prediction, jnp.full_like(y, jnp.nan)) == 0


@pytest.mark.parametrize("likelihood", [Gaussian(2, 0.7), HeteroscedasticGaussian(4)])
def test_of_a_target_only_the_numbers_that_are_known_count(likelihood):
    prediction = RNG.normal(size=(30, likelihood.size)).astype(np.float32)
    y = RNG.normal(size=(30, 2)).astype(np.float32)
    known = RNG.uniform(size=(30, 2)) < 0.5
    known[:3] = [[True, False], [False, True], [False, False]]
    told = jnp.asarray(np.where(known, y, np.nan))
    mean, scale = map(np.asarray, likelihood.moments(jnp.asarray(prediction)))
    log_p = np.where(known, stats.norm.logpdf(y, mean, scale), 0).sum(1)
    labelled = known.any(1)
    np.testing.assert_array_equal(likelihood.labelled(told), labelled)
    np.testing.assert_allclose(
        likelihood.negative_log_likelihood(jnp.asarray(prediction), told), -log_p, rtol=1e-4
    )
    found = likelihood.metrics(jnp.asarray(prediction), told)
    assert found["nll"] == pytest.approx(-log_p.sum() / labelled.sum(), rel=1e-5)
    assert found["mse"] == pytest.approx(np.mean((y - mean)[known] ** 2), rel=1e-5)
    bins = likelihood.calibration(jnp.asarray(prediction), told)
    np.testing.assert_array_equal(bins[:, 0], known.sum())
    half = stats.norm.ppf(0.5 + np.asarray(bins[:, 1] / bins[:, 0]) / 2)
    inside = np.abs(y - mean)[known] <= scale[known] * half[:, None]
    np.testing.assert_array_equal(bins[:, 2], inside.sum(1))
    np.testing.assert_array_equal(likelihood.encode(told), np.where(known, y, 0))
    slope = jax.grad(lambda p: likelihood.mean_loss(p, told))(jnp.asarray(prediction))
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[:, :2] != 0, known)
