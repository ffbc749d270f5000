"""Counted operations against those of the programs that run."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from benchmarks.cases import FILTERS, HIDDEN, PICTURE, Evaluation, MAMLStep, ProtoNetStep, Sampling
from benchmarks.operations import bytes_moved, convolutions, operations
from quickstudy.learners.gradient.maml import MAML
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.networks import MLP, Conv4, WithHead
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)


def counted(program) -> int:
    """Operations of all matrix products in a program, loops multiplied out."""
    total = 0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            a, b = (x.aval.shape for x in equation.invars)
            (contracted, _), (batch, _) = equation.params["dimension_numbers"]
            shared = math.prod(a[i] for i in (*contracted, *batch))
            total += 2 * math.prod(a) * math.prod(b) // shared
        rounds = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            if isinstance(inner, Jaxpr):
                total += rounds * counted(inner)
    return total


def gradient_program(case: MAMLStep):
    """The meta-gradient of one task of a case."""
    if case.network == "mlp 2x40":
        body, likelihood, shape = MLP((1,), hidden=HIDDEN, key=KEY), Gaussian(1), (1,)
    else:
        body = Conv4(PICTURE, filters=FILTERS, stride=case.stride, key=KEY)
        likelihood, shape = Categorical(case.way), PICTURE
    learner = MAML(
        WithHead(body, likelihood.size, key=KEY),
        optax.sgd(0.1),
        train_steps=case.inner_steps,
        first_order=case.first_order,
    )

    def examples(n: int) -> Examples:
        y = jnp.zeros((n, 1)) if case.network == "mlp 2x40" else jnp.zeros(n, int)
        return Examples(jnp.zeros((n, *shape)), y)

    task = Episode(examples(case.way * case.shot), examples(case.way * case.query), likelihood)
    trained, fixed = eqx.partition(learner, eqx.is_inexact_array)
    gradient = jax.grad(lambda t: eqx.combine(t, fixed).loss(task, key=KEY)[0])
    return jax.make_jaxpr(gradient)(trained).jaxpr


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("network", ["mlp 2x40", "conv4 stride 2", "conv4 pooled"])
def test_maml_counts_what_its_program_multiplies(network, first_order):
    case = MAMLStep(network, first_order, inner_steps=3, way=3, shot=2, query=1, tasks=1)
    assert operations(case) == pytest.approx(counted(gradient_program(case)), rel=0.01)


def test_operations_grow_with_the_tasks():
    one, eight = (MAMLStep("conv4 pooled", tasks=n) for n in (1, 8))
    assert operations(eight) == 8 * operations(one)
    assert bytes_moved(eight) == 8 * bytes_moved(one)


def test_evaluation_counts_the_forward_passes():
    network = Conv4(PICTURE, filters=FILTERS, key=KEY)
    forward = jax.make_jaxpr(lambda x: network(x)[0])(jnp.zeros((30, *PICTURE))).jaxpr
    assert operations(Evaluation(episodes=7)) == 7 * counted(forward)


def test_training_takes_three_passes_but_for_the_first_layer():
    forward = operations(Evaluation(episodes=1, way=60, query=5))
    first = 2 * 360 * convolutions(1)[0].products
    assert operations(ProtoNetStep()) == 3 * forward - first


def test_drawing_reads_bytes_and_writes_floats():
    assert operations(Sampling()) == 0
    assert bytes_moved(Sampling()) == 80 * 28 * 28 * 5
