"""The meta-learner LSTM against its equations, one coordinate at a time, and against MAML."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from quickstudy.learner import Learner
from quickstudy.learners.gradient.inner_loop import loss_on
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.gradient.meta_lstm import GatedUpdate, MetaLSTM
from quickstudy.likelihood import Categorical
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, WithHead
from quickstudy.networks.recurrent import log_and_sign
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
WAY, INPUTS, STEPS = 3, 2, 3


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def network(double_precision) -> WithHead:
    return WithHead(MLP((INPUTS,), hidden=(3,), key=KEY), WAY, key=jax.random.key(1))


@pytest.fixture
def task(double_precision) -> Episode:
    rng = np.random.default_rng(0)

    def examples(each: int) -> Examples:
        y = np.repeat(np.arange(WAY), each)
        return Examples(jnp.asarray(rng.normal(size=(len(y), INPUTS))), jnp.asarray(y))

    return Episode(examples(2), examples(3), Categorical(WAY))


def learner(network, update: GatedUpdate, **options) -> MetaLSTM:
    return MetaLSTM(network, update, train_steps=STEPS, test_steps=STEPS, **options)


def with_gates(i: float, f: float) -> GatedUpdate:
    """One whose gates always have these values."""
    zeros = jax.tree.map(jnp.zeros_like, GatedUpdate(0.1, 4, key=KEY))
    logits = [
        jnp.asarray(-800.0 if p == 0 else 800.0 if p == 1 else math.log(p / (1 - p)))
        for p in (i, f)
    ]
    return eqx.tree_at(lambda u: [u.input_gate.bias, u.forget_gate.bias], zeros, logits)


def lively() -> GatedUpdate:
    """One with weights large enough that everything matters."""
    return jax.tree.map(lambda w: 80 * w if w.ndim else w / 8, GatedUpdate(0.1, 4, key=KEY))


@eqx.filter_jit
def slope(learner: Learner, task: Episode):
    return Backpropagation().of_task(learner, task, KEY)


@eqx.filter_jit
def unrolled(learner: MetaLSTM, task: Episode):
    return learner.unrolled(task.support, task.likelihood, STEPS)


@eqx.filter_jit
def loss_and_gradient(network: WithHead, task: Episode):
    return eqx.filter_value_and_grad(loss_on(task.support, task.likelihood))(network)


def flat(network) -> np.ndarray:
    return np.asarray(ravel_pytree(eqx.filter(network, eqx.is_inexact_array))[0])


def assert_same(found, expected):
    np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("first_order", [True, False])
def test_with_constant_gates_it_is_maml(first_order, network, task):
    expected, metrics = slope(
        MAML(network, optax.sgd(0.3), train_steps=STEPS, first_order=first_order), task
    )
    found, same = slope(learner(network, with_gates(0.3, 1), first_order=first_order), task)
    np.testing.assert_allclose(same["loss"], metrics["loss"], rtol=1e-12)
    assert_same(found.network, expected.network)


def test_a_forget_gate_of_a_half_halves_the_parameters(network, task):
    adapted, _ = unrolled(learner(network, with_gates(0, 0.5)), task)
    np.testing.assert_array_equal(flat(adapted), flat(network) / 2**STEPS)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def log_and_sign_of(x: float, p: float = 10.0) -> list[float]:
    """Andrychowicz et al. 2016, appendix A."""
    if abs(x) >= math.exp(-p):
        return [math.log(abs(x)) / p, math.copysign(1, x)]
    return [-1.0, math.exp(p) * x]


class Coordinate:
    """What the equations say of one parameter."""

    def __init__(self, update: GatedUpdate, theta: float):
        self.u = jax.tree.map(np.asarray, update)
        self.theta, self.i, self.f = theta, 0.0, 0.0
        self.h = self.s = np.zeros(4)

    def step(self, loss: float, gradient: float):
        lstm = self.u.lstm
        x = np.asarray([*log_and_sign_of(gradient), *log_and_sign_of(loss)])
        into, keep, new, out = np.split(lstm.weight_ih @ x + lstm.weight_hh @ self.h + lstm.bias, 4)
        each = np.vectorize(sigmoid)
        self.s = each(keep) * self.s + each(into) * np.tanh(new)
        self.h = each(out) * np.tanh(self.s)
        i, f = self.u.input_gate, self.u.forget_gate
        self.i = sigmoid(i.weight @ [*self.h, self.theta, self.i] + i.bias)
        self.f = sigmoid(f.weight @ [*self.h, self.theta, self.f] + f.bias)
        self.theta = self.f * self.theta - self.i * gradient


def test_one_coordinate_at_a_time_gives_the_same(network, task):
    update = lively()
    adapted, (i, f) = unrolled(learner(network, update), task)
    theta, as_network = ravel_pytree(network)
    coordinates = [Coordinate(update, float(value)) for value in theta]
    for step in range(STEPS):
        now = as_network(jnp.asarray([c.theta for c in coordinates]))
        loss, gradient = loss_and_gradient(now, task)
        for c, g in zip(coordinates, flat(gradient), strict=True):
            c.step(float(loss), float(g))
        for found, name in ((i, "i"), (f, "f")):
            of_step = [getattr(c, name) for c in coordinates]
            assert np.ptp(of_step) > 0.01
            np.testing.assert_allclose(
                flat(jax.tree.map(lambda x, t=step: x[t], found)), of_step, rtol=1e-9
            )
    np.testing.assert_allclose(flat(adapted), [c.theta for c in coordinates], rtol=1e-9)


def test_the_meta_gradient_takes_gradients_and_losses_as_constants(network, task):
    """It is that of the update alone, fed with numbers."""
    update = lively()
    theta, as_network = ravel_pytree(network)
    constants, now, state = [], theta, update.start(theta)
    for _ in range(STEPS):
        loss, gradient = loss_and_gradient(as_network(now), task)
        constants.append((loss, jnp.asarray(flat(gradient))))
        now, state = update(now, constants[-1][1], loss, state)

    def after(both):
        theta, update = both
        state = update.start(theta)
        for loss, gradient in constants:
            theta, state = update(theta, gradient, loss, state)
        return loss_on(task.query, task.likelihood)(as_network(theta))

    expected = eqx.filter_jit(jax.grad(after))((theta, update))
    found, _ = slope(learner(network, update), task)
    np.testing.assert_allclose(flat(found.network), expected[0], rtol=1e-9, atol=1e-12)
    assert_same(found.update, expected[1])

    second_order, _ = slope(learner(network, update, first_order=False), task)
    assert np.max(np.abs(flat(second_order.update) - flat(expected[1]))) > 1e-4


def test_it_starts_as_gradient_descent_with_a_small_rate(network, task):
    _, (i, f) = unrolled(learner(network, GatedUpdate(0.011, key=KEY)), task)
    assert np.all((flat(i) > sigmoid(-5.2)) & (flat(i) < sigmoid(-3.8)))
    assert np.all(flat(f) > sigmoid(3.8))


def test_log_and_sign_has_finite_derivatives():
    x = jnp.asarray([-2.0, 1.0, 0.0, 1e-300, -1e-5, 4.5e-5, 4.6e-5])
    np.testing.assert_allclose(log_and_sign(x), [log_and_sign_of(float(v)) for v in x], rtol=1e-12)
    of_magnitude, of_sign = np.asarray(jax.vmap(jax.jacfwd(log_and_sign))(x)).T
    large = np.abs(x) >= math.exp(-10)
    np.testing.assert_allclose(of_magnitude[large], 0.1 / np.asarray(x)[large], rtol=1e-12)
    np.testing.assert_array_equal(of_magnitude[~large], 0)
    np.testing.assert_allclose(of_sign, np.where(large, 0, math.exp(10)), rtol=1e-12)
