"""Optimisation problems against what is known of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.tasks.problems.classification import Classifiers
from quickstudy.tasks.problems.functions import FUNCTIONS, TestFunctions
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
