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
from quickstudy.learners.gradient.cavia import CAVIA, ExtraInputs, FiLM
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.gradient.maml_plus_plus import MAMLPlusPlus
from quickstudy.learners.gradient.meta_sgd import MetaSGD, random_rates
from quickstudy.learners.gradient.mt_net import MTNet, bernoulli
from quickstudy.learners.gradient.taml import (
    INEQUALITIES,
    EntropyTAML,
    InequalityTAML,
    entropy,
    generalised_entropy,
    theil,
)
from quickstudy.likelihood import Categorical, Gaussian, HeteroscedasticGaussian
from quickstudy.metagradients import Backpropagation
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
    return Backpropagation().of_task(learner, task, KEY)


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


def plus_plus(network, **options) -> MAMLPlusPlus:
    return MAMLPlusPlus(network, rate=0.3, train_steps=2, test_steps=2, **options)


def test_maml_plus_plus_ends_as_maml_that_leaves_normalisation_alone(network, task):
    """With equal rates, equal weights of every step, and the last step's loss alone."""
    rates = constant(network, 0.3)
    still = jax.tree.map(jnp.zeros_like, rates.body.norms)
    rates = eqx.tree_at(lambda n: n.body.norms, rates, still)
    loss, expected = slope_by_hand(network, task, [rates] * 2)
    found, metrics = slope(plus_plus(network), task)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-9)
    summed = jax.tree.map(lambda g: g.sum(0), found.network.body.norms)
    found = eqx.tree_at(lambda n: n.body.norms, found.network, summed)
    assert_same(found, expected)


def test_rates_and_normalisation_of_maml_plus_plus_are_those_of_the_step(network, task):
    """Against steps written out, with another rate for each array and step, and other weights;
    halfway through the annealing the steps' losses count 1/4 and 3/4."""
    learner = plus_plus(network, annealing=10).at_step(jnp.asarray(5))
    np.testing.assert_allclose(learner.importance(), [0.25, 0.75])
    rng = np.random.default_rng(3)
    noisy = lambda x: x + 0.1 * rng.normal(size=x.shape)  # noqa: E731
    learner = eqx.tree_at(
        lambda n: (n.rates, n.network.body.norms),
        learner,
        jax.tree.map(noisy, (learner.rates, learner.network.body.norms)),
    )

    @eqx.filter_jit
    def expected(learner):
        def at(network, step):
            norms = jax.tree.map(lambda x: x[step], learner.network.body.norms)
            return eqx.tree_at(lambda n: n.body.norms, network, norms)

        network, total = learner.network, 0.0
        for step, share in enumerate((0.25, 0.75)):
            here = at(network, step)
            rates = jax.tree.map(lambda r: r[step], learner.rates)  # noqa: B023
            gradient = eqx.filter_grad(
                lambda n: task.likelihood.mean_loss(n(task.support.x)[0], task.support.y)
            )(here)
            gradient = eqx.tree_at(
                lambda n: n.body.norms, gradient, jax.tree.map(lambda _: None, gradient.body.norms)
            )
            network = eqx.apply_updates(here, jax.tree.map(lambda r, g: -r * g, rates, gradient))
            logits = at(network, step)(task.query.x)[0]
            total += share * task.likelihood.mean_loss(logits, task.query.y)
        return total

    _, metrics = slope(learner, task)
    np.testing.assert_allclose(metrics["loss"], expected(learner), rtol=1e-9)


def test_slower_rates_of_maml_plus_plus_are_the_same_rates_in_another_unit(network, task):
    """So their gradient is smaller by as much, and Adam's step in them too."""
    plain, at = slope(plus_plus(network), task)
    slow, metrics = slope(plus_plus(network, rate_speed=0.1), task)
    np.testing.assert_allclose(metrics["loss"], at["loss"], rtol=1e-9)
    assert_same(slow.rates, jax.tree.map(lambda g: 0.1 * g, plain.rates))
    assert_same(slow.network, plain.network)


def test_annealing_follows_the_step_of_training(network):
    learner = plus_plus(network, annealing=10)
    for step, expected in ((0, [0.5, 0.5]), (10, [0, 1]), (99, [0, 1])):
        np.testing.assert_allclose(learner.at_step(jnp.asarray(step)).importance(), expected)
    np.testing.assert_allclose(plus_plus(network).importance(), [0, 1])


@pytest.mark.parametrize("kind", [ExtraInputs, FiLM])
def test_a_context_that_is_an_array_of_the_network_adapts_that_array(kind, network, task):
    """With U = I the context is a change of the first layer's bias; with no scale and B = I, of
    the first normalisation's shift."""
    if kind is ExtraInputs:
        network = WithHead(MLP((INPUTS,), hidden=(6, 5), key=KEY), WAY, key=jax.random.key(1))
        modulation, where = ExtraInputs(jnp.eye(6), 0), lambda n: n.body.layers[0].bias
    else:
        modulation = FiLM(jnp.zeros((6, 6)), jnp.eye(6), 0)
        where = lambda n: n.body.norms[0].beta  # noqa: E731
    gradient, metrics = slope(CAVIA(network, modulation, optax.sgd(0.5), train_steps=2), task)
    rates = eqx.tree_at(where, constant(network, 0.0), jnp.full(6, 0.5))
    loss, expected = slope_by_hand(network, task, [rates] * 2)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-9)
    assert_same(gradient.network, expected)


def test_extra_inputs_are_inputs(task):
    """W x + U φ + b is the layer with weights (W, U) on the inputs (x, φ)."""
    layer = MLP((INPUTS + 2,), hidden=(6,), key=KEY)
    u = layer.layers[0].weight[INPUTS:]
    narrow = eqx.tree_at(lambda n: n.layers[0].weight, layer, layer.layers[0].weight[:INPUTS])
    phi = jnp.asarray([0.7, -1.3])
    modulation = ExtraInputs(u, 0)
    x = jnp.concatenate([task.query.x, jnp.broadcast_to(phi, (len(task.query.y), 2))], 1)
    np.testing.assert_allclose(modulation(narrow, phi)(task.query.x)[0], layer(x)[0], rtol=1e-12)


def test_film_scales_and_shifts_what_the_normalisation_gives():
    """h ← γ(φ) h + β(φ) with γ = 1 + φ A and β = φ B (Perez et al. 2018), where h has a scale and
    a shift of its own."""
    rng = np.random.default_rng(3)
    gamma, beta, x, a, b = (
        jnp.asarray(rng.normal(size=shape)) for shape in (6, 6, (5, 6), (2, 6), (2, 6))
    )
    network = WithHead(MLP((INPUTS,), hidden=(6,), normalise=True, key=KEY), WAY, key=KEY)
    first_norm = lambda n: n.body.norms[0]  # noqa: E731
    own = lambda n: (first_norm(n).gamma, first_norm(n).beta)  # noqa: E731
    network = eqx.tree_at(own, network, (gamma, beta))
    phi = jnp.asarray([0.7, -1.3])
    h, _ = first_norm(network)(x, None)
    found, _ = first_norm(FiLM(a, b, 0)(network, phi))(x, None)
    np.testing.assert_allclose(found, (1 + phi @ a) * h + phi @ b, rtol=1e-9)


def test_t_net_starts_as_maml(network, task):
    maml, _ = slope(MAML(network, optax.sgd(0.3), train_steps=2), task)
    found, _ = slope(MTNet(network, optax.sgd(0.3), masks=False, train_steps=2), task)
    assert_same(found.network, maml.network)


@pytest.mark.parametrize("adapts", [True, False])
def test_mt_net_whose_rows_all_adapt_is_maml(adapts, network, task):
    """Or none of them: but for batch normalisation, which has no mask here."""
    network = WithHead(MLP((INPUTS,), hidden=(6, 5), key=KEY), WAY, key=jax.random.key(1))
    learner = MTNet(network, optax.sgd(0.3), train_steps=2)
    certain = tuple(jnp.full_like(zeta, 100.0 if adapts else -100.0) for zeta in learner.logits)
    learner = eqx.tree_at(lambda n: n.logits, learner, certain)
    found, metrics = slope(learner, task)
    loss, expected = slope_by_hand(network, task, [constant(network, 0.3 * adapts)] * 2)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-9)
    assert_same(found.network, expected)


def test_a_step_of_t_net_is_a_step_in_another_metric(task):
    """y = T W x moves by -α (T Tᵀ) ∂L/∂(T W): with weights as columns, W T → W T - α G T Tᵀ for
    the gradient G of the loss with respect to W T."""
    network = WithHead(MLP((INPUTS,), hidden=(6,), key=KEY), WAY, key=jax.random.key(1))
    learner = MTNet(network, optax.sgd(0.3), masks=False, test_steps=1)
    rng = np.random.default_rng(5)
    t = tuple(jnp.asarray(rng.normal(size=x.shape)) for x in learner.transforms)
    learner = eqx.tree_at(lambda n: n.transforms, learner, t)
    adapted = eqx.filter_jit(learner.adapt)(task.support, task.likelihood, key=KEY).network
    start = learner.transformed(network)
    at_start = Episode(task.query, task.support, task.likelihood)
    gradient = slope_by_hand(start, at_start, [])[1]
    for found, before, g, metric in zip(
        (adapted.body.layers[0], adapted.head),
        (start.body.layers[0], start.head),
        (gradient.body.layers[0], gradient.head),
        (x @ x.T for x in (t[0].T, t[1].T)),
        strict=True,
    ):
        np.testing.assert_allclose(found.weight, before.weight - 0.3 * g.weight @ metric)
        np.testing.assert_allclose(found.bias, before.bias - 0.3 * g.bias @ metric)


def test_masks_are_ones_as_often_as_their_logits_say():
    draw = jax.jit(jax.vmap(lambda key: bernoulli(jnp.asarray([-1.0, 0.0, 2.0]), key=key)))
    masks = np.asarray(draw(jax.random.split(KEY, 20_000)))
    assert set(np.unique(masks)) == {0.0, 1.0}
    np.testing.assert_allclose(masks.mean(0), jax.nn.sigmoid(jnp.asarray([-1, 0, 2.0])), atol=0.015)


def test_taml_without_its_term_is_maml(network, task):
    maml, at = slope(MAML(network, optax.sgd(0.3), train_steps=2), task)
    found, metrics = slope(EntropyTAML(network, optax.sgd(0.3), 0.0, train_steps=2), task)
    assert_same(found.network, maml.network)
    before, after = (
        entropy(eqx.filter_jit(learner.adapt)(task.support, task.likelihood, key=KEY)(task.query.x))
        for learner in (MAML(network, optax.sgd(0.3), test_steps=n) for n in (0, 2))
    )
    _, metrics = slope(EntropyTAML(network, optax.sgd(0.3), 0.5, train_steps=2), task)
    np.testing.assert_allclose(metrics["loss"], at["loss"] + 0.5 * (after - before), rtol=1e-9)


def test_a_group_of_taml_adds_the_inequality_of_the_losses_before_adapting(network, task):
    group = jax.tree.map(lambda x: jnp.stack([x, x[::-1]]), task)
    labels = lambda g: g.support.y  # noqa: E731
    group = eqx.tree_at(labels, group, group.support.y.at[1].set(1))  # a harder task, or easier
    learner = InequalityTAML(network, optax.sgd(0.3), 0.5, theil, train_steps=1)
    _, metrics = slope(learner, group)
    maml = MAML(network, optax.sgd(0.3), train_steps=1)
    alone = [jax.tree.map(lambda x, i=i: x[i], group) for i in range(2)]
    losses = [slope(maml, t)[1]["loss"] for t in alone]
    initial = jnp.stack(
        [slope_by_hand(network, Episode(t.query, t.support, t.likelihood), [])[0] for t in alone]
    )
    assert theil(initial) > 1e-4
    np.testing.assert_allclose(metrics["inequality"], theil(initial), rtol=1e-9)
    expected = np.mean(losses) + 0.5 * theil(initial)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-9)


def constant_tasks(errors, scale: float) -> Episode:
    """A group of regressions, each with that mean squared error while the network answers 0."""
    y = jnp.sqrt(jnp.asarray(errors))[:, None, None] * jnp.asarray([1.0, -1.0, 1.0])[:, None]
    examples = Examples(jnp.ones((len(errors), 3, 1)), y)
    return Episode(examples, examples, Gaussian(1, scale))


def unequal(measure, errors, scale: float) -> float:
    """The inequality that TAML finds."""
    network = WithHead(MLP((1,), hidden=(3,), key=KEY), 1, key=KEY)
    network = eqx.tree_at(lambda n: n.head, network, replace_fn=lambda h: jax.tree.map(zero, h))
    learner = InequalityTAML(network, optax.sgd(0.01), 0.5, measure)
    return float(learner.loss(constant_tasks(errors, scale), key=KEY)[1]["inequality"])


def zero(x):
    return jnp.zeros_like(x)


@pytest.mark.parametrize("scale", [0.3, 1.0, 10.0])
def test_the_inequality_of_regressions_is_that_of_their_squared_errors(scale):
    """Theil's index of .1, 1, 4 and 9 by its definition, whatever the noise: 0.520."""
    share = np.asarray([0.1, 1, 4, 9]) / 3.525
    assert np.mean(share * np.log(share)) == pytest.approx(0.520, abs=5e-4)
    found = unequal(theil, [0.1, 1.0, 4.0, 9.0], scale)
    assert found == pytest.approx(np.mean(share * np.log(share)), rel=1e-9)


@pytest.mark.parametrize("name", INEQUALITIES)
def test_inequality_is_zero_for_equals_and_has_no_unit(name):
    measure, errors = INEQUALITIES[name], np.asarray([0.3, 1.0, 2.5, 0.7])
    assert abs(unequal(measure, [1.7] * 4, 0.5)) < 1e-12
    assert unequal(measure, errors, 1.0) > 0.01
    for others, scale in ((7 * errors, 1.0), (errors, 0.2), (np.tile(errors, 3), 1.0)):
        assert unequal(measure, others, scale) == pytest.approx(unequal(measure, errors, 1.0))


def test_squared_errors_alone_have_no_place_for_a_predicted_scale():
    network = WithHead(MLP((1,), hidden=(3,), key=KEY), 2, key=KEY)
    learner = InequalityTAML(network, optax.sgd(0.01), 0.5, theil)
    group = constant_tasks([1.0, 2.0], 1.0)
    group = Episode(group.support, group.query, HeteroscedasticGaussian(2))
    with pytest.raises(ValueError, match="no prediction is the best"):
        learner.loss(group, key=KEY)


def test_inequality_of_one_and_three():
    """μ = 2, shares 1/2 and 3/2: by hand."""
    losses = jnp.asarray([1.0, 3.0])
    found = {name: float(measure(losses)) for name, measure in INEQUALITIES.items()}
    expected = {
        "theil": 0.5 * (0.5 * np.log(0.5) + 1.5 * np.log(1.5)),
        "ge2": 0.5 * (0.5 * (0.25 + 2.25) - 1),
        "atkinson": 1 - np.sqrt(3) / 2,
        "gini": 0.25,
        "log-variance": (np.log(3) / 2) ** 2,
    }
    assert found == pytest.approx(expected)
    near_one = generalised_entropy(losses, 1 + 1e-6)
    assert near_one == pytest.approx(expected["theil"], rel=1e-5)


def test_a_learned_head_is_refused_for_another_number_of_classes(network, task):
    with pytest.raises(ValueError, match="this ANIL's network has 3 outputs, the task needs 5"):
        ANIL(network, optax.sgd(0.1)).adapt(task.support, Categorical(5), key=KEY)
