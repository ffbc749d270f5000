"""How figures of a recipe are put beside each other."""

import json
from dataclasses import replace

import numpy as np
import pytest

from quickstudy.experiments import published
from quickstudy.experiments.published.recipe import Figure, Recipe
from quickstudy.experiments.reproduce import reproduce
from quickstudy.experiments.results_page import table
from quickstudy.settings.learners import PixelsSettings
from quickstudy.settings.run import Asking, RunSettings, TaskSettings


def test_paired_figures_are_compared_with_the_first_on_the_same_episodes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(20, 1, 6)), 12, 1) + 0.7 * rng.normal(size=(20, 12, 6))
    np.savez(tmp_path / "own.npz", x=x.reshape(-1, 6), y=np.repeat(np.arange(20), 12))
    tasks = TaskSettings(f"npz:{tmp_path / 'own.npz'}", way=3, shot=4, query=4, labelled=0.25)
    run = RunSettings(PixelsSettings(), tasks)
    more = replace(tasks, labelled=0.5)
    figures = (
        Figure("one", run, tasks, None, episodes=50),
        Figure("one asked", run, tasks, None, episodes=50, asking=Asking("random", 9)),
        Figure("two", run, more, None, episodes=50),
        Figure("two asked", run, more, None, episodes=50, asking=Asking("random", 6)),
    )
    recipe = Recipe("a title", "a source", figures, paired=True)
    monkeypatch.setitem(published.RECIPES, "own", lambda budget: recipe)
    where = (tmp_path / "runs", tmp_path / "results")
    row = reproduce("own", "cpu", *where, show_progress=False)
    means = [figure["accuracy"]["mean"] for figure in row["figures"]]
    firsts = [figure.get("from_the_first") for figure in row["figures"]]
    assert [f and f["first"] for f in firsts] == [None, "one", None, "two"]
    assert firsts[1]["mean"] == pytest.approx(means[1] - means[0], abs=1e-5)
    assert firsts[3]["mean"] == pytest.approx(means[3] - means[2], abs=1e-5)
    assert means[1] == means[3] > means[0]  # every label known, on the same draws
    written = json.loads((tmp_path / "results" / "own-cpu.json").read_text())
    assert written["figures"][3]["from_the_first"] == firsts[3]
    page = table(tmp_path / "results")
    assert f"{100 * firsts[3]['mean']:+.2f}" in page
    assert "from two |" in page


def test_sequences_have_a_table_by_presentation(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(20, 1, 6)), 12, 1) + 0.3 * rng.normal(size=(20, 12, 6))
    np.savez(tmp_path / "own.npz", x=x.reshape(-1, 6), y=np.repeat(np.arange(20), 12))
    tasks = TaskSettings(f"npz:{tmp_path / 'own.npz'}", way=2, query=4, sequence=12)
    of_paper = (4.0, 36.7, 41.9, None, 48.1, 57.0)
    run = RunSettings(PixelsSettings(), tasks)
    recipe = Recipe(
        "a title",
        "a source",
        (Figure("pixels", run, tasks, None, episodes=50, presentations=of_paper),),
    )
    monkeypatch.setitem(published.RECIPES, "own", lambda budget: recipe)
    where = (tmp_path / "runs", tmp_path / "results")
    [figure] = reproduce("own", "cpu", *where, show_progress=False)["figures"]
    text = (tmp_path / "results" / "own-cpu.json").read_text()
    assert "null" in text  # no class comes up ten times among twelve examples of two
    json.loads(text, parse_constant=pytest.fail)
    assert figure["published_at"]["accuracy@2"] == 36.7
    second = figure["accuracy@2"]["mean"]
    assert figure["accuracy@1"]["mean"] < second
    page = table(tmp_path / "results")
    assert "| | 1 | 2 | 3 | 4 | 5 | 10 |" in page
    assert f"**{100 * second:.1f} ± " in page
    assert " · 36.7 |" in page
    assert " · – |" in page
