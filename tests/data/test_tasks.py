"""Which classes a run trains on."""

import jax
import numpy as np
import pytest

from quickstudy.data.kind import Classes
from quickstudy.data.own import Own
from quickstudy.data.registry import _data_of
from quickstudy.data.seen import seen_in_training
from quickstudy.datasets import omniglot
from quickstudy.datasets.grouped import Grouped
from quickstudy.errors import UserError
from quickstudy.runs.tasks import episode_tasks, require_kind, training_tasks
from quickstudy.settings.learners import (
    FineTuningSettings,
    LSTMSettings,
    MAMLSettings,
    ProtoNetSettings,
)
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.sequences import Sequences


def classes_of(tasks: TaskSettings, part: str):
    assert isinstance(tasks.data, Classes)
    return tasks.data.source(part)


def grouped(tasks: TaskSettings, part: str):
    assert isinstance(tasks.data, Own)
    return tasks.data.grouped(part)


@pytest.fixture
def tasks(tmp_path):
    """Settings for twenty classes of three examples; class c's hold the number c."""
    classes = np.repeat(np.arange(20), 3)
    np.savez(tmp_path / "own.npz", x=classes[:, None].astype(np.float32), y=classes)
    return lambda **options: TaskSettings(f"npz:{tmp_path / 'own.npz'}", **options)


def test_fewer_training_classes_are_some_of_them_and_leave_the_others_alone(tasks):
    everything, few = grouped(tasks(), "train"), grouped(tasks(train_classes=5), "train")
    assert set(few.names) < set(everything.names)
    assert few.classes == classes_of(tasks(train_classes=5), "train").classes == 5
    assert few.names != everything.names[:5]
    for part in ("validation", "test"):
        assert grouped(tasks(train_classes=5), part).names == grouped(tasks(), part).names
    assert tasks(train_classes=5).data.class_name("train")(0) == few.names[0]


def test_glyphs_can_be_few(tasks):
    assert classes_of(TaskSettings(train_classes=7), "train").classes == 7
    assert classes_of(TaskSettings(train_classes=7), "test").classes > 7


def test_more_training_classes_than_there_are_is_a_mistake(tasks):
    with pytest.raises(UserError, match="--train-classes 50: there are"):
        grouped(tasks(train_classes=50), "train")
    with pytest.raises(UserError, match="--train-classes 1"):
        tasks(train_classes=1)


def test_learners_of_sequences_train_on_them_and_others_on_episodes():
    tasks = TaskSettings(way=3, sequence=9)
    reading, other = (
        RunSettings(x, tasks).resolved() for x in (LSTMSettings(), ProtoNetSettings())
    )
    made = training_tasks(reading)
    assert isinstance(made, Sequences)
    assert (made.way, made.length, made.examples) == (3, 9, 6)
    assert isinstance(training_tasks(other), FewShot)
    for settings in (reading, other):
        t = settings.tasks
        assert isinstance(episode_tasks(t, "validation", t.way, t.shot, t.query), Sequences)
    assert isinstance(training_tasks(RunSettings(LSTMSettings()).resolved()), FewShot)


def test_sequences_that_cannot_be_are_mistakes(tasks):
    with pytest.raises(UserError, match="--letters is about sequences"):
        TaskSettings(letters=True)
    with pytest.raises(UserError, match="--letters is for learners that read sequences"):
        require_kind(ProtoNetSettings(), TaskSettings(sequence=9, letters=True))
    with pytest.raises(UserError, match="--verify does not go with --sequence"):
        TaskSettings(sequence=9, verify=True)
    with pytest.raises(UserError, match="sinusoid has none"):
        episode_tasks(TaskSettings("sinusoid", sequence=9), "test", 5, 1, 15)
    with pytest.raises(UserError, match="but an episode"):
        episode_tasks(tasks(sequence=20), "test", 5, 1, 15)  # 8 of each, and there are 3


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
    _data_of.cache_clear()
    trained, lake = TaskSettings("omniglot", image_size=16), TaskSettings("lake-runs")
    tested, seen = seen_in_training(trained, lake)
    assert (len(tested), set(seen)) == (4, {"0", "963", "964"})
    two = TaskSettings("omniglot", image_size=16, train_classes=2)
    assert len(seen_in_training(two, lake)[1]) <= 2
    assert not seen_in_training(trained, trained)[1]
    assert not seen_in_training(TaskSettings(), lake)[1]
    _data_of.cache_clear()


def test_training_tasks_of_any_shot_are_labelled_in_part(tasks):
    settings = RunSettings(
        ProtoNetSettings(), tasks(way=3, train_way=3, shot=2, query=1, train_query=1, any_shot=True)
    )
    made = training_tasks(settings.resolved())
    found = set()
    for i in range(20):
        y = made.sample(jax.random.key(i)).support.y
        count = int((y >= 0).sum()) // 3
        found.add(count)
        expected = [c if shot < count else -1 for c in range(3) for shot in range(2)]
        assert y.tolist() == expected
    assert found == {1, 2}
    whole = episode_tasks(settings.tasks, "train", 3, 2, 1).sample(jax.random.key(0))
    assert (whole.support.y >= 0).all()


def test_any_shot_where_it_cannot_be_is_a_mistake(tasks):
    with pytest.raises(UserError, match="this learner trains on batches"):
        training_tasks(RunSettings(FineTuningSettings(), tasks(any_shot=True)).resolved())
    with pytest.raises(UserError, match="--any-shot: this is about classes"):
        training_tasks(
            RunSettings(MAMLSettings(), TaskSettings("sinusoid", any_shot=True)).resolved()
        )
    with pytest.raises(UserError, match="--any-shot does not go with --sequence"):
        tasks(any_shot=True, sequence=9)
