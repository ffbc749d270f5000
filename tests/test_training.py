"""Meta-training: what it computes, and that nothing that interrupts it changes a bit."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float

from quickstudy import checkpoint
from quickstudy.errors import UserError
from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Gaussian
from quickstudy.metagradients import Backpropagation, MetaGradient, PerTask
from quickstudy.record import read_metrics
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.training import TrainingStopped, Validation, meta_train
from quickstudy.training.program import STARTING


class Around(TaskDistribution[Episode]):
    """Targets around a level that all tasks share."""

    level: Float[Array, ""]

    def sample(self, key):
        y = self.level + jax.random.normal(key, (4, 1))
        x = jnp.zeros((4, 1))
        return Episode(Examples(x[:2], y[:2]), Examples(x[2:], y[2:]), Gaussian(1))

    def protocol(self):
        return {"data": "around"}


class Everywhere(Predictor):
    level: Float[Array, ""]

    def __call__(self, x):
        return jnp.full((len(x), 1), self.level)


class Guess(Learner):
    """Somewhere between what it has learned and what it sees; adapting is random a little."""

    level: Float[Array, ""]
    share: Float[Array, ""]
    settled_at: Float[Array, ""] | None = None

    def adapt(self, support, likelihood, *, key):
        seen = jnp.mean(support.y) + 0.1 * jax.random.normal(key)
        return Everywhere(self.level + self.share * (seen - self.level))

    def settle(self, tasks, *, key):
        return eqx.tree_at(
            lambda g: g.settled_at, self, 2 * self.level, is_leaf=lambda x: x is None
        )


START = Guess(jnp.asarray(0.0), jnp.asarray(0.5))
TASKS = Around(jnp.asarray(5.0))
CONFIGURATION = {"learner": {"name": "guess"}, "training": {"steps": 30, "seed": 0}}


def train(folder: Path | None = None, **changed) -> Guess:
    """Thirty short steps, a checkpoint as often as can be."""
    options = {
        "learner": START,
        "tasks": TASKS,
        "optimizer": optax.adam(0.05),
        "steps": 30,
        "meta_batch": 4,
        "folder": folder,
        "configuration": CONFIGURATION,
        "checkpoint_seconds": 0,
    }
    return meta_train(**(options | changed))


def same_bits(a, b) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


@pytest.fixture(scope="module")
def uninterrupted() -> Guess:
    return train()


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("step-*.qs"))


def figures(folder: Path) -> list[dict[str, float]]:
    """The rows of `metrics.jsonl`, but for times."""
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [
        {k: v for k, v in row.items() if k != "seconds"}
        for row in rows
        if "seconds compiling" not in row
    ]


def steps_in(folder: Path) -> list[int]:
    return [row["step"] for row in figures(folder) if "loss" in row]


def test_a_step_follows_the_mean_meta_gradient_of_tasks_named_by_seed_step_and_index():
    found = train(steps=1, seed=7, optimizer=optax.sgd(1.0))
    gradients = []
    of_task = jax.jit(
        lambda for_task, key: Backpropagation().of_task(START, TASKS.sample(for_task), key)
    )
    for index in range(4):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), 0), index)
        for_task, for_learner = jax.random.split(key)
        gradient, _ = of_task(for_task, for_learner)
        gradients.append([gradient.level, gradient.share])
    expected = np.asarray([START.level, START.share]) - np.mean(gradients, axis=0)
    np.testing.assert_allclose([found.level, found.share], expected, rtol=1e-5)


@pytest.mark.parametrize("tasks_at_once", [1, 2])
def test_how_many_tasks_run_at_once_changes_nothing(uninterrupted, tasks_at_once):
    found = train(tasks_at_once=tasks_at_once)
    np.testing.assert_allclose(found.level, uninterrupted.level, rtol=1e-5)
    np.testing.assert_allclose(found.share, uninterrupted.share, rtol=1e-5)


def test_a_meta_batch_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match="--tasks-at-once 3: the 4 tasks of a meta-batch"):
        train(tasks_at_once=3)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(uninterrupted):
    assert same_bits(train(), uninterrupted)
    assert not same_bits(train(seed=1), uninterrupted)


def test_many_steps_are_traced_as_often_as_one():
    """Also from parameters that JAX calls weakly typed, as `jnp.asarray(0.0)` is."""
    assert START.level.weak_type
    traces = []

    def counting(learner, task, key):
        traces.append(key)
        return Backpropagation().of_task(learner, task, key)

    train(steps=1, meta_gradient=PerTask(counting))
    once = len(traces)
    train(meta_gradient=PerTask(counting))
    assert len(traces) == 2 * once


def test_the_learner_that_comes_back_is_settled(uninterrupted):
    assert uninterrupted.settled_at == 2 * uninterrupted.level
    assert train(steps=0).settled_at == 0


def test_the_best_on_validation_comes_back():
    """On the way from 0 to 5, it passes the level of the validation tasks."""
    found = past_the_best(validation=Validation(Around(jnp.asarray(2.0)), every=2, episodes=50))
    assert abs(float(found.level) - 2) < 0.3


def past_the_best(**options):
    """A training that passes the best of validation on its way."""
    return train(
        steps=100,
        optimizer=optax.adam(0.1),
        learner=eqx.tree_at(lambda g: g.share, START, jnp.asarray(0.0)),
        meta_gradient=PerTask(only_level),
        **options,
    )


def only_level(learner, task, key):
    gradient, metrics = Backpropagation().of_task(learner, task, key)
    return eqx.tree_at(lambda g: g.share, gradient, jnp.zeros(())), metrics


def interrupting(signum: int):
    """The optimiser, during whose compilation, in the first call, a signal arrives."""
    adam = optax.adam(0.05)

    def update(*given):
        os.kill(os.getpid(), signum)
        return adam.update(*given)

    return optax.GradientTransformation(adam.init, update)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal_it_goes_on_as_if_nothing_had_been(tmp_path, uninterrupted, signum):
    handler = signal.getsignal(signum)

    def ignore(*_):  # tracing repeats itself, and only the first signal is collected
        pass

    signal.signal(signum, ignore)
    try:
        for stop in (1, 2, 3):  # stopped again and again
            with pytest.raises(TrainingStopped, match=f"stopped at step {stop};") as raised:
                train(tmp_path, optimizer=interrupting(signum))
            assert raised.value.signum == signum
            assert signal.getsignal(signum) is ignore
    finally:
        signal.signal(signum, handler)
    assert checkpoints(tmp_path)[-1].stem == "step-000000003"
    assert same_bits(train(tmp_path), uninterrupted)
    assert steps_in(tmp_path) == list(range(1, 31))
    assert same_bits(train(tmp_path), uninterrupted)  # finished already


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_step_that_it_stopped_at_is_saved_however_rarely_it_saves(tmp_path, signum):
    handler = signal.signal(signum, lambda *_: None)
    try:
        with pytest.raises(TrainingStopped, match="stopped at step 1;"):
            train(tmp_path, optimizer=interrupting(signum), checkpoint_seconds=1e9)
    finally:
        signal.signal(signum, handler)
    assert [path.stem for path in checkpoints(tmp_path)] == ["step-000000001"]


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    """As `nohup` has it."""
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        train(tmp_path, steps=2, optimizer=interrupting(signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, handler)


def test_the_best_so_far_survives_interruptions(tmp_path):
    """Validation is best at the first look; the rest of the run is taken up twice."""
    options = {"validation": Validation(Around(jnp.asarray(-1.0)), every=1, episodes=20)}
    whole = train(**options)
    signal_handler = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        for _ in range(3):
            with pytest.raises(TrainingStopped):
                train(tmp_path, **options, optimizer=interrupting(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, signal_handler)
    assert len({path.stem for path in checkpoints(tmp_path)}) == 2
    assert same_bits(train(tmp_path, **options), whole)
    looks = [row["step"] for row in figures(tmp_path) if "validation mse" in row]
    assert looks == list(range(31))


def test_where_training_only_does_harm_the_start_comes_back():
    """The level begins at 0 and rises; validation is about -1."""
    validation = Validation(Around(jnp.asarray(-1.0)), every=10, episodes=20)
    found = past_the_best(validation=validation)
    assert found.level == START.level


def test_patience_ends_a_training_after_looks_that_were_no_better(tmp_path):
    """The learner that comes back is that of the whole training: its best came before the end."""
    validation = Validation(Around(jnp.asarray(2.0)), every=2, episodes=50)
    patient = replace(validation, patience=4)
    found = past_the_best(folder=tmp_path, validation=patient)
    assert same_bits(found, past_the_best(validation=validation))
    looks = [row for row in figures(tmp_path) if "validation mse" in row]
    best = min(looks, key=lambda row: row["validation mse"])
    assert looks[-1]["step"] == best["step"] + 4 * 2 < 100
    assert same_bits(past_the_best(folder=tmp_path, validation=patient), found)
    assert [row for row in figures(tmp_path) if "validation mse" in row] == looks


def test_patience_waits_for_a_training_that_still_improves(tmp_path):
    validation = Validation(Around(jnp.asarray(50.0)), every=10, episodes=20, patience=1)
    past_the_best(folder=tmp_path, validation=validation)
    assert figures(tmp_path)[-1]["step"] == 100


def test_time_ends_a_training_with_what_was_best(tmp_path):
    validation = Validation(Around(jnp.asarray(50.0)), every=10, episodes=20)
    train(tmp_path, steps=100_000, validation=validation, seconds=0.0)
    [*_, last] = [row for row in figures(tmp_path) if "validation mse" in row]
    newest = int(checkpoints(tmp_path)[-1].stem.removeprefix("step-"))
    assert 0 < last["step"] == newest < 100_000


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    else:
        content[content.index(b'"sha256"') + 12] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, uninterrupted, capsys, how):
    train(tmp_path)
    newest = checkpoints(tmp_path)[-1]
    damage(newest, how)
    found = train(tmp_path)
    assert f"{newest} is damaged" in (said := capsys.readouterr().err)
    assert said.count("falling back to the checkpoint before it") == 1
    assert same_bits(found, uninterrupted)
    assert checkpoint.read_header(newest)["step"] == 30


def test_without_a_whole_checkpoint_it_starts_over(tmp_path, uninterrupted, capsys):
    train(tmp_path)
    for path in checkpoints(tmp_path):
        damage(path, "flipped")
    assert same_bits(train(tmp_path), uninterrupted)
    assert capsys.readouterr().err.count("falling back") == 2
    assert steps_in(tmp_path) == list(range(1, 31))


def test_a_checkpoint_just_written_stays(tmp_path):
    """Also beside damaged ones of later steps."""
    train(tmp_path)
    for path in checkpoints(tmp_path):
        damage(path, "flipped")
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(TrainingStopped):
            train(tmp_path, optimizer=interrupting(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert [path.stem for path in checkpoints(tmp_path)] == ["step-000000001"]  # no later ones


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_folder_of_another_configuration_is_refused_and_left_alone(tmp_path):
    train(tmp_path, steps=2)
    before = snapshot(tmp_path)
    other = {**CONFIGURATION, "training": {"steps": 30, "seed": 99}}
    with pytest.raises(UserError, match=r"belongs to another configuration .*seed.*99"):
        train(tmp_path, configuration=other)
    assert snapshot(tmp_path) == before


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(UserError, match="is not a run of quickstudy"):
        train(tmp_path)
    assert snapshot(tmp_path) == {"thesis.tex": b"ten years of work"}


NOBODY = 2**22 + 1
"""No process has this number: Linux gives none above 2²²."""


def test_what_a_killed_run_had_half_written_goes_when_it_goes_on(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / f".config.json.{NOBODY}.partial").touch()  # killed in its first moment
    train(run, steps=2)
    for path in (run / "checkpoints" / ".step-000000009.qs", run / ".learner.qs"):
        path.with_name(f"{path.name}.{NOBODY}.partial").write_bytes(b"half")
    train(run, steps=2)
    assert not list(run.rglob(".*.partial"))


@pytest.mark.parametrize(
    "bad",
    [
        b'{"step": 10; "loss": 1}',
        b'{"step": "a\xff"}',
        b"[]",
        b'{"loss": 1.0}',
        b'{"step": 10, "seconds": "1"}',
        b"[" * 100_000,
    ],
)
def test_damaged_figures_are_passed_over(tmp_path, uninterrupted, capsys, bad):
    train(tmp_path)
    log = tmp_path / "metrics.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    lines[9] = bad + b"\n"
    log.write_bytes(b"".join(lines) + b'{"step": 30, "lo')  # and killed while it wrote a line
    assert read_metrics(log) == [json.loads(x) for x in [*lines[:9], *lines[10:]]]
    assert capsys.readouterr().err == f"quickstudy: {log}: 1 damaged line passed over\n"
    assert same_bits(train(tmp_path), uninterrupted)
    assert f"{log}: 1 damaged line passed over" in capsys.readouterr().err
    assert log.read_bytes() == b"".join(lines[:9] + lines[10:])


@pytest.mark.parametrize("content", ["[]", "null", "[" * 100_000])
def test_a_damaged_configuration_is_told(tmp_path, content):
    train(tmp_path, steps=1)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json is damaged: choose another --run folder"):
        train(tmp_path, steps=1)


def test_two_trainings_in_one_folder_notice_each_other(tmp_path, uninterrupted):
    adam, met = optax.adam(0.05), []

    def update(*given):
        with pytest.raises(UserError, match=f"another process trains in {tmp_path}: wait"):
            train(tmp_path)
        met.append(given)
        return adam.update(*given)

    found = train(tmp_path, optimizer=optax.GradientTransformation(adam.init, update))
    assert met
    assert same_bits(found, uninterrupted)
    assert steps_in(tmp_path) == list(range(1, 31))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, uninterrupted, monkeypatch):
    flush, flushed = os.fsync, []

    def fsync(file):
        flushed.append(file)
        if len(flushed) > 3:  # config.json, and two checkpoints
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        train(tmp_path, validation=Validation(TASKS, every=1, episodes=2))
    monkeypatch.undo()
    kept = checkpoints(tmp_path)
    assert [checkpoint.read_header(path)["step"] for path in kept] == [1, 2]
    assert not list(tmp_path.rglob("*.partial"))
    assert same_bits(train(tmp_path), uninterrupted)


def test_a_loss_that_is_no_number_ends_training_and_is_not_saved(tmp_path):
    with pytest.raises(UserError, match=r"the loss is not a number at step \d+: try") as raised:
        train(tmp_path, optimizer=optax.sgd(1e15))
    at = int(str(raised.value).partition("at step ")[2].partition(":")[0])
    assert checkpoint.read_header(checkpoints(tmp_path)[-1])["step"] < at


KILLED = """
import os, random, sys, time, warnings
from pathlib import Path

warnings.simplefilter("ignore")  # about forking: no thread of JAX's has started yet
import jax, optax
from quickstudy import checkpoint, training
from quickstudy.learners.gradient.maml import MAML
from quickstudy.networks import MLP, WithHead
from quickstudy.tasks.sinusoid import Sinusoid

STEPS, KILLS = 2000, 10


def train(folder):
    key = jax.random.key(0)
    network = WithHead(MLP((1,), hidden=(8,), key=key), 1, key=key)
    learner = training.meta_train(
        MAML(network, optax.sgd(0.02), 1, 1), Sinusoid(4, 4), optax.adam(1e-2),
        steps=STEPS, meta_batch=3, folder=folder, checkpoint_seconds=0,
        validation=training.Validation(Sinusoid(4, 20), every=200, episodes=10),
    )
    checkpoint.save(folder / "learner.qs", learner, {})


def child(folder):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            train(folder)
            code = 0
        finally:
            os._exit(code)
    return pid


def newest(folder):
    found = sorted((folder / "checkpoints").glob("step-*.qs"))
    return int(found[-1].stem[5:]) if found else 0


whole, killed = map(Path, sys.argv[1:])
assert os.waitpid(child(whole), 0)[1] == 0

training.loop.SECONDS_PER_CALL = 0  # few steps at a time, so that kills strike anywhere
chance = random.Random()
seed = chance.randrange(2**32)
print("seed", seed)
chance.seed(seed)
for target in sorted(chance.sample(range(int(0.9 * STEPS)), KILLS)):
    pid = child(killed)
    while newest(killed) <= target and os.waitpid(pid, os.WNOHANG)[0] == 0:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.03))
    os.kill(pid, 9)
    assert os.waitpid(pid, 0)[1] == 9, "it had ended before it was killed"
    print("killed after", newest(killed))
    assert newest(killed) < STEPS
assert os.waitpid(child(killed), 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_killed_ten_times_at_random_moments_it_ends_in_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(whole), str(killed)],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("killed after") == 10
    assert "damaged" not in said, said
    a, b = (checkpoint.read_header(folder / "learner.qs") for folder in (whole, killed))
    assert a["sha256"] == b["sha256"], said
    assert steps_in(killed) == sorted(set(steps_in(killed)))
    assert steps_in(killed)[-1] == 2000
    assert figures(killed) == figures(whole)


class Counting(Guess):
    """Its loss is its level times the number of the training step."""

    step: Array = eqx.field(default_factory=lambda: jnp.asarray(0))

    def at_step(self, step):
        return eqx.tree_at(lambda g: g.step, self, step)

    def loss(self, task, *, key):
        return self.level * self.step, {}


def test_a_loss_may_know_the_step_of_training_and_goes_on_from_there(tmp_path):
    """With steps of length 1 the level falls by 0 + 1 + … + 5."""
    learner = Counting(jnp.asarray(0.0), jnp.asarray(0.5))
    options = {"steps": 6, "meta_batch": 2, "folder": tmp_path, "checkpoint_seconds": 0.0}
    trained = meta_train(learner, TASKS, optax.sgd(1.0), **options)
    assert trained.level == -15
    assert trained.step == 0
    resumed = meta_train(learner, TASKS, optax.sgd(1.0), **{**options, "steps": 8})
    assert resumed.level == -28


@dataclass(frozen=True)
class Momentum(MetaGradient[Array]):
    """The gradient of the level, and what earlier steps at the same place say of it."""

    def start(self, learner, tasks, key):
        return jax.random.normal(key)

    def __call__(self, learner, tasks, carried, keys, step):
        gradient, metrics = Backpropagation().of_task(learner, tasks.sample(keys[0]), keys[1])
        carried = 0.9 * carried + gradient.level
        return eqx.tree_at(lambda g: g.level, gradient, carried), metrics, carried


@dataclass(frozen=True)
class Signs(MetaGradient[tuple[()]]):
    """One that keeps nothing."""

    def __call__(self, learner, tasks, carried, keys, step):
        gradient, metrics = Backpropagation().of_task(learner, tasks.sample(keys[0]), keys[1])
        return jax.tree.map(jnp.sign, gradient), metrics, carried


@pytest.mark.parametrize("meta_gradient", [Momentum(), Signs()], ids=["keeps", "keeps nothing"])
def test_a_meta_gradient_of_ones_own_trains_and_goes_on_bit_for_bit(tmp_path, meta_gradient):
    options = {"optimizer": optax.sgd(0.01), "meta_gradient": meta_gradient}
    train(tmp_path / "whole", steps=9, **options)
    train(tmp_path / "parts", steps=4, **options)
    train(tmp_path / "parts", steps=9, **options)
    last = [checkpoints(tmp_path / name)[-1] for name in ("whole", "parts")]
    headers = [checkpoint.read_header(path) for path in last]
    assert headers[0]["sha256"] == headers[1]["sha256"]
    assert ([[4], "float32"] in headers[0]["leaves"]) == isinstance(meta_gradient, Momentum)


def test_what_a_place_keeps_goes_on_from_step_to_step():
    """With a learner that sees the same loss at each place and step, written out."""
    learner = Counting(jnp.asarray(0.0), jnp.asarray(0.5))
    found = meta_train(
        learner, TASKS, optax.sgd(1.0), steps=4, meta_batch=2, meta_gradient=Momentum(), seed=3
    )
    key = jax.random.fold_in(jax.random.key(3), STARTING)
    kept = np.asarray([jax.random.normal(k) for k in jax.random.split(key, 2)])
    level = 0.0
    for step in range(4):
        kept = 0.9 * kept + step
        level -= kept.mean()
    np.testing.assert_allclose(found.level, level, rtol=1e-5)


def test_a_function_of_one_task_is_the_meta_gradient_that_it_computes(uninterrupted):
    found = train(meta_gradient=PerTask(Backpropagation().of_task))
    np.testing.assert_allclose(found.level, uninterrupted.level, rtol=1e-5)
    np.testing.assert_allclose(found.share, uninterrupted.share, rtol=1e-5)
