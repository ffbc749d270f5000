"""The MNIST experiments go the way of every run: trained once, saved, loaded, measured."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from quickstudy.experiments import augmentation, digits, example_weights
from quickstudy.experiments.digits import DigitsRun, training_of
from quickstudy.experiments.reproduce import reproduce
from quickstudy.experiments.results_page import table
from quickstudy.runs.kinds import KINDS
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.train import train_unless_done


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """A few made-up images in the place of MNIST, 30 of them clean."""
    rng = np.random.default_rng(0)
    y = np.arange(100, dtype=np.int32) % 10
    x = rng.integers(0, 256, (100, 28, 28, 1), dtype=np.uint8)
    found = SimpleNamespace(train_x=x, train_y=y, test_x=x[:20], test_y=y[:20])
    monkeypatch.setattr(digits.mnist, "load", lambda: found)
    monkeypatch.setattr(digits, "CLEAN", 30)
    monkeypatch.setattr(digits, "HELD_OUT", 10)
    digits.digits.cache_clear()
    yield
    digits.digits.cache_clear()


def small(run: DigitsRun, steps: int = 3) -> DigitsRun:
    start = run.start and small(run.start, steps)
    return replace(run, training=training_of(steps), hidden=(4,), batch=5, start=start)


def test_weights_are_measured_and_trained_once(tmp_path, monkeypatch):
    runs = {name: small(run) for name, run in example_weights.RUNS.items()}
    monkeypatch.setattr(example_weights, "RUNS", runs)
    row = reproduce(
        "weights-mnist", "cpu", tmp_path / "runs", tmp_path / "results", show_progress=False
    )
    files = {f: f.stat().st_mtime_ns for f in tmp_path.glob("runs/*/learner.qs")}
    assert len(files) == 4
    again = reproduce(
        "weights-mnist", "full", tmp_path / "runs", tmp_path / "results", show_progress=False
    )
    assert {f: f.stat().st_mtime_ns for f in tmp_path.glob("runs/*/learner.qs")} == files
    written = json.loads((tmp_path / "results" / "weights-mnist.json").read_text())
    assert written["budget"] == "cpu"
    for one, two in zip(row["figures"], again["figures"], strict=True):
        assert one["accuracy"] == two["accuracy"]
        assert one["protocol"]["episodes"] == 20
        area = one.get("area under curve")
        assert (area is None) == ("weight" not in one["label"])
        assert area is None or f"{area:.3f} ({one['label']})" in row["differences"]
    assert "a weight for each example" in table(tmp_path / "results")


def test_the_area_under_the_curve_is_of_the_weights_of_the_mislabelled_images(tmp_path):
    run = small(example_weights.RUNS["a weight for each example"], steps=20)
    saved = digits_saved(run, tmp_path)
    v = jax.nn.sigmoid(saved.learner().data.logits)
    right = ~digits.digits(run.share).wrong
    _, words = example_weights.measured(saved)
    assert words["area under curve"] == pytest.approx(roc_auc_score(right, v))


def digits_saved(run: DigitsRun, folder: Path) -> SavedRun:
    return train_unless_done(run, {0: folder / "run"}, show_progress=False)[0]


def test_strengths_are_learned_first_and_then_held(tmp_path):
    runs = augmentation.runs()
    run, as_at_first = (small(runs[f"noise, {how}"]) for how in ("learned", "as at the start"))
    learned, held = (
        digits_saved(one, tmp_path / name)
        for one, name in ((run, "learned"), (as_at_first, "held"))
    )
    assert augmentation.measured(held)[1] == {"strengths": [0.05]}
    at_start = held.learner().data.log_deviation
    after = learned.learner().data.log_deviation
    assert after != at_start
    [first] = (tmp_path / "learned").glob("digits-noise-*/config.json")
    assert DigitsRun.from_json(json.loads(first.read_text())) == run.start
    assert SavedRun.open(first.parent, KINDS[DigitsRun]).learner().data.log_deviation == after


def test_settings_survive_json():
    for run in augmentation.runs().values():
        assert DigitsRun.from_json(json.loads(json.dumps(run.to_json()))) == run
