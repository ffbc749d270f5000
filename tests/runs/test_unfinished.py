"""A run that is not finished serves with the best learner so far."""

import json

import jax
import numpy as np
import pytest

from quickstudy import checkpoint
from quickstudy.cli import main
from quickstudy.record import checkpoints_in
from quickstudy.runs.saved import SavedRun
from quickstudy.terminal import forget_said

WORDS = ("--way", "2", "--query", "2", "--train-way", "2", "--train-query", "2", "--hidden", "4")
WORDS = (*WORDS, "--validation-episodes", "4", "--validate-every", "3")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run of eight steps, and the same run as it was when all were taken but not yet written."""
    folder = tmp_path_factory.mktemp("unfinished")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=np.repeat(np.arange(12), 5))
    run = folder / "run"
    words = ["train", "protonet", "--tasks", f"npz:{folder / 'rows.npz'}", *WORDS, "--steps", "8"]
    assert main([*words, "--run", str(run), "--checkpoint-seconds", "0"]) == 0
    finished = checkpoint.read(run / "learner.qs")
    (run / "learner.qs").unlink()
    return run, finished


def test_the_best_of_the_last_checkpoint_is_what_the_training_ends_with(stopped, capsys):
    run, (header, leaves) = stopped
    forget_said()
    opened = SavedRun.open(run)
    assert "run is not finished: it is at step 8 of 8; its learner is" in capsys.readouterr().err
    assert len(opened.arrays) == len(leaves)
    assert all(map(np.array_equal, opened.arrays, leaves))
    assert json.loads(json.dumps(opened.header["inputs"])) == header["inputs"]
    assert opened.header["split"] == header["split"]
    learned = jax.tree.leaves(opened.learner())
    assert all(map(np.array_equal, learned, leaves))


def test_an_unfinished_run_is_evaluated_and_adapted_and_not_touched(stopped, capsys, tmp_path):
    run, _ = stopped
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["evaluate", str(run), "--episodes", "4"]) == 0
    assert "is not finished" in capsys.readouterr().err
    x = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    np.savez(tmp_path / "new.npz", x=x, y=np.repeat(["ant", "bee"], 3))
    words = ["--support", str(tmp_path / "new.npz"), "--out", str(tmp_path / "new.qs")]
    assert main(["adapt", str(run), *words]) == 0
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_damaged_checkpoint_is_passed_over(stopped, capsys):
    run, _ = stopped
    first, last = checkpoints_in(run)
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    forget_said()
    try:
        SavedRun.open(run)
        said = capsys.readouterr().err
        assert "falling back to the checkpoint before it" in said
        assert f"it is at step {int(first.stem[5:])} of 8" in said
    finally:
        last.write_bytes(whole)
