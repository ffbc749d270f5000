"""Runs of every kind are trained, saved and opened by one code; a file is read once."""

import jax
import numpy as np
import pytest

from quickstudy import checkpoint
from quickstudy.cli import main
from quickstudy.runs.evidence import run_folder
from quickstudy.runs.kinds import OPTIMIZER
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.train import train
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.optimizers import MomentumOptimizerSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.run import RunSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.settings.unrolling import UnrollSettings

QUICK = ("--dimensions", "2", "--unroll", "5", "--horizon", "10", "--steps", "4")
QUICK = (*QUICK, "--meta-batch", "2", "--validation-episodes", "4")


def same(one: object, two: object) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_several_seeds_of_an_optimiser_are_those_of_each_alone(tmp_path, capsys):
    words = ["train", "momentum-optimizer", *QUICK]
    assert main([*words, "--seeds", "2", "--run", str(tmp_path / "both")]) == 0
    assert main([*words, "--seed", "1", "--run", str(tmp_path / "alone")]) == 0
    zero, one, alone = (
        SavedRun.open(tmp_path / name, OPTIMIZER).learner()
        for name in ("both/seed-0", "both/seed-1", "alone")
    )
    assert same(one, alone)
    assert not same(zero, one)
    assert main(["optimize", str(tmp_path / "both")]) == 2
    assert "holds 2 seeds: name one of them" in capsys.readouterr().err


def test_a_run_that_another_begins_with_is_trained_first_and_beside_it(tmp_path):
    def run(steps: int, start: OptimizerRunSettings | str | None = None) -> OptimizerRunSettings:
        training = TrainingSettings(steps=steps, meta_batch=2, validation_episodes=4)
        unrolling = UnrollSettings(unroll=5, horizon=10)
        problems = ProblemSettings(dimensions=2)
        return OptimizerRunSettings(
            MomentumOptimizerSettings(), problems, unrolling, training, start
        )

    second = train(run(3, run(2)), tmp_path / "second", show_progress=False)
    first = run_folder(tmp_path, run(2))
    assert SavedRun.open(first, OPTIMIZER).settings == run(2).resolved()
    by_folder = train(run(3, str(first)), tmp_path / "again", show_progress=False)
    assert same(second, by_folder)


@pytest.fixture
def read(monkeypatch):
    """Counts what is read: whole files, and settings."""
    counts = {"files": [], "settings": 0}
    of_file, of_json = checkpoint._read, RunSettings.from_json

    def reads(path, **options):
        counts["files"] += [path.name] if options["with_leaves"] else []
        return of_file(path, **options)

    def parses(found):
        counts["settings"] += 1
        return of_json(found)

    monkeypatch.setattr(checkpoint, "_read", reads)
    monkeypatch.setattr(RunSettings, "from_json", staticmethod(parses))
    return counts


def test_a_file_is_read_once_in_a_command(tmp_path, monkeypatch, capsys, read):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.savez("x.npz", x=x, y=np.repeat(np.arange(20), 3))
    tasks = ("--tasks", "npz:x.npz", "--way", "2", "--query", "1")
    assert main(["train", "finetune", *tasks, "--steps", "1", "--run", "run"]) == 0
    for words, files in (
        (["evaluate", "run", "--episodes", "2"], ["learner.qs"]),
        (["search", "run", "--head-steps", "1", "2", "--episodes", "2"], ["learner.qs"]),
        (["adapt", "run", "--support", "x.npz", "--out", "own.qs"], ["learner.qs"]),
        (["predict", "own.qs", "x.npz"], ["own.qs"]),
    ):
        read.update(files=[], settings=0)
        assert main(words) == 0
        assert read["files"] == files, words
        assert read["settings"] <= 1 + (words[0] == "search"), words  # it looks at config.json too
