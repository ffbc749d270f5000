"""Partly labelled episodes and asking for labels, as a user does it with any trained run."""

import json

import numpy as np
import pytest

from quickstudy.cli import main


@pytest.fixture
def words(tmp_path):
    """Options for tasks of clusters that overlap."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(20, 1, 6)), 12, 1)
    x = centres + 0.7 * rng.normal(size=centres.shape)
    y = np.repeat(np.arange(20), 12)
    np.savez(tmp_path / "own.npz", x=x.reshape(-1, 6).astype(np.float32), y=y)
    return ["--tasks", f"npz:{tmp_path / 'own.npz'}", "--way", "3", "--shot", "4", "--query", "4"]


@pytest.fixture
def run(tmp_path, words):
    """Nearest neighbour on them."""
    assert main(["train", "pixels", *words, "--run", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def evaluated(run, capsys, *options: str) -> dict:
    capsys.readouterr()
    assert main(["evaluate", str(run), "--episodes", "60", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)["results"][0]


def test_labels_that_are_asked_for_help_and_are_named(run, capsys):
    partly = ("--labelled", "0.25")
    without = evaluated(run, capsys, *partly)
    asked = evaluated(run, capsys, *partly, "--ask", "random", "--asked", "9")
    whole = evaluated(run, capsys)
    assert without["accuracy"]["mean"] < asked["accuracy"]["mean"]
    assert asked["accuracy"] == whole["accuracy"]  # all nine are known: the same episodes
    words = asked["protocol"]
    assert words["labelled per class"] == 1
    assert (words["asked"], words["labels asked for"]) == ("random", 9)
    assert "labelled per class" not in whole["protocol"]
    anywhere = evaluated(run, capsys, *partly, "--anywhere", "True")
    assert anywhere["protocol"]["labelled per class"] == "1 on average"
    assert anywhere["accuracy"]["mean"] < without["accuracy"]["mean"]
    unsure = evaluated(run, capsys, *partly, "--ask", "uncertainty", "--distractors", "1")
    assert unsure["protocol"]["asked"] == "uncertainty"
    assert unsure["protocol"]["distractor classes"] == 1


def test_mistakes_are_said_in_one_line(run, capsys):
    def mistake(*options: str) -> str:
        capsys.readouterr()
        assert main(["evaluate", str(run), "--episodes", "2", *options]) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        return line

    partly = ("--labelled", "0.25")
    assert "every label is known" in mistake("--ask", "random")
    assert "add --labelled" in mistake("--anywhere", "True")
    assert "has not learned to ask" in mistake(*partly, "--ask", "learned")
    assert "9 unlabelled" in mistake(*partly, "--ask", "random", "--asked", "10")
    assert "--asked 2: say how" in mistake(*partly, "--asked", "2")
    assert "0 labelled" in mistake("--labelled", "0.1")
    assert "not all shots" in mistake("--distractors", "1")
    assert "classes" in mistake(*partly, "--distractors", "9")
