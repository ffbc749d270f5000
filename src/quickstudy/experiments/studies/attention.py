"""Where does SNAIL look? (Mishra et al., ICLR 2018)

Its three attention blocks, one after the other, say how much a query reads of each support example
and of itself. One test episode is drawn; over many, the share that goes to examples of the query's
own class is measured, and the share that stays with itself. The network is told neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.estimate import Estimate
from quickstudy.experiments.diagrams import Map, Panel
from quickstudy.experiments.published.omniglot import omniglot_test
from quickstudy.experiments.published.reading import snail_omniglot
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.learners.memory.snail import SNAIL, Attention
from quickstudy.runs.tasks import episode_tasks
from quickstudy.settings.learners import SNAILSettings
from quickstudy.task import Episode

EPISODES = 600
BLOCKS = ("first", "second", "third")


@eqx.filter_jit
def attended(snail: SNAIL, task: Episode) -> Float[Array, "blocks queries places"]:
    """How much each query reads of each support example, those that are unlabelled first, and of
    itself, in each attention block."""
    read = snail.adapt(task.support, task.likelihood, key=jax.random.key(0))
    f, _ = snail.network(task.query.x, read.statistics)
    z = jnp.concatenate([f, jnp.zeros((len(f), snail.size))], 1)
    time, found = jnp.full(len(f), len(task.support.y)), []
    for block, kept in zip(snail.blocks, read.kept, strict=True):
        if isinstance(block, Attention):
            found.append(block.weights(z, time, kept))
        z = block(z, time, kept)
    return jnp.stack(found)


def shares(snail: SNAIL, task: Episode) -> Float[Array, "2 blocks"]:
    """Of what queries read, how much is of examples of their own class, and of themselves."""
    weights = attended(snail, task)
    own = task.query.y[:, None] == task.support.y
    of_class = jnp.sum(weights[:, :, :-1] * own, 2)
    return jnp.mean(jnp.stack([of_class, weights[:, :, -1]]), 2)


def panels(budget: Budget, trained: Trained) -> Iterator[Panel | Map]:
    """One episode, and the mean over many."""
    runs = [f.run for f in snail_omniglot(budget).figures]
    snail = cast(SNAIL, trained(next(r for r in runs if isinstance(r.learner, SNAILSettings))))
    t = replace(omniglot_test(5, 5, budget), query=1)
    tasks = episode_tasks(t, "test", t.way, t.shot, t.query)

    shown = tasks.sample(jax.random.key(1))
    columns = (*(str(label) for label in np.asarray(shown.support.y)), "itself")
    for name, weights in zip(BLOCKS, np.asarray(attended(snail, shown)), strict=True):
        yield Map(
            f"Read in the {name} attention block",
            "class of each support example",
            "class of the query",
            weights,
            columns,
        )

    keys = jax.random.split(jax.random.key(0), EPISODES)
    found = np.asarray(jax.lax.map(lambda key: shares(snail, tasks.sample(key)), keys))
    names = ("of examples of its class", "of itself")
    yield Panel(
        "What a query reads",
        "attention block",
        "share",
        {
            line: dict(zip(BLOCKS, (Estimate.of(of_block) for of_block in each), strict=True))
            for line, each in zip(names, found.transpose(1, 2, 0), strict=True)
        },
    )


STUDY = Study(
    "Where SNAIL looks",
    "Mishra et al. 2018",
    f"Omniglot 5-way 5-shot, a query a class, {EPISODES} test episodes",
    panels,
)
