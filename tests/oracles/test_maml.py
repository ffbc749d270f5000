"""MAML against its own definition: closed forms, finite differences, and a loop written out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.learners.gradient.maml import MAML
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, WithHead
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import Network
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)


class LinearModel(Network):
    """x ↦ x w, without an offset."""

    layer: Linear
    outputs: int = eqx.field(static=True, default=1)

    def __call__(self, x, statistics=None):
        return x @ self.layer.weight, ()

    @property
    def normalises(self):
        return False


def regression(seed: int, inputs: int = 3, n: int = 6, m: int = 5) -> Episode:
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(n + m, inputs)), rng.normal(size=(inputs, 1))
    y = np.sin(x @ w) + 0.1 * rng.normal(size=(n + m, 1))
    x, y = jnp.asarray(x), jnp.asarray(y)
    return Episode(Examples(x[:n], y[:n]), Examples(x[n:], y[n:]), Gaussian(1))


def linear_maml(**options) -> MAML:
    return MAML(LinearModel(Linear(3, 1, key=KEY)), optax.sgd(0.1), **options)


def mlp_maml(optimizer=None, **options) -> MAML:
    network = WithHead(MLP((3,), hidden=(8,), key=KEY), 1, key=KEY)
    return MAML(network, optimizer or optax.sgd(0.05), **options)


@eqx.filter_jit
def slope(learner: MAML, task: Episode):
    return Backpropagation().of_task(learner, task, KEY)


@eqx.filter_jit
def adapt(learner: MAML, task: Episode):
    return learner.adapt(task.support, task.likelihood, key=KEY)


@eqx.filter_jit
def predict(predictor, x):
    return predictor(x)


@eqx.filter_jit
def query_slope(network: Network, task: Episode):
    """Of the query loss, where the network is, without adapting it."""
    return eqx.filter_grad(lambda n: task.likelihood.mean_loss(n(task.query.x)[0], task.query.y))(
        network
    )


def gradient_of(learner: MAML, task: Episode) -> np.ndarray:
    return flat(slope(learner, task)[0])


def flat(tree) -> np.ndarray:
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return np.concatenate([np.ravel(x) for x in leaves])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("steps", [1, 3])
def test_the_meta_gradient_of_linear_regression_is_the_closed_form(steps: int):
    """With L_tr(w) = |X w - y|² / 2n, φ - ŵ = (I - αA)^T (w - ŵ) where A = XᵀX / n and ŵ is the
    least-squares solution, so ∂L_ts(φ)/∂w = (I - αA)^T Bᵀ(B φ - c) / m."""
    task, learner = regression(1), linear_maml(train_steps=steps)
    (x, y), (b, c) = ((np.asarray(e.x), np.asarray(e.y)) for e in (task.support, task.query))
    w = np.asarray(learner.network.layer.weight)
    solution = np.linalg.lstsq(x, y, rcond=None)[0]
    shrink = np.linalg.matrix_power(np.eye(3) - 0.1 * x.T @ x / len(x), steps)
    phi = solution + shrink @ (w - solution)
    at_phi = b.T @ (b @ phi - c) / len(b)

    gradient, metrics = slope(learner, task)
    np.testing.assert_allclose(gradient.network.layer.weight, shrink @ at_phi, rtol=1e-9)
    np.testing.assert_allclose(metrics["mse"], np.mean((b @ phi - c) ** 2), rtol=1e-9)

    first_order = linear_maml(train_steps=steps, first_order=True)
    gradient, _ = slope(first_order, task)
    np.testing.assert_allclose(gradient.network.layer.weight, at_phi, rtol=1e-9)


def test_the_meta_gradient_is_a_finite_difference():
    task, learner = regression(10), mlp_maml(train_steps=2)
    trained, fixed = eqx.partition(learner, eqx.is_inexact_array)
    loss = jax.jit(lambda t: eqx.combine(t, fixed).loss(task, key=KEY)[0])
    gradient = gradient_of(learner, task)
    rng = np.random.default_rng(11)
    direction = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), trained)
    ahead, behind = (
        loss(jax.tree.map(lambda p, d, s=sign: p + s * 1e-6 * d, trained, direction))
        for sign in (1, -1)
    )
    claimed = np.sum(gradient * flat(direction))
    np.testing.assert_allclose(claimed, (ahead - behind) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("first_order", [False, True])
def test_several_steps_are_a_loop_of_single_ones(name: str, first_order: bool):
    optimizer = {
        "sgd": optax.sgd(0.05),
        "momentum": optax.sgd(0.05, momentum=0.9),
        "adam": optax.adam(0.05, eps=1e-3),
    }[name]
    task = regression(2)
    learner = mlp_maml(optimizer, train_steps=3, first_order=first_order)

    def by_hand(network):
        state = optimizer.init(eqx.filter(network, eqx.is_inexact_array))
        for _ in range(3):
            gradient = eqx.filter_grad(
                lambda n: jnp.mean(0.5 * (n(task.support.x)[0] - task.support.y) ** 2)
            )(network)
            if first_order:
                gradient = jax.lax.stop_gradient(gradient)
            updates, state = optimizer.update(gradient, state)
            network = eqx.apply_updates(network, updates)
        return jnp.mean(0.5 * (network(task.query.x)[0] - task.query.y) ** 2)

    expected = eqx.filter_jit(eqx.filter_grad(by_hand))(learner.network)
    np.testing.assert_allclose(gradient_of(learner, task), flat(expected), rtol=1e-8, atol=1e-12)


def test_the_first_order_gradient_is_the_query_gradient_at_the_adapted_parameters():
    task = regression(3)
    learner = mlp_maml(train_steps=2, test_steps=2, first_order=True)
    at_phi = flat(query_slope(adapt(learner, task).network, task))
    np.testing.assert_allclose(gradient_of(learner, task), at_phi, rtol=1e-9, atol=1e-14)
    second_order = gradient_of(mlp_maml(train_steps=2), task)
    assert np.max(np.abs(second_order - at_phi)) > 1e-3


def test_computing_again_instead_of_keeping_changes_nothing():
    task = regression(4)
    kept, again = (
        gradient_of(mlp_maml(train_steps=3, rematerialise=r), task) for r in (False, True)
    )
    np.testing.assert_allclose(kept, again, rtol=1e-12)


def test_no_steps_are_no_adaptation():
    task = regression(5)
    learner = mlp_maml(train_steps=0, test_steps=0)
    assert eqx.tree_equal(adapt(learner, task).network, learner.network)
    plain = flat(query_slope(learner.network, task))
    np.testing.assert_allclose(gradient_of(learner, task), plain, rtol=1e-9, atol=1e-14)


def test_training_and_test_take_their_own_number_of_steps():
    task = regression(6)
    after = {
        steps: np.asarray(predict(adapt(mlp_maml(test_steps=steps), task), task.query.x))
        for steps in (1, 4)
    }
    learner = mlp_maml(train_steps=1, test_steps=4)
    _, metrics = slope(learner, task)
    expected = np.mean(0.5 * (after[1] - task.query.y) ** 2) + 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-9)
    found = predict(adapt(learner, task), task.query.x)
    np.testing.assert_allclose(found, after[4], rtol=1e-12)
    assert np.max(np.abs(after[4] - after[1])) > 1e-3


def test_adaptation_lowers_the_support_loss():
    task = regression(7)
    before, after = (
        predict(adapt(mlp_maml(test_steps=steps), task), task.support.x) for steps in (0, 20)
    )
    mse = [np.mean((np.asarray(p) - task.support.y) ** 2) for p in (before, after)]
    assert mse[1] < 0.8 * mse[0]


def test_support_statistics_are_those_of_the_adapted_network():
    network = WithHead(MLP((3,), hidden=(8,), normalise=True, key=KEY), 1, key=KEY)
    task = regression(8)
    support, batch = (
        adapt(MAML(network, optax.sgd(0.05), test_steps=2, normalisation=mode), task)
        for mode in ("support", "batch")
    )

    @eqx.filter_jit
    def by_hand(adapted):
        _, of_support = adapted(task.support.x)
        return adapted(task.query.x, of_support)[0], adapted(task.query.x)[0]

    by_support, by_batch = by_hand(support.network)
    np.testing.assert_allclose(predict(support, task.query.x), by_support, rtol=1e-9)
    np.testing.assert_allclose(predict(batch, task.query.x), by_batch, rtol=1e-9)
    assert np.max(np.abs(by_support - by_batch)) > 1e-3


def test_what_maml_cannot_do_is_refused():
    with pytest.raises(ValueError, match="running"):
        linear_maml(normalisation="running")
    task = regression(9)
    with pytest.raises(ValueError, match="has 1 outputs, the task needs 5"):
        linear_maml().adapt(task.support, Categorical(5), key=KEY)


def test_truncated_it_keeps_the_factors_of_the_last_steps():
    """With a linear model dφ_T/dθ loses all but k factors I - αA; whatever the model, k = T is
    everything and k = 0 is first-order."""
    task, steps = regression(12), 4
    x, b, c = np.asarray(task.support.x), np.asarray(task.query.x), np.asarray(task.query.y)
    whole = linear_maml(train_steps=steps, test_steps=steps)
    phi = np.asarray(adapt(whole, task).network.layer.weight)
    shrink = np.linalg.matrix_power(np.eye(3) - 0.1 * x.T @ x / len(x), 2)
    truncated = linear_maml(train_steps=steps, truncate=2)
    expected = shrink @ (b.T @ (b @ phi - c) / len(b))
    gradient, _ = slope(truncated, task)
    np.testing.assert_allclose(gradient.network.layer.weight, expected, rtol=1e-9)

    for few, same in ((0, {"first_order": True}), (3, {}), (9, {})):
        np.testing.assert_allclose(
            gradient_of(mlp_maml(train_steps=3, truncate=few), task),
            gradient_of(mlp_maml(train_steps=3, **same), task),
            rtol=1e-10,
            atol=1e-14,
        )
