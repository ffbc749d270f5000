"""The gradient-based family against one loop written out: full gradients, a rate for every number
of every step, and nothing computed once that could be computed again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.learner import Learner
from quickstudy.learners.gradient.anil import ANIL
from quickstudy.learners.gradient.boil import BOIL
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.gradient.meta_sgd import MetaSGD, random_rates
from quickstudy.likelihood import Categorical
from quickstudy.metagradients import backpropagation
from quickstudy.networks import MLP, WithHead
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
WAY, INPUTS = 3, 4


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def network(double_precision) -> WithHead:
    """With batch normalisation."""
    body = MLP((INPUTS,), hidden=(6, 5), normalise=True, key=KEY)
    return WithHead(body, WAY, key=jax.random.key(1))


@pytest.fixture
def task(double_precision) -> Episode:
    rng = np.random.default_rng(0)

    def examples(each: int) -> Examples:
        y = np.repeat(np.arange(WAY), each)
        x = rng.normal(size=(len(y), INPUTS)) + np.eye(WAY, INPUTS)[y]
        return Examples(jnp.asarray(x), jnp.asarray(y))

    return Episode(examples(2), examples(3), Categorical(WAY))


def constant(network, rate: float, head: float | None = None):
    """`rate` for every number, and `head` for those of the head."""
    rates = jax.tree.map(
        lambda p: jnp.full_like(p, rate), eqx.filter(network, eqx.is_inexact_array)
    )
    if head is not None:
        rates = eqx.tree_at(
            lambda n: n.head, rates, jax.tree.map(lambda p: jnp.full_like(p, head), rates.head)
        )
    return rates


def by_hand(network, task: Episode, rates_of_steps):
    """The query loss after a step with each of these rates."""
    for rates in rates_of_steps:
        gradient = eqx.filter_grad(
            lambda n: task.likelihood.mean_loss(n(task.support.x)[0], task.support.y)
        )(network)
        network = eqx.apply_updates(network, jax.tree.map(lambda r, g: -r * g, rates, gradient))
    return task.likelihood.mean_loss(network(task.query.x)[0], task.query.y)


@eqx.filter_jit
def slope(learner: Learner, task: Episode):
    return backpropagation(learner, task, KEY)


slope_by_hand = eqx.filter_jit(eqx.filter_value_and_grad(by_hand))


def assert_same(found, expected):
    found, expected = (
        jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array)) for tree in (found, expected)
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "body", "head"), [(MAML, 0.3, 0.3), (ANIL, 0.0, 0.3), (BOIL, 0.3, 0.0)]
)
def test_what_adapts_is_what_has_a_rate(method, body, head, network, task):
    """ANIL, which computes its features once, too."""
    gradient, metrics = slope(method(network, optax.sgd(0.3), train_steps=3), task)
    loss, expected = slope_by_hand(network, task, [constant(network, body, head)] * 3)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-9)
    assert_same(gradient.network, expected)


def test_support_statistics_of_anil_are_those_of_its_body(network, task):
    learner = ANIL(network, optax.sgd(0.3), test_steps=2, normalisation="support")
    assert not learner.transductive
    adapted = eqx.filter_jit(learner.adapt)(task.support, task.likelihood, key=KEY)
    assert_same(adapted.statistics, network.body(task.support.x)[1])


def test_meta_sgd_with_one_rate_is_maml(network, task):
    maml, _ = slope(MAML(network, optax.sgd(0.3), train_steps=2), task)
    found, _ = slope(MetaSGD(network, constant(network, 0.3), train_steps=2), task)
    assert_same(found.network, maml.network)


def test_meta_sgd_learns_its_rates(network, task):
    """For one step ∂L_ts/∂α = -∇L_tr(θ) ∘ ∇L_ts(φ) (from eq. 4)."""
    learner = MetaSGD(network, random_rates(network, 0.1, key=KEY))
    for rate in jax.tree.leaves(learner.rates):
        assert np.all((rate >= 0.005) & (rate <= 0.1))
        assert np.ptp(rate) > 0
    found, _ = slope(learner, task)
    adapted = eqx.filter_jit(learner.adapt)(task.support, task.likelihood, key=KEY)
    before = slope_by_hand(network, Episode(task.query, task.support, task.likelihood), [])[1]
    after = slope_by_hand(adapted.network, task, [])[1]
    assert_same(found.rates, jax.tree.map(lambda b, a: -b * a, before, after))
    assert_same(found.network, slope_by_hand(network, task, [learner.rates])[1])


def test_a_learned_head_is_refused_for_another_number_of_classes(network, task):
    with pytest.raises(ValueError, match="this ANIL's network has 3 outputs, the task needs 5"):
        ANIL(network, optax.sgd(0.1)).adapt(task.support, Categorical(5), key=KEY)
