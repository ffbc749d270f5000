"""Rows read from a file are the rows of an array in memory, and those asked for are those read."""

import os
import signal
import threading
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.datasets.packed import Rows
from quickstudy.devices import BY_TASK, task_mesh
from quickstudy.evaluation import evaluate
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.networks import MLP
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.distorted import Distorted, rotated
from quickstudy.tasks.few_shot import Batches, FewShot
from quickstudy.tasks.mapped import MappedSource, read_ahead
from quickstudy.training import TrainingStopped, Validation, loop, meta_train

SHAPE = (4, 4, 1)
COUNT = np.asarray([7, 5, 9, 6, 8, 5])
FIRST = np.cumsum(COUNT) - COUNT


def sources(path: Path, dtype) -> tuple[ArraySource, MappedSource]:
    """The same examples in memory and in a file."""
    x = np.random.default_rng(0).integers(0, 256, (COUNT.sum(), *SHAPE)).astype(dtype)
    np.save(path, x)
    mapped = MappedSource(np.load(path, mmap_mode="r"), FIRST, COUNT, {"data": "noise"})
    return ArraySource(x, FIRST, COUNT, {"data": "noise"}), mapped


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[ArraySource, MappedSource]:
    return sources(tmp_path_factory.mktemp("mapped") / "x.npy", np.uint8)


@eqx.filter_jit
def drawn(source, seed, label):
    return source.draw(jax.random.key(seed), label, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_same_key_draws_the_same_examples(tmp_path, dtype):
    pair = sources(tmp_path / "x.npy", dtype)
    for seed in range(20):
        label = np.int32(seed % len(COUNT))
        in_memory, in_file = (drawn(source, np.int32(seed), label) for source in pair)
        assert in_memory.dtype == in_file.dtype
        np.testing.assert_array_equal(in_memory, in_file)


@pytest.mark.parametrize(
    ("make", "rotations"),
    [
        (lambda s: FewShot(s, 3, 2, 2), "classes"),
        (lambda s: FewShot(s, 3, 2, 2), "episode"),
        (lambda s: Batches(s, 6), "none"),
    ],
)
def test_many_tasks_at_once_are_read_in_one_call(both, make, rotations, monkeypatch):
    calls = []
    read = Rows.read

    def reading(self, numbers):
        calls.append(numbers.shape)
        return read(self, numbers)

    monkeypatch.setattr(Rows, "read", reading)
    keys = jax.random.split(jax.random.key(1), 5)
    tasks = [make(rotated(source, rotations)) for source in both]
    in_memory, in_file = (jax.jit(jax.vmap(t.sample))(keys) for t in tasks)
    assert eqx.tree_equal(in_memory, in_file)
    assert len(calls) == 1
    assert calls[0][0] == 5
    assert tasks[0].protocol() == tasks[1].protocol()


def test_a_task_drawn_in_a_loop_on_two_devices_is_the_same(both):
    mesh = task_mesh(2, devices=2)

    def brightest(source):
        tasks = FewShot(source, 3, 1, 2)

        def of_device(indices):
            def body(i, brightest):
                key = jax.random.fold_in(jax.random.key(i), indices[0])
                return jnp.maximum(brightest, tasks.sample(key).query.x)

            return jax.lax.fori_loop(0, 20, body, jnp.zeros((6, *SHAPE)))

        specs = {"in_specs": BY_TASK, "out_specs": BY_TASK}
        run = jax.shard_map(of_device, mesh=mesh, check_vma=False, **specs)
        return jax.jit(run)(jnp.arange(2))

    in_memory, in_file = map(brightest, both)
    np.testing.assert_array_equal(in_memory, in_file)


KEY = jax.random.key(0)
START = ProtoNet(MLP(SHAPE, hidden=(4,), key=KEY))


ADAM = optax.adam(1e-2)


def trained(source, folder: Path | None = None, optimizer=ADAM, **changed):
    tasks = FewShot(source, 3, 1, 2)
    options = {
        "steps": 12,
        "meta_batch": 4,
        "validation": Validation(tasks, every=6, episodes=4),
        "folder": folder,
        "checkpoint_seconds": 0,
    }
    return meta_train(START, tasks, optimizer, **(options | changed))


@pytest.mark.parametrize("options", [{"tasks_at_once": 1}, {"devices": 2}])
def test_training_from_a_file_ends_in_the_bits_of_training_from_memory(both, options):
    in_memory, in_file = (trained(source, **options) for source in both)
    assert eqx.tree_equal(in_memory, in_file)
    assert not eqx.tree_equal(in_memory, START)


def test_a_stopped_training_goes_on_in_the_same_bits(both, tmp_path):
    _, source = both
    whole = trained(source)

    def update(*given):
        os.kill(os.getpid(), signal.SIGTERM)
        return ADAM.update(*given)

    stopping = optax.GradientTransformation(ADAM.init, update)
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        for _ in range(2):
            with pytest.raises(TrainingStopped):
                trained(source, tmp_path, optimizer=stopping)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert eqx.tree_equal(trained(source, tmp_path), whole)
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]


def test_evaluation_from_a_file_gives_the_figures_of_memory(both):
    a, b = (evaluate(START, FewShot(source, 3, 1, 2), episodes=5) for source in both)
    np.testing.assert_array_equal(a.metrics["nll"], b.metrics["nll"])
    assert a.protocol == b.protocol


@pytest.mark.parametrize(("rotations", "devices"), [("none", 1), ("episode", 2)])
def test_the_rows_asked_for_ahead_are_those_that_training_reads(
    both, rotations, devices, monkeypatch
):
    """All of them, and no others; in calls of one step, each before it is read."""
    ask = Rows.ask
    asked, was_read, ahead = [], [], []

    def reading(self, numbers):
        was_read.extend(np.ravel(numbers).tolist())
        return self.x[np.asarray(numbers)]

    def asking(self, numbers):
        if threading.current_thread().name.startswith("read-ahead"):
            asked.extend(np.ravel(numbers).tolist())
        ask(self, numbers)

    def waiting(tasks, key_of):
        feeder = read_ahead(tasks, key_of)

        class Waits:
            def __enter__(self):
                fetch = feeder.__enter__()

                def fetch_and_wait(now, stop):
                    fetch(now, stop)
                    while len(asked) < stop * 9:
                        threading.Event().wait(0.001)
                    ahead.append((len(was_read), len(asked)))

                return fetch_and_wait

            def __exit__(self, *error):
                return feeder.__exit__(*error)

        return Waits()

    monkeypatch.setattr(Rows, "read", reading)
    monkeypatch.setattr(Rows, "ask", asking)
    monkeypatch.setattr(loop, "read_ahead", waiting)
    tasks = FewShot(Distorted(rotated(both[1], rotations)), 3, 1, 2)
    meta_train(START, tasks, optax.adam(1e-2), steps=6, meta_batch=4, devices=devices)
    per_step = 4 * 9
    was_read = was_read[: 6 * per_step]  # the rest is for settling
    assert sorted(asked) == sorted(was_read)
    assert ahead[0] == (0, 2 * per_step)
    assert all(more >= min(done + per_step, 6 * per_step) for done, more in ahead)


def test_a_feeder_that_is_late_skips_what_has_gone_by(both, monkeypatch):
    asked = []
    gate = threading.Event()

    def asking(self, numbers):
        gate.wait()
        asked.append(len(numbers))

    monkeypatch.setattr(Rows, "ask", asking)
    with read_ahead(FewShot(both[1], 3, 1, 2), jax.random.key) as fetch:
        fetch(0, 160)
        fetch(160, 170)
        gate.set()
        while sum(asked[-1:]) != 10:
            threading.Event().wait(0.001)
    assert sum(asked) < 60


def test_tasks_in_memory_have_no_feeder(both):
    before = threading.active_count()
    with read_ahead(FewShot(both[0], 3, 1, 2), jax.random.key) as fetch:
        fetch(0, 100)
        assert threading.active_count() == before
