"""What the studies of processes measure with, and what they draw."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from quickstudy.estimate import Estimate
from quickstudy.experiments.diagrams import Panel, pictures
from quickstudy.experiments.studies.gaussian_processes import (
    SHOWN_PIXELS,
    Exact,
    FirstFew,
    Nearest,
    one_digit,
)
from quickstudy.likelihood import HeteroscedasticGaussian
from quickstudy.report.figures import diagrams
from quickstudy.task import Examples
from quickstudy.tasks.completion import Completion
from quickstudy.tasks.gaussian_processes import fixed_gaussian_process, posterior

KEY = jax.random.key(0)


def test_the_exact_posterior_is_scored_as_a_network_is():
    process = fixed_gaussian_process(6, 5, least=6)
    task = jax.jit(process.sample)(KEY)
    context = Examples(task.support.x[:4], task.support.y[:4])
    learner = FirstFew(Exact(process), jnp.asarray(4))
    mean, scale = posterior(context, task.query.x, length=0.4, amplitude=1.0, noise=0.02)
    for floor in (0.0, 0.3):
        likelihood = HeteroscedasticGaussian(floor=floor)
        prediction = learner.adapt(task.support, likelihood, key=KEY)(task.query.x)
        found = likelihood.negative_log_likelihood(prediction, task.query.y)
        y, held = np.asarray(task.query.y), np.maximum(scale, floor)
        expected = -stats.norm.logpdf(y, np.asarray(mean), held)[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_the_nearest_pixel_that_is_told():
    x = jnp.asarray([[0.0, 0.0], [1.0, 1.0], [0.4, 0.4]])
    support = Examples(x, jnp.asarray([[0.2], [0.7], [jnp.nan]]))
    predictor = Nearest().adapt(support, HeteroscedasticGaussian(), key=KEY)
    found = predictor(jnp.asarray([[0.4, 0.4], [0.9, 0.6]]))
    np.testing.assert_allclose(found[:, 0], [0.2, 0.7])


def test_pictures_lie_in_rows_and_columns():
    a, b = np.full((2, 3), 0.5), np.full((2, 3), -1.0)
    found = pictures("t", "x", {"first": [a, b], "second": [b, a]}, ["one", "two"])
    np.testing.assert_array_equal(found.values[0], [0.5, 0.5, 0.5, 0, 0, 0])
    np.testing.assert_array_equal(found.values[3], [0, 0, 0, 0.5, 0.5, 0.5])
    assert found.columns == ("", "one", "", "", "two", "")
    assert found.rows == ("", "first", "", "second")


def test_a_digit_is_drawn_with_what_is_told_of_it():
    """All but one pixel is known of this one, and the others are at their own places."""
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 255, (1, 16, 16, 1)).astype(np.uint8)
    tasks = Completion(jnp.asarray(picture), 20, 20)
    found = one_digit(tasks, {"nearest pixel": Nearest()}, 0).values
    digit = found[-16:, :16]
    wrong = ~np.isclose(digit, picture[0, ..., 0] / 255, atol=1e-6)
    assert wrong.sum() == 1
    told = found[:16]
    for column, count in enumerate(SHOWN_PIXELS):
        of_count = told[:, 16 * column : 16 * (column + 1)]
        assert np.isclose(of_count, digit, atol=1e-6).sum() == count


def test_points_of_a_panel_are_not_joined():
    line = {str(x): Estimate(x, 0.1, 1) for x in range(4)}
    joined, apart = (
        diagrams([Panel("t", "x", "y", {"a": line}, points=points)]) for points in ((), ("a",))
    )
    assert joined != apart
