"""Which classes a run trains on."""

import numpy as np
import pytest

from quickstudy.datasets import omniglot
from quickstudy.datasets.grouped import Grouped
from quickstudy.errors import UserError
from quickstudy.recipes.settings import TaskSettings
from quickstudy.recipes.tasks import (
    _grouped,
    class_names,
    grouped,
    seen_in_training,
    sources,
)


@pytest.fixture
def tasks(tmp_path):
    """Settings for twenty classes of three examples; class c's hold the number c."""
    classes = np.repeat(np.arange(20), 3)
    np.savez(tmp_path / "own.npz", x=classes[:, None].astype(np.float32), y=classes)
    return lambda **options: TaskSettings(f"npz:{tmp_path / 'own.npz'}", **options)


def test_fewer_training_classes_are_some_of_them_and_leave_the_others_alone(tasks):
    everything, few = grouped(tasks()), grouped(tasks(train_classes=5))
    assert set(few["train"].names) < set(everything["train"].names)
    assert few["train"].classes == sources(tasks(train_classes=5))["train"].classes == 5
    assert few["train"].names != everything["train"].names[:5]
    for part in ("validation", "test"):
        assert few[part].names == everything[part].names
    assert class_names(tasks(train_classes=5), "train")(0) == few["train"].names[0]


def test_glyphs_can_be_few(tasks):
    made = sources(TaskSettings(train_classes=7))
    assert made["train"].classes == 7
    assert made["test"].classes > 7


def test_more_training_classes_than_there_are_is_a_mistake(tasks):
    with pytest.raises(UserError, match="--train-classes 50: there are"):
        grouped(tasks(train_classes=50))
    with pytest.raises(UserError, match="--train-classes 1"):
        tasks(train_classes=1)


def test_characters_of_lakes_runs_that_were_trained_on_are_counted(monkeypatch):
    """Two runs of two characters, three of them among the first 965."""
    x = np.zeros((1623 * 20, 16, 16, 1), np.uint8)
    whole = Grouped(x, np.arange(1623) * 20, np.full(1623, 20), tuple(map(str, range(1623))))
    made = omniglot.Omniglot(whole, np.arange(1623) < 964)
    rows = np.array([[20 * c + 3 for c in characters] for characters in ((0, 963), (964, 1622))])
    monkeypatch.setattr(omniglot, "load", lambda size: made)
    monkeypatch.setattr(omniglot, "lake_runs", lambda: omniglot.LakeRuns(rows, rows, rows))
    parts = {"train": whole.select(range(965))}
    monkeypatch.setattr(omniglot.Omniglot, "split", lambda self, name: parts)
    _grouped.cache_clear()
    trained, lake = TaskSettings("omniglot", image_size=16), TaskSettings("lake-runs")
    assert seen_in_training(trained, lake) == 3
    assert seen_in_training(TaskSettings("omniglot", image_size=16, train_classes=2), lake) <= 2
    assert seen_in_training(trained, trained) == seen_in_training(TaskSettings(), lake) == 0
    _grouped.cache_clear()
