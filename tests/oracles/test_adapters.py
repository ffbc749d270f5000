"""Networks of other libraries in learners: the same mathematics, and a line for what is none."""

from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.errors import UserError
from quickstudy.evaluation import evaluate
from quickstudy.learners.baseline.finetuning import FineTuning
from quickstudy.learners.baseline.multitask import MultiTask
from quickstudy.learners.gradient.anil import ANIL
from quickstudy.learners.gradient.boil import BOIL
from quickstudy.learners.gradient.cavia import modulation
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.gradient.mt_net import MTNet
from quickstudy.learners.memory.cnp import CNP
from quickstudy.learners.memory.snail import SNAIL
from quickstudy.learners.metric.gnn import GNN
from quickstudy.learners.metric.matching import MatchingNet
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.learners.metric.siamese import Siamese
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP, Applied, Network, Plain, WithHead
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.training import meta_train

KEY = jax.random.key(0)
WAY, INPUTS, FEATURES = 3, 6, 16


class Directions(TaskDistribution[Episode]):
    """Classes differ in the first two inputs; the four others are noise of ten times the size."""

    def sample(self, key):
        for_centres, *others = jax.random.split(key, 3)
        centres = jax.random.normal(for_centres, (WAY, INPUTS)) * (jnp.arange(INPUTS) < 2)
        spread = jnp.where(jnp.arange(INPUTS) < 2, 0.2, 10.0)

        def examples(key, each: int) -> Examples:
            y = jnp.arange(WAY * each) % WAY
            noise = jax.random.normal(key, (len(y), INPUTS)) * spread
            return Examples(centres[y] + noise, y)

        return Episode(examples(others[0], 3), examples(others[1], 5), Categorical(WAY))

    def protocol(self):
        return {"tasks": "directions"}


def module(outputs: int = FEATURES) -> eqx.nn.MLP:
    return eqx.nn.MLP(INPUTS, outputs, width_size=32, depth=1, key=KEY)


def plain(outputs: int = FEATURES) -> Plain:
    return Plain(module(outputs), outputs)


def applied(outputs: int = FEATURES) -> Applied:
    """As a library of functions has it: parameters in a dictionary."""
    a, b = jax.random.split(KEY)
    params = {
        "first": {"kernel": jax.random.normal(a, (INPUTS, 32)) / 3, "bias": jnp.zeros(32)},
        "last": {"kernel": jax.random.normal(b, (32, outputs)) / 6, "bias": jnp.zeros(outputs)},
    }

    def apply(params, x):
        h = jax.nn.relu(x @ params["first"]["kernel"] + params["first"]["bias"])
        return h @ params["last"]["kernel"] + params["last"]["bias"]

    return Applied(apply, params, outputs)


LEARNERS = {
    "maml": lambda make: MAML(make(WAY), optax.sgd(0.05)),
    "anil": lambda make: ANIL(WithHead(make(), WAY, key=KEY), optax.sgd(0.05)),
    "protonet": lambda make: ProtoNet(make()),
    "matching": lambda make: MatchingNet(make()),
    "siamese": lambda make: Siamese(make()),
    "gnn": lambda make: GNN(make(), WAY, width=8, edge_width=4, key=KEY),
    "cnp": lambda make: CNP(make(), Categorical(WAY), width=16, layers=2, key=KEY),
    "snail": lambda make: SNAIL(make(), WAY, filters=8, length=4, key=KEY),
}


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("make", [plain, applied])
def test_the_meta_objective_has_a_slope_in_a_network_of_another_library(name, make):
    """Finite in all of the network's parameters, and not 0."""
    learner, task = LEARNERS[name](make), Directions().sample(KEY)
    gradient, _ = eqx.filter_jit(
        eqx.filter_grad(lambda learner: learner.loss(task, key=KEY), has_aux=True)
    )(learner)
    of_network = [
        leaf
        for node in jax.tree.leaves(gradient, is_leaf=lambda x: isinstance(x, Network))
        if isinstance(node, Network)
        for leaf in jax.tree.leaves(node)
    ]
    assert len(of_network) >= 4
    for leaf in of_network:
        assert np.isfinite(leaf).all()
    assert any(np.abs(leaf).max() > 0 for leaf in of_network)


@pytest.mark.parametrize("make", [plain, applied])
def test_trained_it_tells_classes_apart_where_raw_inputs_do_not(make):
    learner = ProtoNet(make())
    trained = meta_train(learner, Directions(), optax.adam(1e-2), steps=300, meta_batch=8)
    before, after = (
        evaluate(x, Directions(), episodes=200).estimate("accuracy").mean
        for x in (learner, trained)
    )
    assert before < 0.5 < 0.7 < after


def test_maml_on_an_equinox_module_is_maml_on_our_network_of_equal_weights():
    theirs = module(WAY)
    ours = WithHead(MLP((INPUTS,), hidden=(32,), key=KEY), WAY, key=KEY)
    places = lambda n: [n.body.layers[0].weight, n.body.layers[0].bias, n.head.weight, n.head.bias]  # noqa: E731
    first, last = theirs.layers
    ours = eqx.tree_at(places, ours, [first.weight.T, first.bias, last.weight.T, last.bias])
    task = Directions().sample(KEY)

    @eqx.filter_jit
    def slope(network: Network):
        learner = MAML(network, optax.sgd(0.05), train_steps=2)
        loss = lambda learner: learner.loss(task, key=KEY)[0]  # noqa: E731
        value, gradient = eqx.filter_value_and_grad(loss)(learner)
        return value, gradient.network

    (value, found), (expected, of_ours) = slope(Plain(theirs, WAY)), slope(ours)
    assert float(value) == pytest.approx(float(expected), rel=1e-4)
    first, last = found.module.layers
    transposed = [first.weight.T, first.bias, last.weight.T, last.bias]
    for a, b in zip(transposed, places(of_ours), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize(
    "build",
    [
        ProtoNet,
        MatchingNet,
        Siamese,
        lambda network: GNN(network, WAY, key=KEY),
        lambda network: CNP(network, Categorical(WAY), key=KEY),
        lambda network: SNAIL(network=network, size=WAY, key=KEY),
        lambda network: MAML(network, optax.sgd(0.1)),
        lambda network: MTNet(network, optax.sgd(0.1)),
        lambda network: ANIL(network=network, optimizer=optax.sgd(0.1)),
        lambda network: WithHead(network, WAY, key=KEY),
    ],
)
def test_a_module_that_is_no_network_is_refused_with_the_adapter_to_use(build):
    with pytest.raises(UserError, match=r"takes a Network, not equinox.*MLP.*networks\.Plain"):
        build(module())


@pytest.mark.parametrize(
    "build",
    [
        lambda network: ANIL(network, optax.sgd(0.1)),
        lambda network: BOIL(network, optax.sgd(0.1)),
        lambda network: FineTuning(network, optax.sgd(0.1)),
        lambda network: MultiTask(network, 3, optax.sgd(0.1), key=KEY),
    ],
)
def test_a_learner_of_body_and_head_refuses_a_network_without_a_head(build):
    with pytest.raises(UserError, match=r"takes a network with a head, not Plain.*WithHead"):
        build(plain())


@pytest.mark.parametrize(
    "use", [lambda n: MTNet(n, optax.sgd(0.1)), lambda n: modulation(n, 4, key=KEY)]
)
@pytest.mark.parametrize("make", [plain, applied])
def test_what_changes_a_network_layer_by_layer_refuses_it(use, make):
    with pytest.raises(ValueError, match="does not name its layers"):
        use(make())


def narrow(network: eqx.nn.MLP) -> eqx.nn.MLP:
    """With parameters of 16 bits."""
    return jax.tree.map(lambda x: x.astype(jnp.bfloat16) if eqx.is_array(x) else x, network)


def dense(params, x):
    return x @ params["w"]


WEIGHTS = {"w": jnp.ones((INPUTS, 4))}
REFUSED = {
    "another length": (lambda: Plain(module(16), 10), r"returns shape \(16,\) where \(10,\)"),
    "rank 2": (lambda: Plain(lambda x: x[None], INPUTS), r"shape \(1, 6\) where \(6,\) is due"),
    "other inputs": (lambda: Plain(eqx.nn.Linear(7, 4, key=KEY), 4), r"shape \(6,\), fails with"),
    "a state": (lambda: Plain(eqx.nn.BatchNorm(6, "b", mode="ema"), 6), "has a state"),
    "a returned state": (lambda: Plain(lambda x: (x, 1), INPUTS), "returns a tuple and no array"),
    "a key": (lambda: Plain(eqx.nn.Dropout(0.5), INPUTS), "dropout.*inference_mode"),
    "a key as argument": (lambda: Plain(lambda x, key: x, INPUTS), "fails with TypeError"),
    "16 bits": (lambda: Plain(narrow(module()), FEATURES), "a parameter of type bfloat16"),
    "outputs of 16 bits": (lambda: Plain(lambda x: x.astype(jnp.float16), 6), "returns float16"),
    "whole numbers": (lambda: Plain(lambda x: x.astype(int), INPUTS), "returns int32"),
    "one input": (lambda: Applied(lambda p, x: p["w"].T @ x, WEIGHTS, 4), "Plain maps one input"),
    "an integer": (lambda: Applied(dense, {"w": jnp.ones((6, 4), int)}, 4), "of type int32"),
    "no array": (lambda: Applied(dense, {**WEIGHTS, "scale": 1.0}, 4), "of type float, "),
    "collections": (lambda: Applied(dense, {"params": WEIGHTS, "stats": {}}, 4), "beside.*stats"),
    "other mappings": (  # as Flax's FrozenDict
        lambda: Applied(dense, MappingProxyType({"params": WEIGHTS, "stats": {}}), 4),
        "beside.*stats",
    ),
    "a module": (lambda: Applied(module(), WEIGHTS, 4), "cannot hash.*Plain"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_module_that_does_not_fit_is_refused_in_one_line(what):
    make, said = REFUSED[what]
    with pytest.raises(UserError, match=said) as refused:
        make()(jnp.zeros((5, INPUTS)))
    assert "\n" not in str(refused.value)


def test_dropout_that_is_off_is_taken():
    layers = [eqx.nn.Linear(INPUTS, 4, key=KEY), eqx.nn.Dropout(0.5)]
    network = Plain(eqx.nn.inference_mode(eqx.nn.Sequential(layers)), 4)
    assert network(jnp.zeros((5, INPUTS)))[0].shape == (5, 4)


def test_no_input_sees_another_whatever_the_function_does():
    """Subtracting the mean of the batch leaves nothing of a batch of one."""
    network = Applied(lambda params, x: x - x.mean(0), {}, INPUTS)
    x = jax.random.normal(KEY, (5, INPUTS))
    np.testing.assert_array_equal(network(x)[0], 0)
