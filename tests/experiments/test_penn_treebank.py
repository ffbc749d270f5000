"""Learners on words as classes, from settings to a figure; on made-up text."""

import numpy as np
import pytest

from quickstudy.data import penn_treebank as words_of_it
from quickstudy.data.inputs import TokenShape
from quickstudy.data.registry import _data_of
from quickstudy.datasets import penn_treebank
from quickstudy.errors import UserError
from quickstudy.runs.measure import measure
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.tasks import episode_tasks
from quickstudy.runs.train import train
from quickstudy.settings.learners import FineTuningSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

TASKS = TaskSettings("penn-treebank", way=3, shot=1, query=1, train_query=2)
TRAINING = TrainingSettings(steps=2, validate_every=2, validation_episodes=2)


@pytest.fixture(autouse=True)
def text(monkeypatch):
    """Sixty words, twenty of them held out, in 200 sentences a part."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(60)]
    sentences = {
        part: [tuple(rng.choice(words, 12).tolist()) for _ in range(200)]
        for part in ("train", "validation", "test")
    }
    monkeypatch.setattr(penn_treebank, "load", lambda: sentences)
    monkeypatch.setattr(words_of_it, "HELD_OUT_WORDS", (10, 10))
    _data_of.cache_clear()
    yield
    _data_of.cache_clear()


def test_no_word_that_is_tested_is_an_answer_in_training():
    data = TASKS.data
    assert isinstance(data, words_of_it.TreebankWords)
    sources, names = ({p: v[i] for p, v in data.parts.items()} for i in (0, 1))
    assert [len(names[part]) for part in ("train", "validation", "test")] == [40, 10, 10]
    assert len({word for part in names.values() for word in part}) == 60
    blanked = {part: set(np.asarray(source.word).tolist()) for part, source in sources.items()}
    assert not blanked["train"] & (blanked["validation"] | blanked["test"])
    called = data.class_name("test")
    assert [called(label) for label in range(10)] == names["test"]


def test_a_learner_of_tokens_is_trained_kept_and_measured(tmp_path):
    settings = RunSettings(FineTuningSettings(match="cosine"), TASKS, TRAINING)
    train(settings, tmp_path / "run", show_progress=False)
    saved = SavedRun.open(tmp_path / "run")
    loaded, problem, trained = saved.settings, saved.problem, saved.learner()
    assert isinstance(problem.shape, TokenShape)
    assert problem.shape.vocabulary == 62
    result = measure(loaded, trained, episodes=3, show_progress=False)
    assert result.protocol["data"] == "penn-treebank"
    assert result.protocol["words left out"] == 0


def test_what_cannot_be_is_said():
    with pytest.raises(UserError, match="words that are in 150 sentences"):
        episode_tasks(TASKS, "test", 3, 149, 1)
    with pytest.raises(UserError, match="take --network text"):
        NetworkSettings("mlp").build(TokenShape((21,), 62), None)
    with pytest.raises(UserError, match="numbers, not tokens"):
        NetworkSettings("text").build((21,), None)
    with pytest.raises(UserError, match="rotations"):
        TaskSettings("penn-treebank", rotations="classes").data.source("train")
