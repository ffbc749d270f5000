"""What has the Neural Statistician seen in a set? (Edwards and Storkey, ICLR 2017, section 5.3.)

It is given a few drawings of characters that it has never met, and draws new ones: the context is
the mean of q(c | D), each new member has a z of its own. How well classes are told apart by one
drawing of each and by more is beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.estimate import Estimate
from quickstudy.evaluation import evaluate
from quickstudy.experiments.diagrams import Map, Panel, pictures
from quickstudy.experiments.published.processes import statistician_omniglot
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.learners.memory.statistician import Statistician
from quickstudy.runs.tasks import episode_tasks
from quickstudy.task import Episode

EPISODES = 600
CHARACTERS = 5
GIVEN = 5
DRAWN = 5
SHOTS = (1, 2, 3, 5, 10)
SHOWN = (1, 2)


@eqx.filter_jit
def conditioned(
    learner: Statistician, episode: Episode, key: PRNGKeyArray
) -> Float[Array, "classes count h w 1"]:
    """New members of each class of an episode."""
    contexts = learner.adapt(episode.support, episode.likelihood, key=key)
    return learner.members(contexts.mean, DRAWN, key=key)


def panels(budget: Budget, trained: Trained) -> Iterator[Panel | Map]:
    """Sets and what is drawn after them; accuracy by how many examples are given."""
    figure = statistician_omniglot(budget).figures[0]
    learner = cast(Statistician, trained(figure.run))
    t = figure.test
    for seed in SHOWN:
        key = jax.random.key(seed)
        episode = episode_tasks(t, "test", CHARACTERS, GIVEN, 1).sample(key)
        given = np.asarray(episode.support.x).reshape(
            CHARACTERS, GIVEN, *episode.support.x.shape[1:]
        )
        new = np.asarray(conditioned(learner, episode, key))
        yield pictures(
            "Given, and drawn after them",
            "given, then drawn",
            {f"{k + 1}": [*given[k, ..., 0], *new[k, ..., 0]] for k in range(CHARACTERS)},
            ["given"] * GIVEN + ["drawn"] * DRAWN,
        )

    def accuracy(shot: int) -> Estimate:
        tasks = episode_tasks(replace(t, shot=shot), "test", t.way, shot, 5)
        return evaluate(learner, tasks, episodes=EPISODES).estimate()

    yield Panel(
        "Classes told by their contexts",
        "examples given of each class",
        "accuracy",
        {"5-way": {str(shot): accuracy(shot) for shot in SHOTS}},
    )


STUDY = Study(
    "The Neural Statistician draws members of sets that it has never met",
    "Edwards and Storkey 2017, section 5.3",
    f"Omniglot, test characters, {GIVEN} drawings given; {EPISODES} test episodes of 5 classes",
    panels,
)
