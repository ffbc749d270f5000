"""One test episode as a learner meets it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.data.kind import Classes
from quickstudy.learner import Learner, Predictor
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.metric.protonet import Prototypes
from quickstudy.learners.metric.tadam import ScaledPrototypes
from quickstudy.networks import WithHead
from quickstudy.report.data import CurveEpisode, Embedding, ImageEpisode
from quickstudy.report.opened import OpenedRun, is_image, shown
from quickstudy.task import Episode, task_keys
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.gaussian_processes import GaussianProcesses
from quickstudy.tasks.sinusoid import Sinusoid

GRID = 400
"""Points that a curve is drawn with."""


def drawn(run: OpenedRun, seed: int) -> tuple[ImageEpisode | CurveEpisode | None, Embedding | None]:
    """The first of the test episodes as the learner meets it, and its queries' features."""
    for_task, for_learner = task_keys(jax.random.key(seed), 0)
    tasks = run.tasks
    if isinstance(tasks, Sinusoid | GaussianProcesses):
        return drawn_curve(run, tasks, for_task, for_learner), None
    if not isinstance(tasks, FewShot):
        return None, None
    called = cast(Classes, run.settings.tasks.data).class_name("test")
    classes, task, probabilities, features, prototypes = jax.device_get(
        _look(run.learner, tasks, for_task, for_learner)
    )
    names = [called(int(label)) for label in classes]
    embedding = None if features is None else embedded(names, features, task.query.y, prototypes)
    if not is_image(task.query.x.shape[1:]):
        return None, embedding
    episode = ImageEpisode(
        names=names,
        support_images=shown(task.support.x),
        support_labels=task.support.y,
        query_images=shown(task.query.x),
        query_labels=task.query.y,
        probabilities=probabilities,
    )
    return episode, embedding


@eqx.filter_jit
def _look(
    learner: Learner, tasks: FewShot, for_task: PRNGKeyArray, for_learner: PRNGKeyArray
) -> tuple[Array, Episode, Array, Array | None, Array | None]:
    """The classes of an episode; the episode; of its queries, p(class) and features; and the
    classes' prototypes."""
    task = tasks.sample(for_task)
    predictor = learner.adapt(task.support, task.likelihood, key=for_learner)
    probabilities = jax.nn.softmax(predictor(task.query.x))
    features = features_of(predictor, task.query.x)
    return tasks.chosen(for_task), task, probabilities, *features


def features_of(predictor: Predictor, x: Array) -> tuple[Array | None, Array | None]:
    """What a predictor's network makes of inputs before it says a class, (n, d), and prototypes
    in that space, (classes, d). None for those that it has not."""
    if isinstance(predictor, Prototypes | ScaledPrototypes):
        return predictor.embed(x), predictor.prototypes
    if isinstance(predictor, NetworkPredictor) and isinstance(predictor.network, WithHead):
        return predictor.embed(x), None
    return None, None


def embedded(
    names: list[str],
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    prototypes: Float[np.ndarray, "way d"] | None,
) -> Embedding | None:
    """Features and prototypes on the first two principal components of the features; None
    where they have less than two."""
    middle = features.mean(0)
    _, sizes, directions = np.linalg.svd(features - middle, full_matrices=False)
    if len(sizes) < 2 or not sizes[0] > 0:
        return None
    plane = directions[:2].T
    return Embedding(
        names=names,
        points=(features - middle) @ plane,
        labels=labels,
        prototypes=None if prototypes is None else (prototypes - middle) @ plane,
        explained=float(np.sum(sizes[:2] ** 2) / np.sum(sizes**2)),
    )


def drawn_curve(
    run: OpenedRun,
    tasks: Sinusoid | GaussianProcesses,
    for_task: PRNGKeyArray,
    for_learner: PRNGKeyArray,
) -> CurveEpisode:
    """A function of one number, and what the learner makes of it before and after adapting."""
    task = replace(tasks, query=GRID).sample(for_task)
    order = np.argsort(np.asarray(task.query.x[:, 0]))
    if run.offers("test_steps"):
        most = max(1, run.learner.test_steps)  # pyright: ignore[reportAttributeAccessIssue]
        learners = {
            "before adapting": run.having(test_steps=0).learner,
            "after 1 step": run.having(test_steps=1).learner,
            f"after {max(most, 10)} steps": run.having(test_steps=max(most, 10)).learner,
        }
    else:
        learners = {run.name: run.learner}
    predictions = {}
    for name, learner in learners.items():
        predictions[name] = np.asarray(_curve(learner, task, for_learner))[order, 0]
    told = np.asarray(task.likelihood.labelled(task.support.y))
    return CurveEpisode(
        support_x=np.asarray(task.support.x[:, 0])[told],
        support_y=np.asarray(task.support.y[:, 0])[told],
        x=np.asarray(task.query.x[:, 0])[order],
        truth=np.asarray(task.query.y[:, 0])[order],
        predictions=predictions,
    )


@eqx.filter_jit
def _curve(learner: Learner, task: Episode, key: PRNGKeyArray) -> Float[Array, "n size"]:
    """Predictions of an episode's queries."""
    return learner.adapt(task.support, task.likelihood, key=key)(task.query.x)
