"""From a run's folder to the report's data."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.evaluation import Comparison
from quickstudy.report import collect as collecting
from quickstudy.report import confusions as confusing
from quickstudy.report.collect import collect, compare_report, write, write_comparison
from quickstudy.report.data import CurveEpisode, ImageEpisode
from quickstudy.report.drawn import drawn, embedded
from quickstudy.report.opened import OpenedRun
from quickstudy.runs.train import train, train_seeds
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import (
    LSTMSettings,
    MAMLSettings,
    PixelsSettings,
    ProtoNetSettings,
)
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.tasks.few_shot import FewShot

SMALL = NetworkSettings("mlp-norm", hidden=(16, 16))


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little of everything that takes time."""
    monkeypatch.setattr(collecting, "INNER_STEPS", (0, 2))
    monkeypatch.setattr(collecting, "SHOTS", (1, 2, 50))
    monkeypatch.setattr(collecting, "SWEEP_EPISODES", 10)
    monkeypatch.setattr(confusing, "CONFUSED_EPISODES", 60)


def trained(folder: Path, learner: LearnerSettings, tasks: TaskSettings, steps: int) -> Path:
    """A run in a new folder."""
    training = TrainingSettings(steps=steps, meta_batch=2, validation_episodes=5, patience=20)
    train(RunSettings(learner, tasks, training), folder, show_progress=False)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs on noisy copies of 30 random 6 × 6 images, by the learner's name. Classes 0 and 1
    are the same image, and so are 2 and 3 …; a split by number keeps such twins together."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    images = np.repeat(rng.uniform(0, 1, (15, 6, 6, 1)), 2, axis=0)
    y = np.repeat(np.arange(30), 10)
    x = images[y] + rng.normal(0, 0.05, (300, 6, 6, 1))
    np.savez(root / "noise.npz", x=x, y=np.char.add("class", y.astype(str)))
    parts = {"train": range(16), "validation": range(16, 22), "test": range(22, 30)}
    names = {part: [f"class{k}" for k in numbers] for part, numbers in parts.items()}
    (root / "split.json").write_text(json.dumps(names))
    split = str(root / "split.json")
    sizes = {"way": 3, "shot": 1, "query": 4, "train_way": 3, "train_shot": 1, "train_query": 4}
    tasks = TaskSettings(f"npz:{root / 'noise.npz'}", split=split, **sizes)
    return {
        "pixels": trained(root / "pixels", PixelsSettings(), tasks, 0),
        "protonet": trained(root / "protonet", ProtoNetSettings(SMALL), tasks, 20),
        "maml": trained(root / "maml", MAMLSettings(SMALL), tasks, 4),
    }


def test_every_section_of_a_run(runs: dict[str, Path]) -> None:
    data = collect(runs["protonet"], episodes=20, show_progress=False)
    assert data.title == "protonet on noise.npz, 3-way 1-shot"
    assert data.metric == "accuracy"
    assert data.chance == pytest.approx(1 / 3)
    opponents = {"nearest neighbour", "nearest mean", "ridge", "logistic regression"}
    names = {"protonet", "protonet, batch statistics", *opponents}
    assert {row.name for row in data.rows} == names
    assert "needs no training" in data.verdict
    assert sum(row.difference is None for row in data.rows) == 1
    assert {"transductive" in row.mode for row in data.rows} == {True, False}
    assert data.protocol is not None
    assert {"data", "split", "way", "batch norm", "commit", "versions"} <= set(data.protocol)
    (curve,) = data.curves
    assert curve.steps.tolist() == list(range(1, 21))
    assert len(curve.validation) == 21  # and before the first step
    (shots,) = data.sweeps
    assert shots.setting == "shots"
    assert shots.lines[0].x.tolist() == [1, 2]
    assert [c.counts.sum() for c in data.calibration] == [240, 240]
    assert data.embedding is not None
    assert data.embedding.points.shape == (12, 2)
    assert data.embedding.prototypes is not None


def test_the_episode_is_the_first_that_was_measured(runs: dict[str, Path]) -> None:
    run = OpenedRun.open(runs["pixels"])
    episode, embedding = drawn(run, seed=3)
    assert embedding is None
    assert isinstance(episode, ImageEpisode)
    result = run.measure(1, seed=3)
    right = np.argmax(episode.probabilities, 1) == episode.query_labels
    assert right.mean() == pytest.approx(result.metrics["accuracy"][0])
    assert episode.support_images.min() >= 0
    assert episode.query_images.max() <= 1


def test_the_classes_of_an_episode_are_those_it_was_cut_from(runs: dict[str, Path]) -> None:
    tasks = OpenedRun.open(runs["pixels"]).tasks
    assert isinstance(tasks, FewShot)
    key = jax.random.key(7)
    episode = tasks.sample(key)
    classes = tasks.chosen(key)
    of_class = jax.vmap(lambda c: tasks.source.draw(key, c, 10))(jnp.asarray(classes))
    for label, examples in enumerate(of_class):
        gap = jnp.abs(examples - episode.support.x[label]).max((1, 2, 3))
        assert gap.min() == 0


def test_twins_are_what_gets_confused(runs: dict[str, Path]) -> None:
    confusions = confusing.confused(OpenedRun.open(runs["pixels"]), seed=0)
    numbers = [(int(c.true[5:]), int(c.predicted[5:])) for c in confusions]
    assert len(numbers) == 6
    assert all(true // 2 == predicted // 2 for true, predicted in numbers)
    assert all(0.2 < c.count / c.total < 0.9 for c in confusions)
    assert confusions[0].true_image is not None
    assert confusions[0].true_image.shape == (6, 6, 1)


def test_principal_components_keep_a_plane_as_it_is() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(20, 2)) * [3, 1]
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    labels, prototypes = np.arange(20) % 4, rng.normal(size=(4, 2))
    found = embedded(list("abcd"), flat @ turn + 7, labels, prototypes @ turn + 7)
    assert found is not None
    assert found.explained == pytest.approx(1)
    assert found.prototypes is not None
    here = np.linalg.norm(found.points[:, None] - found.prototypes, axis=-1)
    there = np.linalg.norm(flat[:, None] - prototypes, axis=-1)
    np.testing.assert_allclose(here, there, rtol=1e-6)
    assert embedded(["a"], np.ones((5, 3)), labels[:5], None) is None


def test_maml_is_swept_over_inner_steps(runs: dict[str, Path]) -> None:
    run = OpenedRun.open(runs["maml"])
    (sweep,) = collecting.steps_sweep(run, seed=0)
    assert sweep.lines[0].x.tolist() == [0, 2]
    assert (sweep.lines[0].mean >= 0).all()
    assert list(collecting.other_mode(run, 5, 0)) == ["maml, support statistics"]
    predicted = run.as_predicted()  # each query by itself
    assert predicted.learner.normalised_by == "support"
    assert predicted.having(test_steps=2).learner.normalised_by == "support"
    assert list(collecting.other_mode(predicted, 5, 0)) == ["maml, batch statistics"]
    assert collecting.steps_sweep(OpenedRun.open(runs["pixels"]), seed=0) == []
    assert collecting.other_mode(OpenedRun.open(runs["pixels"]), 5, 0) == {}


def test_a_log_that_ends_in_the_middle_of_a_line(tmp_path: Path) -> None:
    lines = [{"step": 1, "loss": 2.0, "mse": 3.0}, {"step": 1, "validation mse": 4.0}]
    text = "".join(json.dumps(row) + "\n" for row in lines) + '{"step": 2, "lo'
    (tmp_path / "metrics.jsonl").write_text(text)
    (curve,) = collecting.curves({"a": tmp_path, "untrained": tmp_path / "none"}, "mse")
    assert (curve.steps.tolist(), curve.loss.tolist(), curve.metric.tolist()) == ([1], [2], [3])
    assert (curve.validation_steps.tolist(), curve.validation.tolist()) == ([1], [4])


def test_a_curve_is_drawn_before_and_after_adapting(tmp_path: Path) -> None:
    tasks = TaskSettings("sinusoid", shot=5, query=5)
    data = collect(
        trained(tmp_path / "run", MAMLSettings(), tasks, 3), episodes=5, show_progress=False
    )
    assert data.title == "maml on sinusoid, 5 points"
    assert (data.metric, data.higher_is_better, data.chance) == ("mse", False, None)
    episode = data.episode
    assert isinstance(episode, CurveEpisode)
    assert (np.diff(episode.x) > 0).all()
    assert list(episode.predictions) == ["before adapting", "after 1 step", "after 10 steps"]
    assert (
        np.abs(np.interp(episode.support_x, episode.x, episode.truth) - episode.support_y).max()
        < 0.1
    )
    assert [sweep.setting for sweep in data.sweeps] == ["inner steps"]
    assert data.confusions == []
    assert data.rows[0].mode == "no batch norm"


def test_several_runs_on_one_page(runs: dict[str, Path], tmp_path: Path) -> None:
    comparison = Comparison(
        {name: OpenedRun.open(run).measure(20, 0) for name, run in runs.items()}
    )
    data = compare_report(runs, comparison)
    assert data.title == "3 learners on noise.npz, 3-way 1-shot"
    assert data.rows[0].name == comparison.best
    assert [row.difference is None for row in data.rows] == [True, False, False]
    assert {curve.name for curve in data.curves} == {"protonet", "maml"}
    assert len(data.calibration) == 3
    page = write_comparison(runs, comparison, tmp_path / "out" / "report.html")
    assert "What gets confused" in page.read_text("utf-8")


def test_the_page_lies_in_the_run(runs: dict[str, Path]) -> None:
    page = write(runs["pixels"])
    assert page == runs["pixels"] / "report.html"
    assert "pixels on noise.npz" in page.read_text("utf-8")


def test_sequences_are_told_by_presentation(tmp_path: Path) -> None:
    tasks = TaskSettings("glyphs", way=3, sequence=30, image_size=16)
    run = trained(tmp_path / "run", LSTMSettings(width=8), tasks, 2)
    data = collect(run, episodes=5, show_progress=False)
    assert data.title == "lstm on glyphs, sequences of 30 of 3 classes"
    (sweep,) = data.sweeps
    assert sweep.setting == "presentations"
    assert sweep.lines[0].x.tolist() == list(range(1, 11))
    assert ((sweep.lines[0].mean >= 0) & (sweep.lines[0].mean <= 1)).all()
    assert data.episode is None
    assert data.confusions == []


def test_several_seeds_are_one_row_with_an_interval_over_trainings(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    tasks = OpenedRun.open(runs["protonet"]).settings.tasks
    settings = RunSettings(ProtoNetSettings(SMALL), tasks, TrainingSettings(steps=0))
    folders = {seed: tmp_path / f"seed-{seed}" for seed in (3, 4)}
    train_seeds(settings, folders, show_progress=False)
    run = OpenedRun.open(tmp_path)
    assert run.folders == folders
    data = collect(tmp_path, episodes=20, show_progress=False)
    assert {row.headline.covers for row in data.rows} == {
        "over 2 trainings and 20 test episodes together",
        "over 20 test episodes; nothing is trained",
    }
    each = [OpenedRun.open(folder).measure(20, 0).estimate().mean for folder in folders.values()]
    (own,) = (row for row in data.rows if row.name == "protonet")
    assert own.headline.mean == pytest.approx(np.mean(each))
    assert data.protocol is not None
    assert data.protocol["training seeds"] == [3, 4]
    assert list(collecting.trainings(run)) == ["protonet, seed 3", "protonet, seed 4"]
    episode, _ = drawn(run, seed=0)
    first, _ = drawn(OpenedRun.open(folders[3]), seed=0)
    assert isinstance(episode, ImageEpisode)
    assert isinstance(first, ImageEpisode)
    np.testing.assert_array_equal(episode.probabilities, first.probabilities)
