"""The free opponents against scikit-learn, and against leaving out what a formula leaves out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model
from sklearn.neighbors import NearestCentroid

from quickstudy.learners.baseline.logistic import LogisticRegression
from quickstudy.learners.baseline.nearest_mean import NearestMean
from quickstudy.learners.baseline.ridge import Ridge, solved
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.runs.opponents import free_opponents
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
CLASSES = 3
Y = np.asarray([0, 1, 2, 1, 0, 1, 2, 1, 0])
X = (RNG.normal(size=(9, 2, 2)) + Y[:, None, None]).astype(np.float32)
NEW = RNG.normal(size=(50, 2, 2)).astype(np.float32) + 1
FLAT, NEW_FLAT = X.reshape(9, -1), NEW.reshape(50, -1)
OPPONENTS = free_opponents(TaskSpec((2, 2), Categorical(CLASSES), None))


def answers(learner, x=X, y=Y):
    support = Examples(jnp.asarray(x), jnp.asarray(y))
    return learner.adapt(support, Categorical(CLASSES), key=KEY)(jnp.asarray(NEW))


def test_the_nearest_mean_is_scikit_learns():
    expected = NearestCentroid().fit(FLAT, Y).predict(NEW_FLAT)
    np.testing.assert_array_equal(np.argmax(answers(NearestMean()), 1), expected)


def test_logistic_regression_is_scikit_learns():
    expected = (
        linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-9)
        .fit(FLAT, Y)
        .predict_proba(NEW_FLAT)
    )
    np.testing.assert_allclose(
        jax.nn.softmax(answers(LogisticRegression())), expected, rtol=1e-4, atol=1e-5
    )


def test_logistic_regression_of_two_of_the_classes():
    two = Y != 1
    model = linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-9).fit(
        FLAT[two], Y[two]
    )
    found = answers(LogisticRegression(), y=np.where(two, Y, -1))
    np.testing.assert_allclose(
        jax.nn.softmax(found[:, np.asarray([0, 2])]), model.predict_proba(NEW_FLAT), rtol=1e-4
    )


@pytest.mark.parametrize("penalty", [0.01, 0.1, 10.0])
def test_ridge_is_scikit_learns_and_its_errors_those_of_leaving_out(penalty):
    targets = np.eye(CLASSES)[Y]
    centred = FLAT - FLAT.mean(0)
    absolute = penalty * np.sum(centred**2) / len(Y)
    model = linear_model.Ridge(alpha=absolute).fit(FLAT, targets)
    left_out = [
        targets[i]
        - linear_model.Ridge(alpha=absolute)
        .fit(np.delete(FLAT, i, 0), np.delete(targets, i, 0))
        .predict(FLAT[i : i + 1])[0]
        for i in range(len(Y))
    ]
    weight, bias, variance = solved(
        jnp.asarray(FLAT), jnp.asarray(targets), jnp.ones(9, bool), jnp.asarray([penalty])
    )
    np.testing.assert_allclose(NEW_FLAT @ weight + bias, model.predict(NEW_FLAT), atol=1e-4)
    np.testing.assert_allclose(variance, np.mean(np.square(left_out)), rtol=1e-3)


def test_ridge_takes_the_penalty_that_is_best_when_examples_are_left_out():
    grid = (0.001, 0.1, 10.0)
    each = [
        solved(jnp.asarray(FLAT), jnp.eye(CLASSES)[Y], jnp.ones(9, bool), jnp.asarray([p]))[2]
        for p in grid
    ]
    best = grid[int(np.argmin(np.asarray(each)))]
    np.testing.assert_allclose(answers(Ridge(grid)), answers(Ridge((best,))), rtol=1e-5)


@pytest.mark.parametrize("name", OPPONENTS)
def test_an_unlabelled_example_teaches_nothing(name):
    y = np.where(np.arange(9) == 4, -1, Y)
    found = answers(OPPONENTS[name], y=y)
    expected = answers(OPPONENTS[name], np.delete(X, 4, 0), np.delete(Y, 4))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", OPPONENTS)
def test_a_class_without_an_example_is_never_the_answer(name):
    found = answers(OPPONENTS[name], y=np.where(Y == 1, -1, Y))
    assert np.isfinite(found).all()
    assert not np.any(np.argmax(found, 1) == 1)


@pytest.mark.parametrize("name", sorted({*OPPONENTS} - {"ridge"}))
def test_real_targets_are_refused(name):
    support = Examples(jnp.asarray(X), jnp.ones((9, 1)))
    with pytest.raises(ValueError, match="targets are not classes"):
        OPPONENTS[name].adapt(support, Gaussian(1), key=KEY)
