"""Every command brings inputs to those that the run was trained on, or refuses them in one line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quickstudy import checkpoint
from quickstudy.cli import main
from quickstudy.data.inputs import Inputs
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.inputs import read_queries

EPISODES = ("--way", 2, "--shot", 1, "--query", 2)
TRAIN = (*EPISODES, "--train-way", 2, "--train-query", 2, "--image-size", 16)


@pytest.fixture
def run(capsys):
    """A command that succeeds; what it prints, and what it says on standard error."""

    def run(*words: object) -> tuple[str, str]:
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return captured.out, captured.err

    return run


@pytest.fixture
def mistake(capsys):
    """A command that must fail; the one line that it says, beside what a table holds."""

    def mistake(*words: object) -> str:
        assert main([str(word) for word in words]) == 2
        captured = capsys.readouterr()
        lines = captured.err.strip().splitlines()
        said = [line for line in lines if not re.search(r"^evaluating: | has \d+ columns?: ", line)]
        assert len(said) == 1, lines
        assert said[0].startswith("quickstudy: ")
        return said[0]

    return mistake


@pytest.fixture
def pixels(run, tmp_path: Path):
    """A run of raw pixels on some tasks: nothing is trained. What was said is `said`."""

    def pixels(tasks: str, name: str = "run", *options: object) -> Path:
        folder = tmp_path / name
        run("train", "pixels", "--tasks", tasks, "--run", folder, *TRAIN, *options)
        return folder

    return pixels


def npz(path: Path, x: np.ndarray, each: int = 4) -> str:
    """An .npz of classes of so many rows."""
    np.savez(path, x=x, y=np.arange(len(x)) // each)
    return f"npz:{path}"


def accuracy(run, folder: Path, *options: object) -> float:
    """What evaluate measures."""
    printed, _ = run("evaluate", folder, "--episodes", 20, "--json", *options)
    result = json.loads(printed)["results"][0]
    return result["accuracy"]["mean"] if "accuracy" in result else result["mean"]


def test_inputs_of_another_shape(pixels, mistake, tmp_path: Path):
    rng = np.random.default_rng(0)
    features = npz(tmp_path / "features.npz", rng.normal(size=(40, 5)).astype(np.float32))
    of_features = pixels(features, "of-features")
    of_glyphs = pixels("glyphs", "of-glyphs")
    says = f"the learner in {of_features} takes 5 features; glyphs holds images of 16 × 16 × 1"
    options = ("--episodes", 2)
    assert says in mistake("evaluate", of_features, "--tasks", "glyphs", *options)
    assert f"the learner in {of_glyphs} takes images of 16 × 16 × 1; {features} holds 5" in mistake(
        "evaluate", of_glyphs, "--tasks", features, *options
    )
    assert f"{of_glyphs} takes images of 16 × 16 × 1; {features} holds 5 features" in mistake(
        "compare", of_features, of_glyphs, *options
    )
    assert says in mistake("compare", of_glyphs, of_features, *options)


def test_units_of_pictures(run, pixels, mistake, tmp_path: Path):
    x = np.random.default_rng(0).integers(0, 256, (80, 16, 16, 1)).astype(np.uint8)
    folder = pixels(npz(tmp_path / "bytes.npz", x))
    shares = npz(tmp_path / "shares.npz", x.astype(np.float32) / 255)
    figure = accuracy(run, folder)
    assert accuracy(run, folder, "--tasks", shares) == figure
    wrong = npz(tmp_path / "wrong.npz", x.astype(np.float32))
    says = "wrong.npz: its pixels go from 0 to 255"
    assert says in mistake("evaluate", folder, "--tasks", wrong, "--episodes", 2)
    out = tmp_path / "new.qs"
    support = ("--support", tmp_path / "wrong.npz", "--out", out)
    assert says in mistake("adapt", folder, *support)
    run("adapt", folder, "--support", tmp_path / "bytes.npz", "--out", out)
    assert says in mistake("predict", out, tmp_path / "wrong.npz")
    real = pixels(wrong, "real")
    assert "holds bytes" in mistake(
        "adapt", real, "--support", tmp_path / "bytes.npz", *support[2:]
    )
    assert "glyphs holds bytes" in mistake("evaluate", real, "--tasks", "glyphs", "--episodes", 2)


def table(path: Path, columns: dict[str, np.ndarray], each: int = 4) -> str:
    """A table of classes of so many rows."""
    rows = zip(*columns.values(), strict=True)
    lines = [
        f"{','.join(map(repr, map(float, row)))},kind{i // each}" for i, row in enumerate(rows)
    ]
    path.write_text("\n".join([",".join([*columns, "label"]), *lines]) + "\n")
    return f"table:{path}"


def test_columns_of_a_table(run, pixels, mistake, tmp_path: Path):
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(20, 2)), 4, axis=0)
    a, b = (centres + 0.4 * rng.normal(size=(80, 2))).T * [[1], [1000]]
    folder = pixels(table(tmp_path / "ab.csv", {"a": a, "b": b}))
    figure = accuracy(run, folder)
    turned = table(tmp_path / "ba.csv", {"b": b, "a": a})
    assert accuracy(run, folder, "--tasks", turned) == figure
    others = table(tmp_path / "ac.csv", {"a": a, "c": b})
    assert "ac.csv has the features a, c (no b; also c)" in mistake(
        "evaluate", folder, "--tasks", others, "--episodes", 2
    )
    units = table(tmp_path / "units.csv", {"a": a, "b": 1000 * b})  # by the run's scale, b rules
    printed, said = run("evaluate", folder, "--tasks", units, "--episodes", 20, "--json")
    assert "units.csv: b lies up to" in said
    only_b = pixels(table(tmp_path / "b.csv", {"b": b}), "only-b")
    assert json.loads(printed)["results"][0] != figure
    assert accuracy(run, folder, "--tasks", units) == pytest.approx(accuracy(run, only_b), abs=0.02)
    run("report", folder)
    run("adapt", folder, "--support", tmp_path / "ba.csv", "--out", tmp_path / "new.qs")
    (tmp_path / "twice.csv").write_text("a,a,b\n1,1,2\n")
    assert "two columns of the same name" in mistake(
        "predict", tmp_path / "new.qs", tmp_path / "twice.csv"
    )
    for text in ("label\n", "label\nx\n"):
        (tmp_path / "only_label.csv").write_text(text)
        assert "no column but 'label'" in mistake(
            "predict", tmp_path / "new.qs", tmp_path / "only_label.csv"
        )


def letters(folder: Path, ground: int, classes: int = 11, framed: int = 3) -> Path:
    """Classes of four drawings, a square at a place of its own; in the first `framed` classes the
    strokes fill the border."""
    for c in range(classes):
        (folder / f"class{c}").mkdir(parents=True)
        for i in range(4):
            x = np.full((16, 16), ground, np.uint8)
            x[2 + c : 5 + c, 3 + i : 11] = 255 - ground
            if c < framed:
                x[[0, -1]] = x[:, [0, -1]] = 255 - ground
            Image.fromarray(x).save(folder / f"class{c}" / f"{i}.png")
    return folder


def test_a_run_keeps_what_is_ink(run, tmp_path: Path):
    dark = letters(tmp_path / "dark", 255)
    words = ("train", "pixels", "--run", tmp_path / "run", *TRAIN)
    _, said = run(*words, "--tasks", f"folder:{dark}")
    assert f"folder:{dark} is read as dark ink on a light ground (27 % of the" in said
    assert said.count("is read as") == 1
    folder = tmp_path / "run"
    out, all_framed = tmp_path / "new.qs", letters(tmp_path / "framed", 255, 3, 3)
    _, said = run("adapt", folder, "--support", all_framed, "--out", out)
    assert f"{all_framed} is read as dark ink on a light ground (100 %" in said
    kept = checkpoint.read_header(out)["inputs"]
    assert kept["ink"] == checkpoint.read_header(folder / "learner.qs")["inputs"]["ink"] == "dark"
    _, x = read_queries(Inputs.from_json(kept), [all_framed / "class0" / "0.png"])
    assert x[0, 3, 5, 0] == x[0, 0, 0, 0] == 1  # a dark border as well
    assert x[0, 12, 12, 0] == 0
    run("predict", out, all_framed)
    _, said = run("evaluate", folder, "--tasks", f"folder:{letters(tmp_path / 'light', 0)}")
    assert "is read as dark ink on a light ground (73 %" in said
    assert "as in training" in said


def test_ink_can_be_said(run, mistake, tmp_path: Path):
    dark = letters(tmp_path / "letters", 255)
    run("train", "pixels", "--run", tmp_path / "a", *TRAIN, "--tasks", f"folder:{dark}")
    words = ("train", "pixels", "--run", tmp_path / "b", *TRAIN, "--tasks", f"folder:{dark}")
    _, said = run(*words, "--ink", "light")
    assert "light ink on a dark ground (73 % of the pictures have a light border)" in said
    for name, ink in (("a", "dark"), ("b", "light")):
        assert checkpoint.read_header(tmp_path / name / "learner.qs")["inputs"]["ink"] == ink
    assert "ink" not in json.loads((tmp_path / "a" / "config.json").read_text())["tasks"]
    run("evaluate", tmp_path / "b", "--tasks", "glyphs", "--episodes", 2)
    printed, _ = run("data", f"folder:{dark}", "--out", tmp_path / "p", "--ink", "light")
    assert "is read as light ink on a dark ground" in printed
    packed = json.loads((tmp_path / "p" / "classes.json").read_text())
    assert packed["ink"] == "light"
    run("train", "pixels", "--run", tmp_path / "c", *TRAIN, "--tasks", f"packed:{tmp_path / 'p'}")
    assert checkpoint.read_header(tmp_path / "c" / "learner.qs")["inputs"]["ink"] == "light"
    assert "--ink dark is for" in mistake(
        "train", "pixels", "--run", tmp_path / "d", "--tasks", "glyphs", "--ink", "dark"
    )
    assert "--ink dark is for" in mistake("data", "omniglot", "--ink", "dark")


def test_a_run_of_an_older_quickstudy_says_what_it_does(run, pixels, tmp_path: Path):
    folder = pixels(f"folder:{letters(tmp_path / 'dark', 255)}")
    path = folder / "learner.qs"
    header = checkpoint.read_header(path)
    del header["inputs"]
    checkpoint.save(path, SavedRun.open(folder).learner(), header)
    light = letters(tmp_path / "light", 0)
    _, said = run("adapt", folder, "--support", light, "--out", tmp_path / "new.qs")
    assert f"{folder} does not say what is ink" in said
    assert f"{light} is read as light ink on a dark ground" in said
    assert checkpoint.read_header(tmp_path / "new.qs")["inputs"]["ink"] == "light"
    _, said = run("evaluate", folder, "--episodes", 2)
    assert f"{tmp_path / 'dark'} is read as dark ink" in said


def test_an_empty_path_is_not_the_current_folder(mistake, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(letters(tmp_path / "letters", 255))
    for words in [
        ("predict", "new.qs", ""),
        ("predict", "", "a.png"),
        ("adapt", "run", "--support", "", "--out", "new.qs"),
        ("adapt", "run", "--support=", "--out", "new.qs"),
        ("train", "pixels", "--run", ""),
        ("report", ""),
    ]:
        assert "an argument is empty" in mistake(*words)
    assert sorted(p.name for p in Path().iterdir())[0] == "class0"


def test_a_learner_of_any_table_takes_other_features(run, pixels, tmp_path: Path):
    rng = np.random.default_rng(0)
    words = ("--layers", 1, "--width", 4, "--steps", 0, "--features", 3, "--way", 5, "--query", 2)
    folder = tmp_path / "tables"
    run("train", "in-context", "--tasks", "synthetic-tables", "--run", folder, *words)
    centres = np.repeat(rng.normal(size=(12, 2)), 4, axis=0)
    a, b = (centres + 0.1 * rng.normal(size=(48, 2))).T * [[1], [1000]]
    both = table(tmp_path / "ab.csv", {"a": a, "b": b})
    assert accuracy(run, folder, "--tasks", both, *EPISODES) > 0.5


def test_runs_that_scale_a_table_differently_are_compared_on_it(run, tmp_path):
    rng = np.random.default_rng(0)
    table = tmp_path / "t.csv"
    rows = [(*rng.normal(100 * c, 1, 3), f"c{c}") for c in range(12) for _ in range(6)]
    table.write_text("a,b,c,label\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    small = ("--way", "2", "--query", "2", "--steps", "0", "--run")
    paths = [tmp_path / name for name in ("one", "other", "any")]
    for seed, path in enumerate(paths[:2]):
        run("train", "protonet", "--tasks", f"table:{table}", "--split-seed", seed, *small, path)
    run("train", "in-context", "--tasks", "synthetic-tables", "--steps", "0", "--run", paths[2])
    for path in paths[1:]:
        _, said = run("compare", paths[0], path, "--episodes", 2)
        assert "are the units the same" not in said
