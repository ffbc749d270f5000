"""Panels of studies whose trainings are long: what each figure is measured on, with untrained
learners, and with measuring replaced by a note of what was asked."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from quickstudy.data.omniglot import OmniglotCharacters
from quickstudy.estimate import Estimate
from quickstudy.evaluation import Met
from quickstudy.experiments.opponents import Tuned
from quickstudy.experiments.race import ADAM, Race
from quickstudy.experiments.studies import (
    lstm_mnist,
    lstm_quadratics,
    robustness,
    statistician,
    versatile,
)
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.networks import WithHead
from quickstudy.optimization import Curves
from quickstudy.runs.plan import build
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.tasks.distorted import Warped
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.sinusoid import Sinusoid

PICTURES = TaskSpec((28, 28, 1), Categorical(5), 100)
CURVES = TaskSpec((1,), Gaussian(1), None)


def untrained(settings: Any) -> Any:
    """In place of a training."""
    if isinstance(settings, OptimizerRunSettings):
        return SimpleNamespace(run=settings)
    settings = settings.resolved()
    problem = CURVES if settings.tasks.tasks == "sinusoid" else PICTURES
    return build(settings.learner, problem, 0)


def noted(learner, tasks, **options):
    """In place of an evaluation: what was to be measured on what."""
    return SimpleNamespace(estimate=lambda: (learner, tasks))


def test_robustness_varies_what_each_panel_says(monkeypatch, clusters):
    monkeypatch.setattr(robustness, "evaluate", noted)
    source = clusters(classes=6, each=20, shape=(28, 28, 1))
    monkeypatch.setattr(OmniglotCharacters, "source", lambda data, part: source)
    steps, on_omniglot, sheared, scaled, depths = robustness.panels("cpu", untrained)
    [line] = steps.lines.values()
    assert all(learner.test_steps == int(n) for n, (learner, _) in line.items())
    assert all(learner.train_steps == 1 for learner, _ in line.values())
    assert all(isinstance(tasks, Sinusoid) for _, tasks in line.values())
    [(name, line)] = on_omniglot.lines.items()  # a prototypical network takes no steps
    assert name.startswith("MAML, trained with ")
    assert all(learner.test_steps == int(n) for n, (learner, _) in line.items())
    for panel, varied, other, plain in (
        (sheared, "shear", "scale", 1.0),
        (scaled, "scale", "shear", 0.0),
    ):
        assert set(panel.lines) == {"MAML", "ProtoNet"}
        for line in panel.lines.values():
            for x, (_, tasks) in line.items():
                assert isinstance(tasks, FewShot)
                assert isinstance(tasks.source, Warped)
                assert float(getattr(tasks.source, varied)) == pytest.approx(float(x))
                assert float(getattr(tasks.source, other)) == plain
    for n, line in zip((1, 5), depths.lines.values(), strict=True):
        for depth, (learner, _) in line.items():
            assert learner.test_steps == n
            assert isinstance(learner.network, WithHead)
            assert len(learner.network.body.layers) == int(depth)


def test_the_statistician_is_given_pictures_and_draws_others(monkeypatch, clusters):
    source = clusters(classes=6, each=20, shape=(28, 28, 1))
    monkeypatch.setattr(statistician, "evaluate", noted)
    monkeypatch.setattr(
        statistician,
        "episode_tasks",
        lambda tasks, part, way, shot, query: FewShot(source, way, shot, query),
    )

    def small(settings):
        learner = dataclasses.replace(settings.learner, context=2, latent=2, width=4)
        return untrained(dataclasses.replace(settings, learner=learner))

    *maps, panel = statistician.panels("cpu", small)
    given, drawn, classes = statistician.GIVEN, statistician.DRAWN, statistician.CHARACTERS
    for seed, shown in zip(statistician.SHOWN, maps, strict=True):
        assert shown.values.shape == (28 * classes, 28 * (given + drawn))
        episode = FewShot(source, classes, given, 1).sample(jax.random.key(seed))
        second = np.clip(episode.support.x[given + 2, ..., 0], 0, None)  # of class 1, example 2
        np.testing.assert_array_equal(shown.values[28:56, 2 * 28 : 3 * 28], second)
    [line] = panel.lines.values()
    assert all(tasks.shot == int(shot) for shot, (_, tasks) in line.items())


@pytest.fixture
def races(monkeypatch):
    """Every race that is asked for, in place of running it."""
    asked = []

    def race(learned, problems, *, steps, count, tuning, opponents=None, **_):
        asked.append(SimpleNamespace(problems=problems, steps=steps, count=count))
        falling = np.linspace(2.0, 0.0, steps + 1) + np.zeros((3, 1))
        curves = {name: Curves(falling, Met({"problems": "p"})) for name in (*learned, ADAM)}
        curves[ADAM] = Curves(falling / 2 + 0.5, Met({"problems": "p"}))
        tuned = {ADAM: Tuned(ADAM, 0.1, {0.1: Estimate(0.5, 0.0, 3)})}
        return Race(list(learned), curves, tuned, steps)

    for study in (lstm_mnist, lstm_quadratics, versatile):
        monkeypatch.setattr(study, "race", race)
        monkeypatch.setattr(study, "problems_of", lambda settings: settings)
    return asked


def test_an_lstm_is_raced_on_quadratics_to_the_horizon_and_beyond(races):
    panels = list(lstm_quadratics.panels("cpu", untrained))
    assert [race.steps for race in races] == [100, 200]
    assert all(race.problems.tasks == "quadratics" for race in races)
    by_title = {panel.title: panel.lines for panel in panels}
    ahead = by_title["Quadratics: above ours after 100 steps"][""]
    assert ahead["Adam (0.1)"].mean == pytest.approx(0.5)  # 2/2 - 2 + 0.5 + 2 at the end: 0.5 - 0
    reached = by_title["Quadratics: steps to Adam's loss after 100"][""]
    assert reached["LSTM"].mean == 75  # 2 - 2 t / 100 is 0.5
    assert "Rates tried, 100 steps" in by_title
    assert "Quadratics: steps to Adam's loss after 200" not in by_title


@pytest.mark.parametrize("budget", ["cpu", "full"])
def test_an_lstm_is_raced_on_the_networks_that_titles_name(races, budget):
    panels = list(lstm_mnist.panels(budget, untrained))
    titles = [panel.title for panel in panels[::3]]
    assert len(races) == len(titles) == (6 if budget == "cpu" else 5)
    for race, title in zip(races, titles, strict=True):
        problems, small = race.problems, 14 if budget == "cpu" else None
        assert problems.hidden == {"40": (40,), "Tw": (20, 20)}.get(title[:2], (20,))
        assert problems.activation == (("relu",) if "ReLU" in title else ("sigmoid",))
        assert race.steps == (200 if "twice as long" in title else 100)
        assert problems.image_size == (None if "28" in title else small)
    assert set(panels[0].lines) == {"LSTM", "LSTM that knows ReLUs", "Adam (0.1)"}


def test_the_optimiser_for_any_problem_meets_kinds_that_it_was_not_trained_on(races):
    panels = list(versatile.panels("cpu", untrained))
    held_out = [panel.title for panel in panels if panel.title.endswith("(held out)")]
    assert len(panels) == len(races) == len({str(race.problems) for race in races})
    assert [title.partition(" (")[0] for title in held_out] == list(versatile.HELD_OUT)
    trained_on = [str(s) for s in versatile.SEVERAL.values()]
    for race, panel in zip(races, panels, strict=True):
        assert (str(race.problems) in trained_on) != panel.title.endswith("(held out)")
