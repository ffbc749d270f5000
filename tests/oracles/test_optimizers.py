"""Learned optimisers against rules written out by hand, and what all of them promise."""

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings

from quickstudy import checkpoint
from quickstudy.metagradients.unrolling import key_of
from quickstudy.optimization import minimise_many
from quickstudy.optimizers import hierarchical, tensors
from quickstudy.optimizers.hierarchical import HierarchicalLSTM
from quickstudy.optimizers.learned import flattened
from quickstudy.optimizers.lstm import ByKind, CoordinatewiseLSTM
from quickstudy.optimizers.mlp import CoordinatewiseMLP
from quickstudy.optimizers.momentum import LearnedMomentum
from quickstudy.task import task_keys
from quickstudy.tasks.problems.logistic import LogisticRegressions
from quickstudy.tasks.problems.quadratics import Quadratics
from quickstudy.tasks.problems.several import SeveralKinds

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def randomised(optimizer, deviation: float = 0.3):
    """With weights that are not what they begin with."""
    arrays, rest = eqx.partition(optimizer, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(arrays)
    moved = [leaf + deviation * RNG.normal(size=leaf.shape) for leaf in leaves]
    moved = [jnp.asarray(leaf, jnp.float32) for leaf in moved]
    return eqx.combine(jax.tree.unflatten(structure, moved), rest)


LSTM = CoordinatewiseLSTM(units=4, key=KEY)
MLP = CoordinatewiseMLP(hidden=(5,), key=KEY)
HIERARCHY = randomised(HierarchicalLSTM(units=6, hidden=(4,), bank=3, key=KEY), 0.1)
OPTIMIZERS = {
    "momentum": LearnedMomentum(0.1, 0.5),
    "lstm": LSTM,
    "by kind": ByKind(LSTM, LearnedMomentum()),
    "mlp": MLP,
    "hierarchy": HIERARCHY,
}


def tree(*leading: int):
    """Of several shapes and types."""
    of = lambda *shape: jnp.asarray(RNG.normal(size=(*leading, *shape)), jnp.float32)  # noqa: E731
    return {"a": of(3, 2), "b": (of().astype(jnp.bfloat16), of(5)), "k": of(2, 2, 1, 2)}


def described(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_an_optax_transformation(name, tmp_path):
    """It keeps shapes and types, goes into a chain, is compiled, mapped, saved and loaded."""
    optimizer = OPTIMIZERS[name]
    parameters, gradients = tree(3), tree(3)

    def two_steps(optimizer, parameters, gradients, maximum):
        transformation = optax.chain(optax.clip(maximum), optimizer.as_optax())
        state = transformation.init(parameters)
        _, between = transformation.update(gradients, state, parameters)
        updates, after = transformation.update(gradients, between, parameters)
        assert described(state) == described(between) == described(after)
        assert described(updates) == described(parameters)
        return updates, after

    compiled = jax.jit(two_steps, static_argnums=3)
    mapped = jax.jit(jax.vmap(two_steps, (None, 0, 0, None)), static_argnums=3)
    together = mapped(optimizer, parameters, gradients, 0.5)
    for i in range(3):
        one = jax.tree.map(lambda x, i=i: x[i], (parameters, gradients, together))
        alone = compiled(optimizer, *one[:2], 0.5)
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(one[2]), strict=True):
            np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=1e-3, atol=1e-5)
    updates, state = compiled(optimizer, *one[:2], 0.5)
    checkpoint.save(tmp_path / "it.qs", (optimizer, state), {})
    empty = jax.tree.map(jnp.zeros_like, (optimizer, state))
    (loaded, kept), _ = checkpoint.load(tmp_path / "it.qs", empty)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(kept), strict=True):
        np.testing.assert_array_equal(a, b)
    again, _ = compiled(loaded, *one[:2], 0.5)
    for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(np.all(np.abs(u.astype(float)) > 0) for u in jax.tree.leaves(updates))


@pytest.mark.parametrize("optimizer", [MLP, HIERARCHY])
def test_one_that_looks_at_the_parameters_asks_for_them(optimizer):
    gradients = jnp.ones(3)
    with pytest.raises(ValueError, match="give them to `update`"):
        optimizer.update(gradients, optimizer.init(gradients))


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([(), (0,), (3,), (2, 3), (1, 2, 0), (2, 1, 2)]),
            st.sampled_from([jnp.float32, jnp.bfloat16, jnp.float16]),
        ),
        max_size=4,
    )
)
def test_flattened_goes_back_to_shapes_and_types(leaves):
    made = {str(i): jnp.asarray(RNG.normal(size=s), t) for i, (s, t) in enumerate(leaves)}
    flat, back = flattened(made)
    assert flat.shape == (sum(leaf.size for leaf in made.values()),)
    found = back(flat)
    assert described(found) == described(made)
    for name, leaf in made.items():
        np.testing.assert_array_equal(found[name], leaf)


def test_momentum_without_memory_is_gradient_descent():
    optimizer = LearnedMomentum(0.03, 0.0)
    ours, theirs = optimizer.as_optax(), optax.sgd(float(jnp.exp(optimizer.log_rate)))
    states = [transformation.init(tree()) for transformation in (ours, theirs)]
    for _ in range(3):
        gradients = tree()
        a, states[0] = ours.update(gradients, states[0])
        b, states[1] = theirs.update(gradients, states[1])
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_array_equal(x, y)


def test_the_perceptron_that_passes_on_the_gradient_is_normalised_descent():
    optimizer = CoordinatewiseMLP(hidden=(), scale=0.07, key=KEY)
    weight = jnp.zeros_like(optimizer.layers[0].weight).at[0, 0].set(1.0)
    optimizer = eqx.tree_at(lambda o: o.layers[0].weight, optimizer, weight)
    state = optimizer.init(tree())
    step = jax.jit(optimizer.as_optax().update)
    for _ in range(3):
        gradients = tree()
        updates, state = step(gradients, state, tree())
        for g, update in zip(jax.tree.leaves(gradients), jax.tree.leaves(updates), strict=True):
            wide = g.astype(jnp.float32)
            rule = -0.07 * (wide * jax.lax.rsqrt(jnp.mean(wide**2)))
            np.testing.assert_array_equal(update, rule.astype(g.dtype))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell(layer, x, h, c):
    """Hochreiter and Schmidhuber's, of one sequence, gate by gate."""
    units, gates = len(h), []
    for gate in range(4):
        rows = slice(gate * units, (gate + 1) * units)
        gates.append(layer.weight[rows] @ np.append(x, h) + layer.bias[rows])
    i, f, g, o = gates
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_the_lstm_is_the_papers_for_each_coordinate():
    optimizer = randomised(LSTM)
    layers = jax.tree.map(lambda x: np.asarray(x, float), optimizer.layers)
    gradients = np.asarray([[0.3, -20.0, 1e-6, 0.0, -3e-5], [2.0, 1e-3, -1e-6, 0.1, 5.0]])
    state = optimizer.init(jnp.zeros(5))
    memory = np.zeros((5, 2, 2, 4))  # coordinate, layer, h and c
    for of_step in np.asarray(gradients, np.float32):
        update, state = optimizer.update(jnp.asarray(of_step), state)
        for n, g in enumerate(of_step.astype(float)):
            if abs(g) >= np.exp(-10):
                x = np.asarray([np.log(abs(g)) / 10, np.sign(g)])
            else:
                x = np.asarray([-1, np.exp(10) * g])
            for layer, of_layer in zip(layers, memory[n], strict=True):
                of_layer[:] = cell(layer, x, *of_layer)
                x = of_layer[0]
            expected = 0.01 * (np.asarray(optimizer.weight, float) @ x + float(optimizer.bias))
            np.testing.assert_allclose(update[n], expected, rtol=1e-4, atol=1e-7)


def test_kernels_have_an_optimiser_of_their_own():
    optimizer = ByKind(LearnedMomentum(1.0, 0.0), LearnedMomentum(0.5, 0.0))
    gradients = {"kernel": jnp.ones((2, 2, 1, 3)), "weight": jnp.ones((2, 3)), "bias": jnp.ones(3)}
    updates, _ = optimizer.update(gradients, optimizer.init(gradients))
    rates = {name: np.unique(update) for name, update in updates.items()}
    np.testing.assert_allclose(rates["kernel"], -1, rtol=1e-6)
    np.testing.assert_allclose(rates["weight"], -0.5, rtol=1e-6)
    np.testing.assert_allclose(rates["bias"], -0.5, rtol=1e-6)


def test_there_may_be_no_kernels():
    by_kind = ByKind(LSTM, LearnedMomentum(0.5, 0.0))
    gradients = {"bias": jnp.ones(3)}
    updates, _ = by_kind.update(gradients, by_kind.init(gradients))
    np.testing.assert_allclose(updates["bias"], -0.5, rtol=1e-6)
    for optimizer in (MLP, HIERARCHY):
        assert optimizer.update({}, optimizer.init({}), {})[0] == {}


def test_the_hierarchy_begins_as_adam():
    optimizer = HierarchicalLSTM(units=6, scale=0.02, key=KEY)
    adam = optax.adam(0.02, eps=0)
    parameters = {"a": jnp.ones((3, 2)), "b": jnp.ones(4)}
    state, theirs = optimizer.init(parameters), adam.init(parameters)
    update, step = jax.jit(optimizer.as_optax().update), jax.jit(adam.update)
    for _ in range(5):
        gradients = jax.tree.map(lambda p: jnp.asarray(RNG.normal(size=p.shape)), parameters)
        updates, state = update(gradients, state, parameters)
        expected, theirs = step(gradients, theirs)
        for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4)


def test_the_hierarchy_writes_each_tensors_network():
    """Its equations, with loops over the bank and over coordinates."""
    parameters = {"a": jnp.asarray(RNG.normal(size=(2, 2))), "b": jnp.asarray(RNG.normal(size=3))}
    gradients = jax.tree.map(lambda p: jnp.sin(5 * p), parameters)
    state = HIERARCHY.init(parameters)
    updates, after = jax.jit(HIERARCHY.as_optax().update)(gradients, state, parameters)
    layer, readout, bank = jax.tree.map(
        lambda x: np.asarray(x, float), (HIERARCHY.layer, HIERARCHY.readout, HIERARCHY.bank)
    )
    g, theta = (np.concatenate([np.ravel(x) for x in t.values()]) for t in (gradients, parameters))
    late = np.tanh(1 / np.asarray(hierarchical.TIMES) - 1)
    bounded = lambda x: 5 * np.tanh(x / 5)  # noqa: E731
    found = np.concatenate([np.ravel(update) for update in updates.values()])
    for place, rank, where in ((0, 2, range(4)), (1, 1, range(4, 7))):
        seen = [jnp.asarray(a)[:, list(where)] for a in ([g], [g] * 3, [g**2] * 2, [theta])]
        one = tensors.Tensors((len(where),))
        statistics = hierarchical.statistics(one, seen[0][0], *seen[1:3], seen[3][0])[:, 0]
        kind = [*np.eye(5)[rank], np.log(len(where)) / 5]
        h, c = cell(layer, np.concatenate([statistics, kind, late]), np.zeros(6), np.zeros(6))
        np.testing.assert_allclose(after.memory.cell[:, place], c, rtol=1e-3, atol=1e-5)
        *mixture, size = readout.weight @ h + readout.bias
        (w1, b1), (w2, b2) = (
            [sum(m * part[k] for k, m in enumerate(mixture)) for part in (d.weight, d.bias)]
            for d in bank
        )
        x, adam = hierarchical.features(one, seen[0][0], *seen[1:3], seen[3][0])
        for i, at in enumerate(where):
            d, q = w2 @ np.maximum(w1 @ x[:, i] + b1, 0) + b2
            expected = -0.01 * np.exp(bounded(size + q)) * (adam[i] + bounded(d))
            np.testing.assert_allclose(found[at], expected, rtol=1e-3, atol=1e-7)


def path(optimizer, loss, parameters, steps: int = 8):
    """θ_0 … of one minimisation."""

    def one(carry, _):
        parameters, state = carry
        updates, state = optimizer.update(jax.grad(loss)(parameters), state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        return (parameters, state), parameters

    return jax.lax.scan(one, (parameters, optimizer.init(parameters)), length=steps)[1]


@pytest.mark.parametrize("optimizer", [MLP, HIERARCHY])
def test_a_multiple_of_the_problem_is_the_same_problem(optimizer):
    problem = Quadratics(4).sample(KEY)
    parameters = problem.init(KEY)

    @jax.jit
    def scaled(c):
        return path(optimizer, lambda theta: c * problem.loss(theta, KEY), parameters)

    plain = scaled(1.0)
    assert np.max(np.abs(plain[-1] - parameters)) > 0.005
    for c in (1e-5, 300.0):
        np.testing.assert_allclose(scaled(c), plain, rtol=1e-3, atol=1e-5)


def test_several_problems_as_one_are_minimised_as_each_by_itself():
    kinds = SeveralKinds(Quadratics(3), LogisticRegressions(2, examples=20))
    problem = kinds.sample(KEY)
    parameters = problem.init(KEY)

    @jax.jit
    def both():
        together = path(HIERARCHY, lambda theta: problem.loss(theta, KEY), parameters)
        alone = tuple(
            path(HIERARCHY, lambda theta, one=one: one.loss(theta, KEY), start)
            for one, start in zip(problem.problems, parameters, strict=True)
        )
        return together, alone

    for a, b in zip(*both(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    keys = jax.random.split(jax.random.key(1), 500)
    first = jax.jit(jax.vmap(lambda k: kinds.sample(k).losses(kinds.sample(k).init(k), k)))(keys)
    np.testing.assert_allclose(first.mean(0), 1, atol=0.2)


def test_curves_are_those_of_a_plain_loop():
    kinds = LogisticRegressions(3, examples=10)
    optimizer = optax.adam(0.1)
    curves = minimise_many(optimizer, kinds, steps=4, count=3, seed=7)
    step = jax.jit(optimizer.update)
    for index in range(3):
        key, _ = task_keys(jax.random.key(7), index)
        problem = kinds.sample(key)
        value_and_grad = jax.jit(jax.value_and_grad(problem.loss))
        theta = problem.init(jax.random.fold_in(key, 0))
        state = optimizer.init(theta)
        for t in range(5):
            loss, gradient = value_and_grad(theta, key_of(key, jnp.asarray(t)))
            np.testing.assert_allclose(curves.losses[index, t], loss, rtol=1e-5)
            updates, state = step(gradient, state, theta)
            theta = optax.apply_updates(theta, updates)
