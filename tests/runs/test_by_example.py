"""Figures by class and predictions by example of a test on the user's own data, warnings of
identical examples, and a run that is tested from another folder."""

import dataclasses
import json
import shutil
from collections import Counter

import jax
import numpy as np
import pytest
from PIL import Image

from quickstudy.cli.main import main
from quickstudy.data.registry import _data_of
from quickstudy.datasets.duplicates import copies
from quickstudy.datasets.grouped import Grouped
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.runs import by_example, opponents
from quickstudy.runs import train as training
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.tasks import episode_tasks
from quickstudy.task import task_keys

NAMES = [f"class{k:02}" for k in range(16)]
EACH, EPISODES = 8, 12


@pytest.fixture(scope="module", autouse=True)
def one_opponent():
    """Each takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        one = {"nearest neighbour": NearestNeighbour()}
        patch.setattr(opponents, "free_opponents", lambda spec: one)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with noisy pictures, and a run on them that was trained from there by a relative
    path. One picture has a copy in its class."""
    place = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for name in NAMES:
        (place / "photos" / name).mkdir(parents=True)
        mean = rng.uniform(110, 140, (16, 16))
        for i in range(EACH):
            picture = np.clip(mean + rng.normal(0, 60, (16, 16)), 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(place / "photos" / name / f"{i}.png")
    shutil.copy(place / "photos" / NAMES[0] / "1.png", place / "photos" / NAMES[0] / "7.png")
    words = ["train", "pixels", "--tasks", "folder:photos", "--image-size", "16", "--way", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main([*words, "--shot", "2", "--query", "3", "--run", "run"]) == 0
    return place


def evaluated(run, capsys, *words):
    """What `evaluate --json` prints, and what it says."""
    _data_of.cache_clear()
    assert main(["evaluate", str(run), "--episodes", str(EPISODES), "--json", *words]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_each_prediction_is_the_slow_and_obvious_one(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    found, _ = evaluated("run", capsys)
    [result] = found["results"]
    told = result["predictions"]
    assert told["which"] == f"all queries of all of {EPISODES} episodes"

    saved = SavedRun.open(place / "run")
    t, learner = saved.settings.tasks, saved.learner()
    examples, tasks = t.data.grouped("test"), episode_tasks(t, "test", t.way, t.shot, t.query)
    expected = []
    for number in range(EPISODES):
        key, for_learner = task_keys(jax.random.key(0), number)
        task, classes = tasks.sample(key), tasks.chosen(key).tolist()
        guess = learner.predictions(task, key=for_learner).argmax(-1)
        for x, label, answer in zip(task.query.x, task.query.y, guess, strict=True):
            [row] = np.flatnonzero((examples.x == np.round(255 * x)).all((1, 2, 3)))[:1]
            true, taken = (examples.names[classes[k]] for k in (label, answer))
            first = examples.first[classes[label]]
            file = f"photos/{true}/{row - first}.png"
            expected.append({"episode": number, "example": file, "class": true, "predicted": taken})
    assert told["of"] == expected

    asked = Counter(one["class"] for one in expected)
    wrong = Counter((a["class"], a["predicted"]) for a in expected if a["class"] != a["predicted"])
    assert wrong  # or the test says nothing
    assert {of["name"]: of["queries"] for of in result["by_class"]} == asked
    for of in result["by_class"]:
        mistakes = {other: n for (true, other), n in wrong.items() if true == of["name"]}
        right = asked[of["name"]] - sum(mistakes.values())
        assert of["accuracy"] == pytest.approx(right / asked[of["name"]], abs=1e-5)
        assert of["times"] == max(mistakes.values(), default=0)
        assert of["taken_for"] is None or mistakes[of["taken_for"]] == of["times"]
    assert result["accuracy"]["mean"] == pytest.approx(
        1 - sum(wrong.values()) / len(expected), abs=1e-5
    )


def test_predictions_are_bounded_and_say_so(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(by_example, "MOST_PREDICTIONS", 20)
    [result] = evaluated("run", capsys)[0]["results"]
    assert result["predictions"]["which"] == f"all queries of the first 3 of {EPISODES} episodes"
    assert len(result["predictions"]["of"]) == 18


def test_turned_classes_are_not_counted(place, monkeypatch):
    """A row number does not tell in which turn an example was asked for."""
    monkeypatch.chdir(place)
    saved, told = SavedRun.open(place / "run"), []
    for rotations in ("none", "classes"):
        t = dataclasses.replace(saved.settings.tasks, rotations=rotations)
        tasks = episode_tasks(t, "test", t.way, t.shot, t.query)
        task = tasks.sample(jax.random.key(0))
        told.append(by_example.rows_of(t, saved.learner(), tasks, task) is not None)
    assert told == [True, False]


def test_a_run_is_tested_from_another_folder(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(place)
    before, said = evaluated("run", capsys)
    assert "is read, where the run was trained" not in said
    monkeypatch.chdir(tmp_path)
    after, said = evaluated(place / "run", capsys)
    line = f"there is no photos here: {place / 'photos'} is read, where the run was trained on it"
    assert said.count(line) == 1
    for word in ("accuracy", "nll", "by_class", "protocol"):
        assert after["results"][0][word] == before["results"][0][word]

    (tmp_path / "photos").mkdir()  # what is there is taken
    _data_of.cache_clear()
    assert main(["evaluate", str(place / "run")]) == 2
    assert "photos has no sub-folders" in capsys.readouterr().err


def test_another_place_is_no_other_configuration(place, tmp_path, capsys, monkeypatch):
    shutil.copytree(place, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    words = ["train", "pixels", "--tasks", "folder:photos", "--image-size", "16", "--way", "2"]
    words += ["--shot", "2", "--query", "3", "--run", "run"]
    config = tmp_path / "moved" / "run" / "config.json"
    found = json.loads(config.read_text())
    assert found["place"] == ["photos", str(place / "photos")]
    for there in (found, {word: found[word] for word in found if word != "place"}):
        config.write_text(json.dumps(there))
        assert main(words) == 0
    assert main([*words, "--seed", "1"]) == 2
    assert "(--seed 0 there, --seed 1 now)" in capsys.readouterr().err


def test_copies_are_told_with_an_example(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    file = f"photos/{NAMES[0]}"
    line = f"more than once: 1 within a class ({file}/1.png and {file}/7.png). Figures are too good"
    assert evaluated("run", capsys)[1].count(line) == 1


def test_copies_by_where_they_stand():
    def part(x, names):
        return Grouped.from_labels(np.asarray(x)[:, None], names)

    parts = {
        "train": part([1, 1, 1, 2, 3], ["a", "a", "b", "b", "b"]),
        "test": part([3, 4, 5, 5, 5], ["c", "c", "d", "d", "d"]),
    }
    found = {
        words: [(parts[p.part].x[p.row, 0], p.part, q.part) for p, q in pairs]
        for words, pairs in copies(parts).items()
    }
    assert found == {
        "within a class": [(1, "train", "train"), (5, "test", "test")],
        "in two train classes": [(1, "train", "train")],
        "in a train and a test class": [(3, "train", "test")],
    }
    assert copies({"train": part([1, 2], ["a", "b"])}) == {}


def test_the_best_look_of_validation_is_not_taken_again(place, tmp_path, capsys, monkeypatch):
    """A training that looked itself keeps the figures that another look would have given."""
    monkeypatch.chdir(place)
    looks = []

    def noted(*words, look=training.on_validation, **options):
        looks.append(look(*words, **options))
        return looks[-1]

    monkeypatch.setattr(training, "on_validation", noted)
    words = ["train", "protonet", "--tasks", "folder:photos", "--image-size", "16", "--way", "2"]
    words += ["--shot", "2", "--query", "3", "--train-way", "3", "--train-query", "3"]
    words += ["--network", "mlp", "--hidden", "4", "--validation-episodes", "8", "--steps", "2"]
    assert main([*words, "--run", str(tmp_path / "run")]) == 0
    assert len(looks) == 1  # of the opponent
    stand = SavedRun.open(tmp_path / "run").header["validation"]
    (tmp_path / "run" / "learner.qs").unlink()
    assert main([*words, "--run", str(tmp_path / "run")]) == 0  # nobody looked in this process
    assert len(looks) == 3
    assert SavedRun.open(tmp_path / "run").header["validation"] == stand
