"""One run on several devices and in several processes, one of which dies."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import multihost_utils

from quickstudy.devices import from_first_process, largest_of_all, task_mesh
from quickstudy.errors import UserError
from quickstudy.runs.saved import SavedRun

COMMAND = [sys.executable, "-m", "quickstudy", "train", "maml", "--tasks", "sinusoid"]
OPTIONS = ["--meta-batch", "4", "--steps", "1000", "--validation-episodes", "10"]
ENVIRONMENT = os.environ | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


def train(run: Path, *words: str) -> subprocess.Popen:
    command = [*COMMAND, "--run", str(run), *OPTIONS, "--checkpoint-seconds", "0", *words]
    signals = (signal.SIGHUP, signal.SIGINT)  # a child of nohup, or of a shell's &, ignores them
    before = {number: signal.signal(number, signal.SIG_DFL) for number in signals}
    try:
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def workers_of(supervisor: subprocess.Popen) -> list[int]:
    """The processes that it has started."""
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def saved_steps(run: Path) -> list[int]:
    """Those of its checkpoints."""
    return [int(path.stem[5:]) for path in (run / "checkpoints").glob("step-*.qs")]


def wait_for_a_checkpoint(supervisor: subprocess.Popen, run: Path) -> None:
    while not saved_steps(run):
        assert supervisor.poll() is None, supervisor.stderr.read()
        time.sleep(0.05)


def begun_at(run: Path) -> list[int]:
    """The steps from which it went on, at each start."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row["step"] for row in rows if "seconds compiling" in row]


ARRAYS = {
    "float64": np.asarray([0.1, np.pi, -0.0, np.nan, np.inf, 1e300]),
    "int64": np.asarray(2**53 + 1),
    "uint64": np.asarray([2**64 - 1], np.uint64),
    "payload": np.asarray([0x7FF0000000000001], np.uint64).view(np.float64),  # another NaN
    "float32": np.asarray([[-0.0, np.nan, 1.5]], np.float32),
    "float16": np.asarray(0.1, np.float16),
    "bool": np.asarray([True, False]),
    "int8": np.asarray([-128, 127], np.int8),
    "none": np.zeros((0, 3), np.float32),
    "jax": jnp.asarray([1.5, -0.0], jnp.bfloat16),
    "jax key": jax.random.key_data(jax.random.key(7)),
}


def narrowing(tree):
    """What JAX does to arrays that it sends to other processes: keeps 32 bits, and adds zeros."""
    return jax.tree.map(lambda x: np.asarray(jnp.asarray(x) + jnp.zeros_like(x)), tree)


@pytest.mark.parametrize("tree", [ARRAYS, {}, (), None, {"none": ARRAYS["none"]}])
def test_nothing_changes_on_the_way_from_the_first_process(monkeypatch, tree):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", narrowing)
    sent = from_first_process(tree)
    assert jax.tree.structure(sent) == jax.tree.structure(tree)
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(sent), strict=True):
        assert isinstance(b, jax.Array if isinstance(a, jax.Array) else np.ndarray)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_processes_agree_on_numbers_of_64_bits(monkeypatch):
    def gathered(mine):
        other = np.asarray([2.0**40 + 1, 0.125]).view(mine.dtype)
        return narrowing(np.stack([mine, other]))

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "process_allgather", gathered)
    assert largest_of_all(2**40, 0.1 + 2**-30).tolist() == [2.0**40 + 1, 0.125]
    assert largest_of_all(2**40 + 3, 0.2).tolist() == [2.0**40 + 3, 0.2]


def alive(process: int) -> bool:
    """Whether it runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGKILL])
def test_processes_end_with_the_one_that_started_them(tmp_path, signum):
    """When the terminal is closed they save first."""
    supervisor = train(tmp_path / "run", "--processes", "2", "--steps", "5000")
    if signum == signal.SIGHUP:
        wait_for_a_checkpoint(supervisor, tmp_path / "run")
    while len(workers := workers_of(supervisor)) < 2:
        assert supervisor.poll() is None, supervisor.stderr.read()
        time.sleep(0.05)
    supervisor.send_signal(signum)
    supervisor.wait(timeout=60)
    deadline = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [worker for worker in workers if alive(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left
    said = supervisor.communicate()[1]
    if signum == signal.SIGHUP:
        stopped = int(re.search(r"stopped at step (\d+)", said)[1])
        assert supervisor.returncode == 128 + signum
        assert max(saved_steps(tmp_path / "run")) == stopped


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_one_of_two_processes_is_killed_and_the_run_ends_as_one_process_with_two_devices_would(
    tmp_path,
):
    supervisor = train(tmp_path / "two", "--processes", "2")
    wait_for_a_checkpoint(supervisor, tmp_path / "two")
    time.sleep(random.uniform(0, 0.5))
    before = saved_steps(tmp_path / "two")
    os.kill(random.choice(workers_of(supervisor)), signal.SIGKILL)
    alone = train(tmp_path / "one", "--devices", "2")
    said = supervisor.communicate()[1]
    assert supervisor.returncode == 0, said
    assert "died; all start again from the last checkpoint" in said
    assert "falling back" not in said
    assert begun_at(tmp_path / "two")[0] == 0
    assert begun_at(tmp_path / "two")[1] >= max(before)
    assert alone.wait() == 0
    one, two = (SavedRun.open(tmp_path / name).learner() for name in ("one", "two"))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_second_signal_ends_a_training_without_a_traceback(tmp_path):
    run = train(tmp_path / "run", "--steps", "1000000", "--checkpoint-seconds", "1000")
    while not (tmp_path / "run" / "config.json").exists():
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    while run.poll() is None:  # also when it has stopped and is about to leave
        time.sleep(0.01)
        if saved_steps(tmp_path / "run"):
            run.send_signal(signal.SIGINT)
    said = run.communicate()[1]
    assert run.returncode in (128 + signal.SIGINT, -signal.SIGINT)
    assert all(line.startswith("quickstudy: ") for line in said.splitlines()), said


def test_a_mistake_in_several_processes_is_told_once_and_ends_them(tmp_path):
    run = train(tmp_path / "run", "--processes", "2", "--split", "3", "--tasks", "sinusiod")
    assert "there are no tasks 'sinusiod': did you mean sinusoid" in run.communicate()[1]
    assert run.returncode == 2


def test_devices_share_the_meta_batch_evenly_or_not_at_all():
    assert task_mesh(4).size == 1
    assert task_mesh(4, by_core=True).size == 2
    assert task_mesh(5, by_core=True).size == 1
    assert task_mesh(4, devices=2).size == 2
    with pytest.raises(UserError, match="--devices 0: it must be at least 1"):
        task_mesh(4, devices=0)
    with pytest.raises(UserError, match="--devices 3: there are 2 here"):
        task_mesh(4, devices=3)
    with pytest.raises(UserError, match="--meta-batch 5: 2 devices cannot share it evenly"):
        task_mesh(5, devices=2)
