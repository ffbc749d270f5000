"""Which classes a run trains on."""

import numpy as np
import pytest

from quickstudy.errors import UserError
from quickstudy.recipes.settings import TaskSettings
from quickstudy.recipes.tasks import class_names, grouped, sources


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
