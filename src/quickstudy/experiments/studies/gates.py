"""What do the gates of the meta-learner LSTM do? (Ravi and Larochelle, ICLR 2017, figure 2)

The values of its forget and input gates at each step, for 1-shot and for 5-shot episodes: their
mean and spread over the network's parameters, and the input gates' mean by layer.

Differences from the paper: all parameters instead of one of each layer; Omniglot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from quickstudy.estimate import Estimate
from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.published.gradient import meta_lstm_omniglot
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.studies.feature_reuse import LAYERS
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.learners.gradient.meta_lstm import MetaLSTM
from quickstudy.networks import Conv4, WithHead
from quickstudy.runs.tasks import episode_tasks
from quickstudy.settings.learners import MetaLSTMSettings
from quickstudy.task import Episode, TaskDistribution

EPISODES = 300
SPREAD = ("95 % are below", "mean", "5 % are below")


class Values(NamedTuple):
    """Of the gates in one episode, or in each of several."""

    forget: Float[Array, "*episodes lines steps"]
    """`SPREAD` over all parameters."""
    input: Float[Array, "*episodes lines steps"]
    layers: Float[Array, "*episodes layers steps"]
    """The mean of the input gates in each of `LAYERS`."""


def together(gates: PyTree) -> Float[Array, "steps n"]:
    """Those of all parameters of a network or layer, whose arrays have a leading axis of steps."""
    return jnp.concatenate([x.reshape(len(x), -1) for x in jax.tree.leaves(gates)], axis=1)


def spread(gates: Float[Array, "steps n"]) -> Float[Array, "lines steps"]:
    """What `SPREAD` says."""
    low, high = jnp.quantile(gates, jnp.asarray([0.05, 0.95]), axis=1)
    return jnp.stack([high, jnp.mean(gates, 1), low])


def gates(learner: MetaLSTM, tasks: TaskDistribution[Episode], episodes: int) -> Values:
    """Along the steps that the learner takes at test, in each episode."""

    @eqx.filter_jit
    def of_episodes(learner: MetaLSTM, tasks: TaskDistribution[Episode]) -> Values:
        def one(index):
            task = tasks.sample(jax.random.fold_in(jax.random.key(0), index))
            _, (i, f) = learner.unrolled(task.support, task.likelihood, learner.test_steps)
            network = cast(WithHead, i)
            layers = (*cast(Conv4, network.body).blocks, network.head)
            by_layer = jnp.stack([jnp.mean(together(layer), 1) for layer in layers])
            return Values(spread(together(f)), spread(together(i)), by_layer)

        return jax.lax.map(one, jnp.arange(episodes))

    return of_episodes(learner, tasks)


def lines(names: tuple[str, ...], values: Array) -> dict[str, dict[str, Estimate]]:
    """Means over episodes, by name and step."""
    found = np.asarray(values)
    return {
        name: {str(t + 1): Estimate.of(found[:, line, t]) for t in range(found.shape[2])}
        for line, name in enumerate(names)
    }


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """Three for each number of shots."""
    done = set()
    for figure in meta_lstm_omniglot(budget).figures:
        t = figure.test
        if not isinstance(figure.run.learner, MetaLSTMSettings) or t.shot in done:
            continue
        done.add(t.shot)
        learner = cast(MetaLSTM, trained(figure.run))
        tasks = episode_tasks(t, "test", t.way, t.shot, t.query)
        found = gates(learner, tasks, EPISODES)
        for what, y, names, values in (
            ("forget gates", "forget gate", SPREAD, found.forget),
            ("input gates", "input gate", SPREAD, found.input),
            ("input gates by layer", "input gate", LAYERS, found.layers),
        ):
            yield Panel(f"{t.shot}-shot: {what}", "step", y, lines(names, values))


STUDY = Study(
    "The gates of the meta-learner LSTM",
    "Ravi and Larochelle 2017",
    f"Omniglot 5-way, {EPISODES} test episodes; intervals are over these",
    panels,
)
