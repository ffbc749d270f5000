"""Many small data sets in one table, from training to a prediction with an interval."""

import contextlib
import csv
import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

import quickstudy
from quickstudy import checkpoint
from quickstudy.datasets import functions
from quickstudy.datasets.columns import Column
from quickstudy.errors import UserError
from quickstudy.runs.folders import kept_split
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.tasks import episode_tasks
from quickstudy.serving.export import exporting
from quickstudy.settings.run import TaskSettings
from quickstudy.terminal import forget_said

WHAT = ("--task-column", "shop", "--target", "sales")
HIDDEN = ("--hidden", "4")


def write(path, rows, header=("shop", "price", "sun", "sales")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def shop_rows(name, count, rng, unit=1.0):
    """y = 100 + (w + noise): the price matters in each shop in its own way."""
    price, sun = rng.normal(size=(2, count))
    y = 100 + 3 * price * (1 + 0.2 * rng.normal()) - 2 * sun + 0.5 * rng.normal(size=count)
    return [[name, *map(float, row)] for row in zip(unit * price, sun, unit * y, strict=True)]


def shops(path, count=24, rows=20, unit=1.0):
    rng = np.random.default_rng(0)
    return write(path, [r for i in range(count) for r in shop_rows(f"s{i}", rows, rng, unit)])


@pytest.fixture
def train(run, tmp_path):
    def train(table, *words, folder="run"):
        return run(
            *("train", "alpaca", "--tasks", f"table:{table}", *WHAT, *HIDDEN),
            *("--shot", 5, "--steps", 2, "--meta-batch", 2, "--validation-episodes", 4),
            *("--run", tmp_path / folder, *words),
        )

    return train


def test_from_a_table_to_intervals_in_its_own_units(run, train, tmp_path):
    """Of rows that were not seen, 95 % are inside, more or less; other units change nothing."""
    found = {}
    for unit in (1.0, 1000.0):
        table = shops(tmp_path / f"shops {unit}.csv", unit=unit)
        status, said, _ = train(table, folder=f"run {unit}")
        assert status == 0
        assert "15 train, 4 validation, 5 test tasks" in said
        assert "rmse is in the units of the table" in said
        rng = np.random.default_rng(9)
        rows = shop_rows("new", 205, rng, unit)
        support = write(tmp_path / "new.csv", [r[1:] for r in rows[:5]], ("price", "sun", "sales"))
        asked = write(tmp_path / "asked.csv", [[r[2], r[1]] for r in rows[5:]], ("sun", "price"))
        out = tmp_path / f"{unit}.qs"
        status, _, printed = run(
            "adapt", tmp_path / f"run {unit}", "--support", support, "--out", out
        )
        assert status == 0
        assert "ridge" in printed
        status, _, printed = run("predict", out, asked, "--json")
        assert status == 0
        answers = json.loads(printed)
        function, rows_asked = quickstudy.load(out), [(r[1], r[2]) for r in rows[5:]]
        for given in (asked, rows_asked, [{"sun": s, "price": p} for p, s in rows_asked]):
            mean, deviation = function.predict(given, return_std=True)
            np.testing.assert_allclose(mean, [a["mean"] for a in answers], rtol=1e-5)
        low, high = function.predict_interval(rows_asked)
        np.testing.assert_allclose(low, [a["low"] for a in answers], rtol=1e-4)
        np.testing.assert_allclose(high - low, 2 * 1.959964 * deviation, rtol=1e-4)
        if unit == 1:
            exported_and_far_from_0(out, tmp_path, rows_asked)
            assert exporting.export(out, tmp_path / "function.stablehlo") <= 1e-5
        file, absent = tmp_path / "forecasts.csv", tmp_path / "none.csv"
        assert run("predict", out, asked, absent, "--out", file)[0] == 1
        *many, error = csv.DictReader(file.open(newline=""))
        assert [float(row["mean"]) for row in many] == [a["mean"] for a in answers]
        assert "there is no file" in error["error"]
        file.unlink()
        header, arrays = checkpoint.read(out)
        for word in header if unit == 1 else ():
            for value in (None, [], "x"):
                checkpoint.save(tmp_path / "altered.qs", arrays, {**header, word: value})
                with contextlib.suppress(UserError):
                    quickstudy.load(tmp_path / "altered.qs")
        inside = [a["low"] <= r[3] <= a["high"] for a, r in zip(answers, rows[5:], strict=True)]
        assert 0.88 < np.mean(inside) < 1.0
        found[unit] = np.asarray([[a["mean"], a["low"], a["high"]] for a in answers]) / unit
    np.testing.assert_allclose(found[1000.0], found[1.0], rtol=2e-3)
    refusals(run, tmp_path, tmp_path / f"run {unit}", table)
    best_methods(run, tmp_path, tmp_path / f"run {unit}", table)


def test_evaluate_keeps_the_tasks_of_the_run_by_their_names(run, train, tmp_path):
    table = shops(tmp_path / "shops.csv")
    assert train(table)[0] == 0
    split = json.loads((tmp_path / "run/split.json").read_text())
    assert len({*split["train"], *split["validation"], *split["test"]}) == 24
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["tasks"]["task_column"] == "shop"
    status, _, printed = run("evaluate", tmp_path / "run", "--episodes", 10, "--json")
    assert status == 0
    [result] = json.loads(printed)["results"]
    saved = SavedRun.open(tmp_path / "run")
    unit = saved.settings.tasks.inputs.target_deviation
    assert result["protocol"]["tasks"] == len(split["test"])
    assert 0.5 * unit**2 * result["mse"]["mean"] < result["rmse"]["mean"] ** 2
    assert result["rmse"]["mean"] ** 2 <= unit**2 * result["mse"]["mean"] * 1.001
    shops(table, count=25)
    status, said, _ = run("evaluate", tmp_path / "run", "--episodes", 2)
    assert status == 0
    assert "has 1 task that the run does not know, 's24'" in said


def test_a_run_of_classes_has_no_word_of_columns_of_tasks():
    from quickstudy.settings.learners import ProtoNetSettings
    from quickstudy.settings.run import RunSettings

    found = RunSettings(ProtoNetSettings(), TaskSettings()).to_json()
    assert not {"task_column", "target", "time_column"} & set(found["tasks"])
    assert kept_split([], TaskSettings()) is None


SERIES = [
    ("b", "2024-01-03", 30),
    ("a", "2024-01-01 12:00", 1),
    ("b", "2024-01-01", 10),
    ("a", "2024-01-04 12:00", 4),
    ("b", "2024-01-02", 20),
    ("c", "2024-01-02", 7),
    ("a", "2024-01-02 12:00", 2),
]


def test_time_is_in_days_from_the_first_row_of_a_task_and_rows_are_in_its_order(tmp_path, capsys):
    forget_said()
    table = write(tmp_path / "series.csv", SERIES, ("shop", "date", "sales"))
    found = functions.load(table, "shop", "sales", "date")
    assert found.names == ("a", "b")
    assert found.columns == (Column("date", "number"),)
    np.testing.assert_allclose(found.x, [[0, 1], [1, 2], [3, 4], [0, 10], [1, 20], [2, 30]])
    assert "1 of 3 tasks (--task-column shop) have one row alone" in capsys.readouterr().err


def test_forecasts_are_of_later_rows_and_short_tasks_give_what_they_have(tmp_path):
    rows = [(f"s{i}", t, t) for i in range(8) for t in range(3 if i % 2 else 12)]
    table = write(tmp_path / "series.csv", rows, ("shop", "week", "sales"))
    options = {"task_column": "shop", "target": "sales", "time_column": "week"}
    t = TaskSettings(f"table:{table}", **options)
    for in_time in (True, False):
        chosen = (
            t if in_time else TaskSettings(f"table:{table}", task_column="shop", target="sales")
        )
        tasks = episode_tasks(chosen, "train", None, 4, 3)
        drawn = jax.vmap(tasks.sample)(jax.random.split(jax.random.key(0), 100))
        told, asked = (np.asarray(x.y)[..., 0] for x in (drawn.support, drawn.query))
        numbers = {
            (int(a), int(b))
            for a, b in zip(*((~np.isnan(y)).sum(1) for y in (told, asked)), strict=True)
        }
        assert numbers == {(4, 3), (2, 1)}
        if in_time:
            assert (np.nanmax(told, 1) < np.nanmin(asked, 1)).all()
            both = np.concatenate([told, asked], axis=1)
            steps = np.asarray(
                [np.diff(row[~np.isnan(row)]) for row in both if not np.isnan(row).any()]
            )
            assert np.allclose(steps, steps[0, 0])
        else:
            assert (np.nanmax(told, 1) > np.nanmin(asked, 1)).any()
        for one, other in zip(told, asked, strict=True):  # no row twice
            values = np.concatenate([one, other])
            values = values[~np.isnan(values)]
            assert len(set(values.tolist())) == len(values)


def test_a_test_meets_each_task_as_often(tmp_path):
    rows = [(f"s{i}", t, 100 * i + t) for i in range(10) for t in range(4)]
    table = write(tmp_path / "table.csv", rows, ("shop", "week", "sales"))
    tasks = episode_tasks(
        TaskSettings(f"table:{table}", task_column="shop", target="sales"), "train", None, 2, 2
    )
    count = tasks.protocol()["tasks"]
    numbered = jax.vmap(tasks.numbered)(
        jax.random.split(jax.random.key(0), 2 * count), jnp.arange(2 * count)
    )
    middles = np.round(np.asarray(numbered.query.y).mean((1, 2)), 1)
    np.testing.assert_allclose(middles[:count], middles[count:], atol=0.1)
    assert len(set(middles.tolist())) >= count


MISTAKES = {
    "no column 'custmer' (--task-column)": ("--task-column", "custmer", "--target", "sales"),
    "no column 'sale' (--target)": ("--task-column", "shop", "--target", "sale"),
    "no column 'day' (--time-column)": (*WHAT, "--time-column", "day"),
    "--task-column needs --target": ("--task-column", "shop"),
    "it goes with --task-column": ("--target", "sales"),
    "must be different columns": ("--task-column", "shop", "--target", "shop"),
    "has none": (*WHAT, "--labelled", "0.5"),
    "--way": (*WHAT, "--way", "3"),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_in_the_columns_is_one_line_that_names_the_option(run, tmp_path, said):
    table = shops(tmp_path / "shops.csv", count=6, rows=3)
    status, found, _ = run(
        "train", "alpaca", "--tasks", f"table:{table}", *MISTAKES[said], "--run", tmp_path / "r"
    )
    assert status == 2
    assert said in found.strip().splitlines()[-1]


TABLES = {
    "row 3, column 'sales': 'many' is not a finite number": [("a", 1, 2), ("a", 1, "many")],
    "has 1 task, and the fewest to train and test on are 4": [("a", 1, 2), ("a", 3, 4)],
    "no 'shop' has two rows": [("a", 1, 2), ("b", 3, 4)],
    "has no rows": [],
    "'sales' is the same in all training rows": [(s, t, 7) for s in "abcdef" for t in range(3)],
}


@pytest.mark.parametrize("said", TABLES)
def test_a_mistake_in_a_table_is_one_line(run, tmp_path, said):
    table = write(tmp_path / "t.csv", TABLES[said], ("shop", "price", "sales"))
    status, found, _ = run(
        "train", "alpaca", "--tasks", f"table:{table}", *WHAT, "--run", tmp_path / "r"
    )
    assert status == 2
    assert said in found.strip().splitlines()[-1]


def test_times_that_are_none_are_refused(tmp_path):
    for cell, said in (("soon", "neither a number nor a date"), ("7", "both numbers and dates")):
        rows = [("a", "2024-01-01", 1), ("a", cell, 2)]
        table = write(tmp_path / "t.csv", rows, ("shop", "date", "sales"))
        with pytest.raises(UserError, match=re.escape(said)):
            functions.load(table, "shop", "sales", "date")


def exported_and_far_from_0(out, tmp_path, rows_asked):
    """ONNX says the same; targets of 10⁹ lose no digits, and the check allows for float32."""
    assert exporting.export(out, tmp_path / "function.onnx") <= 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "function.onnx")
    about = json.loads((tmp_path / "function.onnx.json").read_text())
    names = [output.name for output in session.get_outputs()]
    assert names == [output["name"] for output in about["outputs"]] == ["mean", "deviation"]
    function = quickstudy.load(out)
    inputs = dataclasses.replace(function.inputs, target_mean=1e9, target_deviation=1.0)
    tasks = dataclasses.replace(function.settings.tasks, inputs=inputs)
    settings = dataclasses.replace(function.settings, tasks=tasks)
    far = dataclasses.replace(function, settings=settings)
    mean = function.predict(rows_asked) - function.inputs.target_mean
    mean /= function.inputs.target_deviation
    np.testing.assert_allclose(far.predict(rows_asked) - 1e9, mean, atol=1e-6)
    assert exporting.differences(far, exporting.function_of(far))[0] <= 1e-5
    assert (exporting.inputs_to_check(function) < -1).any()


def best_methods(run, tmp_path, trained, table):
    """Where the inputs say nothing, the mean is written, and its interval is that of a mean; the
    run's data are needed for one of the methods alone."""
    rng = np.random.default_rng(4)
    price, sun = rng.normal(size=(2, 14))
    y = 7e4 + 900 * rng.permutation([-1.0, 1.0] * 7)
    alone = write(
        tmp_path / "alone.csv", zip(price, sun, y, strict=True), ("price", "sun", "sales")
    )
    out = tmp_path / "best.qs"
    where = ("adapt", trained, "--support", alone, "--best", "--out", out)
    status, said, printed = run(*where)
    assert status == 0
    assert "alpaca is behind mean, which needs no training" in said
    assert "--best takes" not in said
    assert "one for all" in printed
    assert "method: mean; its intervals are of" in printed
    [answer, *_] = json.loads(run("predict", out, alone, "--json")[2])
    assert answer["mean"] == pytest.approx(y.mean(), rel=1e-4)
    half = 1.96 * y.std(ddof=1) * np.sqrt(1 + 1 / 14)
    assert answer["high"] - answer["mean"] == pytest.approx(half, rel=1e-3)
    table.rename(tmp_path / "gone.csv")
    status, said, printed = run(*where)
    assert status == 0
    assert "'one for all' is not measured" in said
    assert "method: mean" in printed


def refusals(run, tmp_path, trained, table):
    """Rows of several tasks, other columns, and other files to write to."""
    where = ("adapt", trained, "--support")
    assert "has rows of 24 tasks (column 'shop')" in run(*where, table, "--out", tmp_path / "o")[1]
    rows = write(tmp_path / "one.csv", [(1, 2)], ("price", "sales"))
    assert "no sun" in run(*where, rows, "--out", tmp_path / "o")[1]
    assert not (tmp_path / "o").exists()
    whole = write(tmp_path / "one.csv", [(1, 1, 2)], ("price", "sun", "sales"))
    other = tmp_path / "thesis.txt"
    other.write_text("mine")
    assert "is not an adapted function" in run(*where, whole, "--out", other)[1]
    assert other.read_text() == "mine"
    for words in (["--forget"], ["--false-alarms", "0.2"], ["--embed", "model.onnx"]):
        said = run(*where, whole, "--out", tmp_path / "o", *words)[1]
        assert f"{words[0]} is for classes" in said
        assert not (tmp_path / "o").exists()
    status, said, _ = run(*where, whole, "--out", tmp_path / "one.qs")
    assert status == 0
    assert "there is one row, so none can be left out" in said
    said = run("predict", tmp_path / "one.qs", whole, "--embed", "model.onnx")[1]
    assert "--embed is for classes" in said
    exporting.export(trained, tmp_path / "run.safetensors")
    assert (tmp_path / "run.safetensors").exists()
