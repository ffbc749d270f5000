"""Texts of the user's own, from training to predictions. They follow a rule: a class has three of
twenty topics, and a word of a text is one of fifteen of a topic or one of thirty that all classes
use."""

import csv
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import quickstudy
from quickstudy.cli.main import main
from quickstudy.datasets.texts import strings
from quickstudy.errors import UserError
from quickstudy.evaluation import evaluate
from quickstudy.runs.opponents import free_opponents
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.tasks import episode_tasks
from quickstudy.serving.predicting import predict
from quickstudy.settings.run import TaskSettings

CLASSES, EACH = 16, 16


def made_texts() -> list[tuple[str, str]]:
    rng = np.random.default_rng(0)
    rows = []
    for c in range(CLASSES):
        topics = rng.choice(20, 3, replace=False)
        for _ in range(EACH):
            words = [
                f"all{rng.integers(30)}x"
                if rng.random() < 0.6
                else f"t{rng.choice(topics)}w{rng.integers(15)}x"
                for _ in range(12)
            ]
            rows.append((" ".join(words), f"class {c:02}"))
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on a table, beside the table, a folder of the same texts, and a support set."""
    path = tmp_path_factory.mktemp("texts")
    rows = made_texts()
    with (path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("said", "kind"), *rows])
    for i, (text, name) in enumerate(rows):
        for folder in (path / "all", path / "some")[: 2 if name in ("class 03", "class 07") else 1]:
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / f"{i:03}.txt").write_text(text)
    words = f"--tasks text:{path / 'x.csv'} --text-column said --label-column kind --shot 3"
    words += f" --steps 30 --meta-batch 2 --train-way 4 --way 2 --query 5 --run {path / 'run'}"
    assert main(["train", "protonet", *words.split(), "--validation-episodes", "10"]) == 0
    return path


def test_a_trained_learner_is_no_worse_than_a_nearest_mean_of_tf_idf(run: Path):
    saved = SavedRun.open(run / "run")
    t = saved.settings.tasks
    tasks = episode_tasks(t, "test", 2, 3, 5)
    free = free_opponents(saved.problem)["nearest mean"]
    accuracy = [
        evaluate(learner, tasks, episodes=100, show_progress=False).estimate("accuracy").mean
        for learner in (saved.learner(), free)
    ]
    assert accuracy[1] > 0.6
    assert accuracy[0] >= accuracy[1]


def test_files_and_tables_are_adapted_to_and_predicted(run: Path, capsys):
    out = run / "adapted.qs"
    assert main(f"adapt {run / 'run'} --support {run / 'some'} --out {out}".split()) == 0
    files = sorted((run / "some").rglob("*.txt"))
    rows = predict(out, [*files, run / "x.csv"])
    assert [row.input for row in rows[:2]] == [str(file) for file in files[:2]]
    own = [row.name == file.parent.name for row, file in zip(rows, files, strict=False)]
    assert np.mean(own) > 0.9
    of_table = {row.input: row.probability for row in rows[len(files) :]}
    for row, file in zip(rows, files, strict=False):  # the same texts in a table
        assert of_table[f"{run / 'x.csv'}, row {int(file.stem) + 2}"] == row.probability
    assert predict(out, [run / "some"]) == rows[: len(files)]
    learned, text = quickstudy.load(out), files[0].read_text()
    for same in (text, files[0], [files[0]], [text]):
        assert learned.predict(same).tolist() == [rows[0].name]
    with pytest.raises(UserError, match=r"X\[1\] is the name of a file: give Path\("):
        learned.predict([text, str(run / "x.csv")])


def test_the_run_keeps_its_tokens(run: Path, tmp_path: Path):
    """Training texts that have changed since change no token of the others."""
    saved = SavedRun.open(run / "run")
    inputs = saved.settings.tasks.inputs
    shutil.copytree(run / "all", tmp_path / "all")
    changed = sorted((tmp_path / "all").rglob("*.txt"))
    for file in changed[::2]:
        file.write_text("something else " * 9)
    expected = inputs.brought("", strings([file.read_text() for file in changed]))
    tasks = TaskSettings(f"text:{tmp_path / 'all'}", inputs=inputs)
    np.testing.assert_array_equal(tasks.data.everything.x, expected)
    anew = dataclasses.replace(tasks, inputs=None).data
    assert anew.tokenizer.model != inputs.tokenizer.model


def test_other_inputs_are_refused_in_one_line(run: Path, capsys):
    (run / "t.csv").write_text("a,kind\n" + "".join(f"{i},{i % 5}\n" for i in range(50)))
    words = f"evaluate {run / 'run'} --tasks table:{run / 't.csv'}"
    assert main(words.split()) == 2
    assert "takes texts; table:" in capsys.readouterr().err
    out = run / "other.qs"
    assert main(f"adapt {run / 'run'} --support {run / 't.csv'} --out {out}".split()) == 2
    assert "no column 'said'" in capsys.readouterr().err
    assert not out.exists()
