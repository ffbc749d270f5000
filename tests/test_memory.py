"""What a program will need is known before it runs, and said where it is not there."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy import memory
from quickstudy.devices import task_mesh
from quickstudy.errors import UserError
from quickstudy.learners.gradient.maml import MAML
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, WithHead
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.training import meta_train
from quickstudy.training.meta_batch import mean_gradient

KEY = jax.random.key(0)


def test_memory_needed_is_that_of_results_and_what_comes_between():
    n = 1 << 20

    def two_sorts(x):
        return jnp.sort(jnp.sort(x)[::-1] * x)

    needed = memory.needed(jax.jit(two_sorts).lower(jnp.ones(n)).compile())
    assert 2 * 4 * n <= needed <= 6 * 4 * n


def maml(steps: int, rematerialise: bool) -> MAML:
    body = MLP((1,), hidden=(40, 40), normalise=False, key=KEY)
    return MAML(
        WithHead(body, 1, key=KEY), optax.sgd(0.01), train_steps=steps, rematerialise=rematerialise
    )


def needed_for_a_step(steps: int, rematerialise: bool) -> int:
    tasks = Sinusoid(50, 50)

    def step(key):
        learner = maml(steps, rematerialise)
        return mean_gradient(learner, tasks, key, Backpropagation(), 1, 1, task_mesh(1))[0].network

    return memory.needed(jax.jit(step).lower(KEY).compile())


def test_rematerialised_memory_grows_by_parameters_and_not_by_activations():
    """An inner step keeps its activations, 100 examples × 80 units and more, or only φ."""
    parameters = 4 * sum(x.size for x in jax.tree.leaves(maml(1, False)) if hasattr(x, "size"))
    growth = {
        remat: (needed_for_a_step(60, remat) - needed_for_a_step(10, remat)) / 50
        for remat in (False, True)
    }
    assert growth[True] < 2.5 * parameters
    assert growth[True] < growth[False] / 4


def test_training_that_cannot_fit_is_refused_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(
        UserError, match=r"needs \d+\.\d kB of memory and 1.0 kB are free: take fewer"
    ):
        meta_train(maml(1, False), Sinusoid(5, 5), optax.sgd(0.1), steps=1, folder=tmp_path)


def test_memory_that_runs_out_is_said_with_the_options_to_make_smaller():
    with (
        pytest.raises(UserError, match="smaller numbers for --way") as raised,
        memory.named("--way"),
    ):
        jnp.zeros(1 << 50, jnp.uint8).block_until_ready()  # a million gigabytes
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="for --steps"), memory.named("--steps"):
        np.zeros(1 << 60, np.uint8)
    with pytest.raises(RuntimeError, match="another thing"), memory.named("--way"):
        raise RuntimeError("another thing")


def test_shapes_that_alone_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 5 << 30)
    shapes = [jax.ShapeDtypeStruct((1 << 30,), jnp.float32), "no array", jax.random.key(0)]
    memory.require_room(shapes, "--way")
    with pytest.raises(UserError, match=r"for --way \(at least 6.4 GB are needed and 5.4 GB"):
        memory.require_room([*shapes, jax.ShapeDtypeStruct((1 << 30,), jnp.bfloat16)], "--way")


def test_free_memory_is_told_on_this_machine():
    free = memory.available()
    assert free is None or free > 0
