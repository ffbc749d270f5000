"""Optimisation problems against what is known of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import rosen

from quickstudy.tasks.problems.classification import Classifiers
from quickstudy.tasks.problems.functions import FUNCTIONS, TestFunction, TestFunctions
from quickstudy.tasks.problems.logistic import LogisticRegressions
from quickstudy.tasks.problems.quadratics import Quadratics

KEY = jax.random.key(0)
LEAST = {"ackley": 0.0, "rastrigin": 0.0, "rosenbrock": 1.0, "styblinski": -2.903534}
"""Where each coordinate of the minimum is."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_least_and_flat_where_they_should_be(name):
    problem = TestFunctions(name, 4).sample(KEY)
    least = problem.offset + LEAST[name]
    value, slope = jax.value_and_grad(problem.loss)(least, KEY)
    np.testing.assert_allclose(value, 0, atol=1e-4)
    np.testing.assert_allclose(slope, 0, atol=2e-2)
    around = least + 0.3 * jax.random.normal(KEY, (50, 4))
    assert jnp.all(jax.vmap(lambda theta: problem.loss(theta, KEY))(around) > value)


def test_functions_have_the_values_of_their_formulas():
    """By hand: cos 2πx is -1 at 1/2 and 1 at whole numbers."""
    far = np.asarray([0.5, -1.3, 2.0, 0.1])
    np.testing.assert_allclose(FUNCTIONS["rosenbrock"](jnp.asarray(far)), rosen(far), rtol=1e-5)
    half, two = jnp.full(3, 0.5), jnp.full(3, 2.0)
    assert FUNCTIONS["rastrigin"](half) == pytest.approx(3 * (0.25 + 10 + 10))
    assert FUNCTIONS["rastrigin"](two) == pytest.approx(3 * 4, abs=1e-4)
    ackley = 20 - 20 * np.exp(-0.2 * 2) + np.e - np.e
    assert FUNCTIONS["ackley"](two) == pytest.approx(ackley, rel=1e-5)
    ackley = 20 - 20 * np.exp(-0.2 * 0.5) + np.e - np.exp(-1)
    assert FUNCTIONS["ackley"](half) == pytest.approx(ackley, rel=1e-5)
    assert FUNCTIONS["styblinski"](two) == pytest.approx(3 * (39.16617 + (16 - 64 + 10) / 2))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_minimisation_begins_anywhere_in_the_functions_own_box(name):
    problem = TestFunction(jnp.asarray([100.0, -50.0]), name)
    starts = jax.vmap(problem.init)(jax.random.split(KEY, 500)) - problem.offset
    box = {"ackley": 5, "rastrigin": 5.12, "rosenbrock": 2.048, "styblinski": 5}[name]
    assert jnp.all(jnp.abs(starts) <= box * 1.001)
    assert jnp.all(jnp.max(starts, 0) > 0.9 * box)
    assert jnp.all(jnp.min(starts, 0) < -0.9 * box)


def test_a_quadratic_is_zero_at_its_solution():
    problem = Quadratics(3).sample(KEY)
    solution = jnp.linalg.solve(problem.w, problem.y)
    np.testing.assert_allclose(problem.loss(solution, KEY), 0, atol=1e-6)
    theta = jnp.ones(3)
    slope = 2 * problem.w.T @ (problem.w @ theta - problem.y)
    np.testing.assert_allclose(jax.grad(problem.loss)(theta, KEY), slope, rtol=1e-4, atol=1e-4)


def test_logistic_regression_knows_nothing_at_zero_and_can_learn():
    problem = LogisticRegressions(4, 50).sample(KEY)
    np.testing.assert_allclose(problem.loss(jnp.zeros(4), KEY), np.log(2), rtol=1e-6)
    slope = jax.grad(problem.loss)(jnp.zeros(4), KEY)
    np.testing.assert_allclose(slope, -(problem.y @ problem.x) / 100, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 200)
    pictures = rng.integers(0, 60, (200, 8, 8, 1)) + 15 * labels[:, None, None, None]
    return jnp.asarray(pictures, jnp.uint8), jnp.asarray(labels)


@pytest.mark.parametrize(
    ("kernels", "hidden"), [((), (20,)), ((), (6, 5)), ((4, 3), ()), ((2,), (5,))]
)
def test_networks_have_their_shapes_and_guess_with_weights_of_zero(images, kernels, hidden):
    problem = Classifiers(*images, kernels=kernels, hidden=hidden, batch=16).sample(KEY)
    parameters = problem.init(KEY)
    assert [b["kernel"].shape[-1] for b in parameters["blocks"]] == list(kernels)
    assert [x["weight"].shape[1] for x in parameters["layers"]] == [*hidden, 10]
    nothing = jax.tree.map(jnp.zeros_like, parameters)
    np.testing.assert_allclose(problem.loss(nothing, KEY), np.log(10), rtol=1e-5)
    moved = jax.tree.map(
        lambda p, g: p - 0.1 * g, parameters, jax.grad(problem.loss)(parameters, KEY)
    )
    assert problem.loss(moved, KEY) < problem.loss(parameters, KEY)


def test_features_of_logistic_regression_have_scales_of_many_sizes():
    """log s ~ N(0, 1), as far as 1,000 examples of each of 800 features tell."""
    sample = LogisticRegressions(8, 1000).sample
    x = jax.jit(jax.vmap(lambda key: sample(key).x))(jax.random.split(KEY, 100))
    logarithms = np.log(np.std(np.asarray(x), axis=1)).ravel()
    assert np.mean(logarithms) == pytest.approx(0, abs=5 / np.sqrt(800))
    assert np.std(logarithms) == pytest.approx(1, abs=5 / np.sqrt(2 * 800))


def test_a_network_is_the_slow_formula(images):
    problem = Classifiers(*images, kernels=(3,), hidden=(6, 5), batch=16).sample(KEY)
    parameters = jax.tree.map(lambda p: p + 0.1 * jnp.cos(p), problem.init(KEY))
    pictures = np.asarray(images[0][:4], float) / 255
    [block] = parameters["blocks"]
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = np.zeros((4, 8, 8, 3))
    for i, j in np.ndindex(8, 8):
        x[:, i, j] = np.tensordot(padded[:, i : i + 3, j : j + 3], np.asarray(block["kernel"]), 3)
    x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    x = 1 / (1 + np.exp(-(x * np.asarray(block["scale"]) + np.asarray(block["shift"]))))
    x = x.reshape(4, 4, 2, 4, 2, 3).max((2, 4)).reshape(4, -1)
    for i, layer in enumerate(parameters["layers"]):
        x = x @ np.asarray(layer["weight"]) + np.asarray(layer["bias"])
        x = 1 / (1 + np.exp(-x)) if i < 2 else x
    found = problem.logits(parameters, images[0][:4])
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-4)


def test_weights_begin_with_the_variance_of_one_over_inputs(images):
    parameters = Classifiers(*images, kernels=(40, 60), hidden=(70,)).sample(KEY).init(KEY)
    for block, channels in zip(parameters["blocks"], (1, 40), strict=True):
        assert np.std(block["kernel"]) == pytest.approx((9 * channels) ** -0.5, rel=0.15)
    for layer, inputs in zip(parameters["layers"], (2 * 2 * 60, 70), strict=True):
        assert np.std(layer["weight"]) == pytest.approx(inputs**-0.5, rel=0.15)


def test_minibatches_and_activations_are_drawn(images):
    problems = Classifiers(*images, activations=("sigmoid", "relu"), batch=16)
    drawn = [problems.sample(key) for key in jax.random.split(KEY, 20)]
    assert {int(problem.which) for problem in drawn} == {0, 1}
    x = jnp.asarray([-1.0, 2.0])
    for problem in drawn:
        expected = jax.nn.relu(x) if problem.which == 1 else jax.nn.sigmoid(x)
        np.testing.assert_array_equal(problem.activate(x), expected)
    parameters = drawn[0].init(KEY)
    losses = {float(drawn[0].loss(parameters, key)) for key in jax.random.split(KEY, 5)}
    assert len(losses) == 5
