"""One run on several devices and in several processes, one of which dies."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from quickstudy.devices import task_mesh
from quickstudy.errors import UserError
from quickstudy.recipes.wiring import load_learner

COMMAND = [sys.executable, "-m", "quickstudy", "train", "maml", "--tasks", "sinusoid"]
OPTIONS = ["--meta-batch", "4", "--steps", "1000", "--validation-episodes", "10"]
ENVIRONMENT = os.environ | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


def train(run: Path, *words: str) -> subprocess.Popen:
    command = [*COMMAND, "--run", str(run), *OPTIONS, "--checkpoint-seconds", "0", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def workers_of(supervisor: subprocess.Popen) -> list[int]:
    """The processes that it has started."""
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_one_of_two_processes_is_killed_and_the_run_ends_as_one_process_with_two_devices_would(
    tmp_path,
):
    supervisor = train(tmp_path / "two", "--processes", "2")
    checkpoints = tmp_path / "two" / "checkpoints"
    while not (checkpoints.exists() and any(checkpoints.glob("*.qs"))):
        assert supervisor.poll() is None, supervisor.stderr.read()
        time.sleep(0.05)
    time.sleep(random.uniform(0, 0.5))
    os.kill(random.choice(workers_of(supervisor)), signal.SIGKILL)
    alone = train(tmp_path / "one", "--devices", "2")
    said = supervisor.communicate()[1]
    assert supervisor.returncode == 0, said
    assert "died; all start again from the last checkpoint" in said
    assert alone.wait() == 0
    (_, _, one), (_, _, two) = (load_learner(tmp_path / name) for name in ("one", "two"))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_mistake_in_several_processes_is_told_once_and_ends_them(tmp_path):
    run = train(tmp_path / "run", "--processes", "2", "--split", "3", "--tasks", "sinusiod")
    assert "there are no tasks 'sinusiod': did you mean sinusoid" in run.communicate()[1]
    assert run.returncode == 2


def test_devices_share_the_meta_batch_evenly_or_not_at_all():
    assert task_mesh(4).size == 1
    assert task_mesh(4, by_core=True).size == 2
    assert task_mesh(5, by_core=True).size == 1
    assert task_mesh(4, devices=2).size == 2
    with pytest.raises(UserError, match="--devices 3: there are 2 here"):
        task_mesh(4, devices=3)
    with pytest.raises(UserError, match="--meta-batch 5: 2 devices cannot share it evenly"):
        task_mesh(5, devices=2)
