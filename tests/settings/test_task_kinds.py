"""The one list of tasks, against what takes them."""

import re

import pytest

from quickstudy.cli import main, show
from quickstudy.cli.evaluate import TestOptions as EvaluateOptions
from quickstudy.cli.evaluate import test_tasks as changed
from quickstudy.data import registry
from quickstudy.data.mnist import mnist_pictures
from quickstudy.data.registry import KINDS, _data_of
from quickstudy.datasets import mnist, omniglot, penn_treebank
from quickstudy.errors import UserError
from quickstudy.runs.tasks import episode_tasks, training_tasks
from quickstudy.settings.learners import MAMLSettings, ProtoNetSettings
from quickstudy.settings.registry import LEARNERS
from quickstudy.settings.run import RunSettings, TaskSettings

OWN = [kind.name for kind in KINDS.values() if kind.own]
FUNCTIONS = [name for name, kind in KINDS.items() if not kind.has_ways]
WITHOUT_CLASSES = [
    name for name, kind in KINDS.items() if not kind.has_classes and not kind.test_only
]


class Reached(Exception):
    """Data was asked for."""


def reached(*_, **__):
    raise Reached


@pytest.fixture
def no_data(monkeypatch):
    for module in (omniglot, mnist, penn_treebank):
        monkeypatch.setattr(module, "load", reached)
    monkeypatch.setattr(omniglot, "lake_runs", reached)
    for cached in (_data_of, mnist_pictures):
        cached.cache_clear()


def named(kind: str) -> str:
    return kind.replace("PATH", "/nowhere").replace("FOLDER", "/nowhere")


@pytest.mark.parametrize("kind", KINDS)
def test_all_tasks_of_the_list_are_made_or_their_data_is_asked_for(kind, no_data):
    chosen = TaskSettings(named(kind))
    if kind in ("glyphs", "synthetic-tables", *FUNCTIONS[:3]):
        episode_tasks(chosen, "test", 5, 1, 2)
    else:
        with pytest.raises((Reached, UserError)) as error:
            episode_tasks(chosen, "test", 5, 1, 2)
        assert isinstance(error.value, Reached) or "/nowhere" in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_no_tasks_are_taken_that_are_not_in_the_list(kind, monkeypatch):
    rest = {k: v for k, v in KINDS.items() if k != kind}
    monkeypatch.setattr(registry, "KINDS", rest)
    with pytest.raises(UserError, match="there are no tasks"):
        TaskSettings(named(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_own_data_has_a_path_and_nothing_else_has(kind):
    name = kind.partition(":")[0]
    if name in OWN:
        for text in (name, f"{name}:"):
            with pytest.raises(UserError, match="does not say where your data is"):
                TaskSettings(text)
    else:
        with pytest.raises(UserError, match=f"nothing comes after {name}"):
            TaskSettings(f"{name}:x")


def test_list_shows_every_kind_and_whole_sentences(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for kind, of_kind in KINDS.items():
        assert re.search(
            rf"^ *{re.escape(kind)} +{re.escape(of_kind.about)} *$", text, re.MULTILINE
        )
    for name, settings in LEARNERS.items():
        row = re.search(rf"^ *{re.escape(name)} +(.*?) *$", text, re.MULTILINE)
        assert row is not None
        assert row[1].endswith(".")
        assert " ".join((settings.__doc__ or "").split()).startswith(row[1])


def test_the_help_of_train_names_every_kind(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["train", "maml", "--help"])
    words = re.sub(r"[│\s]+", " ", capsys.readouterr().out)
    assert ", ".join(KINDS) in words


@pytest.mark.parametrize("word", ["x", "--x"])
def test_list_takes_no_words(word, capsys):
    with pytest.raises(SystemExit) as end:
        main(["list", word])
    assert end.value.code == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("One line.", "One line."),
        ("One sentence\n    on two lines. Another.", "One sentence on two lines."),
        ("After Finn et al. 2017. More.", "After Finn et al. 2017."),
        ("Without an end", "Without an end"),
    ],
)
def test_the_first_sentence_is_whole(text, sentence):
    thing = type("Thing", (), {"__doc__": text})
    assert show.first_sentence(thing) == sentence


ABOUT_CLASSES = {
    "any_shot": True,
    "proportional": True,
    "split": "lake",
    "split_seed": 1,
    "rotations": "classes",
    "fixed_labels": True,
    "train_classes": 5,
    "within": True,
    "distort": True,
    "labelled": 0.5,
    "distractors": 2,
    "color": True,
    "label_column": "a",
    "text_column": "a",
    "text_length": 9,
    "sequence": 9,
}


@pytest.mark.parametrize("kind", WITHOUT_CLASSES[::2])
@pytest.mark.parametrize("option", ABOUT_CLASSES)
def test_options_about_classes_are_refused_where_there_are_none(kind, option):
    settings = TaskSettings(kind, **{option: ABOUT_CLASSES[option]})
    flag = f"--{option.replace('_', '-')}: this is about classes"
    with pytest.raises(UserError, match=flag):
        training_tasks(RunSettings(MAMLSettings(), settings).resolved())
    with pytest.raises(UserError, match=flag):
        episode_tasks(settings, "test", 5, 1, 2)


def test_ways_of_functions_are_refused():
    with pytest.raises(UserError, match="--way: this is about classes"):
        episode_tasks(TaskSettings("sinusoid", way=7), "test", 7, 1, 2)
    with pytest.raises(UserError, match="--train-way is about classes"):
        RunSettings(MAMLSettings(), TaskSettings("sinusoid", train_way=7)).resolved()
    episode_tasks(TaskSettings("synthetic-tables", way=7), "test", 7, 1, 2)


def test_a_run_on_classes_is_tested_without_them_where_that_is_asked_for():
    trained = RunSettings(
        ProtoNetSettings(), TaskSettings("table:a.csv", label_column="a", split_seed=3)
    )
    found = changed(EvaluateOptions(tasks="synthetic-tables"), trained.resolved())
    assert (found.label_column, found.split_seed) == ("label", 0)
    episode_tasks(found, "test", 5, 1, 2)
    other = changed(EvaluateOptions(tasks="table:b.csv"), trained.resolved())
    assert (other.label_column, other.split_seed) == ("a", 3)
