"""Code of the user's own runs where the command names its file, and nowhere else."""

import hashlib
import json
import os
import py_compile
from pathlib import Path

import numpy as np
import pytest

from quickstudy import load_optimizer, user_file
from quickstudy.cli import main
from quickstudy.errors import UserError
from quickstudy.report.opened import OpenedRun
from quickstudy.runs.kinds import OPTIMIZER
from quickstudy.runs.problems import problems_of
from quickstudy.runs.saved import SavedRun, open_seeds
from quickstudy.serving import adapted_file, adapting, predicting
from quickstudy.serving.table_classifier import TableClassifier
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.registry import learner_settings
from quickstudy.settings.run import RunSettings

SMALL = ("--way", "2", "--train-way", "2", "--query", "2", "--train-query", "2")

LEARNER = """
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from quickstudy.settings.learners import PixelsSettings

Path("ran").touch()


@dataclass(frozen=True)
class Mine(PixelsSettings):
    name: ClassVar[str] = "mine"
"""

PROBLEMS = """
from pathlib import Path

import jax.numpy as jnp

from quickstudy import TaskDistribution
from quickstudy.tasks.problems.quadratics import Quadratics

Path("ran").touch()


class Own(TaskDistribution):
    def sample(self, key):
        return Quadratics(3).sample(key)

    def protocol(self):
        return {"data": "own"}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, in a process to which no file has been named yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_file, "_NAMED", [])
    rng = np.random.default_rng(0)
    np.savez("feat.npz", x=rng.normal(size=(60, 5)).astype(np.float32), y=np.repeat(range(12), 5))
    return tmp_path


def ran() -> bool:
    """Whether code ran since the last time."""
    mark = Path("ran")
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found


@pytest.fixture
def said(capsys):
    """What a command says that must fail, in one line."""

    def said(*words: str) -> str:
        capsys.readouterr()
        assert main(list(words)) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    return said


def plant(path: Path, **changed) -> None:
    """Another configuration in the header of a file, under right checksums."""
    with np.load(path) as members:
        found = dict(members)
    words = json.loads(found["header"].tobytes())
    words["configuration"] |= changed
    found["header"] = np.frombuffer(json.dumps(words).encode(), np.uint8)
    found["header_sha256"] = np.asarray(hashlib.sha256(found["header"]).hexdigest())
    with open(path, "wb") as file:
        np.savez(file, **found)


def sources(file: Path) -> list[object]:
    """How an earlier version and this one name a file in a header."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return [str(file), file.name, {"file": file.name, "sha256": sha256}]


def test_no_command_and_no_function_runs_a_file_that_a_run_names(here, said):
    train = ["train", "pixels", "--tasks", "npz:feat.npz", *SMALL, "--run"]
    for run in ("run", "other"):
        assert main([*train, run]) == 0
    assert main(["adapt", "run", "--support", "feat.npz", "--out", "evil.qs"]) == 0
    evil = here / "evil.py"
    evil.write_text(LEARNER)
    for source in sources(evil):
        plant(here / "run/learner.qs", source=source)
        plant(here / "evil.qs", source=source)
        config = json.loads(Path("run/config.json").read_text())
        Path("run/config.json").write_text(json.dumps(config | {"source": source}))
        for words in (
            ["evaluate", "run", "--episodes", "2"],
            ["compare", "run", "other", "--episodes", "2"],
            ["adapt", "run", "--support", "feat.npz", "--out", "new.qs"],
            ["predict", "evil.qs", "feat.npz"],
            ["report", "run"],
            ["search", "run", "--help"],
        ):
            assert "'evil.py', which runs only if you name it: add --learner" in said(*words), words
            assert not ran(), words
        assert "belongs to another configuration" in said(*train, "run")
        run, evil_file, examples = here / "run", here / "evil.qs", here / "feat.npz"
        for load, *given in (
            (SavedRun.open, run),
            (open_seeds, run),
            (OpenedRun.open, run),
            (adapted_file.load, evil_file),
            (predicting.predict, evil_file, [examples]),
            (adapting.adapt, run, examples, here / "new.qs"),
            (TableClassifier(run=run).fit, np.zeros((4, 5)), [0, 1, 0, 1]),
            (RunSettings.from_json, config | {"source": source}),
        ):
            with pytest.raises(UserError, match=r"--learner FILE\.py if you trust that file"):
                load(*given)
        assert not ran()


def test_no_command_and_no_function_runs_problems_that_an_optimiser_names(here, said):
    words = ["--steps", "1", "--horizon", "2", "--unroll", "1", "--dimensions", "2"]
    few = ["--meta-batch", "1", "--validation-episodes", "2", "--run", "run"]
    assert main(["train", "momentum-optimizer", *words, *few]) == 0
    Path("evil.py").write_text(PROBLEMS)
    settings = SavedRun.open(here / "run", OPTIMIZER).settings
    for name in ("evil.py", str(here / "evil.py")):
        problems = settings.to_json()["problems"] | {"tasks": name}
        plant(here / "run/optimizer.qs", problems=problems)
        assert "runs only if you name it: add --tasks FILE.py" in said("optimize", "run")
        load_optimizer(here / "run")
        found = SavedRun.open(here / "run", OPTIMIZER).settings
        assert OptimizerRunSettings.from_json(found.to_json()) == found
        with pytest.raises(UserError, match=r"--tasks FILE\.py if you trust that file"):
            problems_of(found.problems)
        assert not ran()


def test_a_learner_of_ones_own_is_named_again_and_is_as_it_was(here, said, monkeypatch, capsys):
    mine = here / "mine.py"
    mine.write_text(LEARNER)
    train = ["train", "mine.py", "--tasks", "npz:feat.npz", *SMALL, "--run", "run"]
    adapt = ["adapt", "run", "--support", "feat.npz", "--out", "new.qs"]
    assert main(train) == 0
    assert main(train) == 0  # and goes on

    def another_process() -> None:
        monkeypatch.setattr(user_file, "_NAMED", [])
        ran()

    evaluate = ["evaluate", "run", "--episodes", "2"]
    another_process()
    assert "'mine.py', which runs only if you name it" in said(*evaluate)
    assert not ran()
    (here / "elsewhere").mkdir()
    moved = mine.rename(here / "elsewhere" / "copy.py")
    for words in (evaluate, adapt, ["search", "run", "--help"]):
        another_process()
        if words[0] == "search":  # its help is the learner's
            with pytest.raises(SystemExit):
                main([*words, "--learner", str(moved)])
        else:
            assert main([*words, "--learner", str(moved)]) == 0
        assert ran()
    another_process()
    assert main(["predict", "--learner=elsewhere/copy.py", "new.qs", "feat.npz"]) == 0
    another_process()
    learner_settings(str(moved))
    assert SavedRun.open(here / "run").settings.name == "mine"

    another_process()
    mine.write_text(LEARNER + "# changed\n")
    changed = r"mine.py is not the file that was trained with: its SHA-256 begins with"
    assert changed in said(*evaluate, "--learner", "mine.py")
    assert "belongs to another configuration" in said(*train)
    assert "give the Python file" in said(*evaluate, "--learner", "maml")
    assert "give the Python file" in said(*evaluate, "--learner")
    assert "there is no file nowhere.py" in said(*evaluate, "--learner", "nowhere.py")


def test_a_run_of_an_earlier_version_without_a_checksum_goes_by_the_files_name(here, said):
    mine = here / "mine.py"
    mine.write_text(LEARNER)
    train = ["train", "mine.py", "--tasks", "npz:feat.npz", *SMALL, "--run", "run"]
    assert main(train) == 0
    plant(here / "run/learner.qs", source="/where/it/was/mine.py")
    assert main(["evaluate", "run", "--episodes", "2", "--learner", "mine.py"]) == 0
    other = mine.rename(here / "other.py")
    user_file._NAMED.clear()
    evaluate = ["evaluate", "run", "--episodes", "2", "--learner", str(other)]
    assert "needs code of the user's own, the file 'mine.py'" in said(*evaluate)


def test_problems_of_ones_own_are_named_again_and_are_as_they_were(here, said):
    Path("own.py").write_text(PROBLEMS)
    words = ["--tasks", "own.py", "--steps", "1", "--horizon", "2", "--unroll", "1"]
    few = ["--meta-batch", "1", "--validation-episodes", "2", "--run", "run"]
    train = ["train", "momentum-optimizer", *words, *few]
    assert main(train) == 0
    sha256 = hashlib.sha256(PROBLEMS.encode()).hexdigest()
    assert SavedRun.open(here / "run", OPTIMIZER).settings.source == user_file.Source(
        "own.py", sha256
    )
    user_file._NAMED.clear()
    ran()
    assert "add --tasks FILE.py" in said("optimize", "run")
    assert not ran()
    Path("own.py").write_text(PROBLEMS + "# changed\n")
    assert "own.py is not the file that was trained with" in said(
        "optimize", "run", "--tasks", "own.py"
    )
    assert "belongs to another configuration" in said(*train)


def test_a_compiled_file_beside_the_named_one_is_not_run(here):
    """Python takes one that fits the file's time and size."""
    mine = here / "mine.py"
    mine.write_text(LEARNER)
    py_compile.compile(str(mine))
    mark, stat = '"ran"', mine.stat()
    honest = LEARNER.replace(mark, '"ron"')
    mine.write_text(honest)
    os.utime(mine, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    learner_settings("mine.py")
    assert Path("ron").exists()
    assert not ran()


def test_two_files_of_one_name_are_told_apart(here):
    for folder, name in (("a", "one"), ("b", "two")):
        Path(folder).mkdir()
        Path(folder, "mine.py").write_text(LEARNER.replace('"mine"', f'"{name}"'))
    found = [learner_settings(f"{folder}/mine.py") for folder in ("a", "b", "a")]
    assert [cls.name for cls in found] == ["one", "two", "one"]
    assert found[0] is found[2]
    assert user_file.source_of(found[0]) != user_file.source_of(found[1])
