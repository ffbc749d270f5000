"""What does a memory-augmented network write where, and read when? (Santoro et al., ICML 2016)

One test episode is drawn: how much is written to each slot, and read from it, at each time. Over
many episodes, what is read is put down to the examples: a slot is of the example at the time that
it was last written to, by more than half. The share of it that is of examples of the same class as
the present one, by presentation of that class, is how far the memory is used as the paper says it
is; the share that examples of this class have among all written slots is what reading at random
would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from quickstudy.estimate import Estimate
from quickstudy.evaluation import evaluate
from quickstudy.experiments.diagrams import Map, Panel
from quickstudy.experiments.published.memory import FIVE, mann_omniglot
from quickstudy.experiments.published.recipe import Budget, Figure
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.learners.memory.mann import MANN, Slots
from quickstudy.likelihood import Categorical
from quickstudy.runs.tasks import episode_tasks
from quickstudy.task import Examples
from quickstudy.tasks.sequences import PRESENTATIONS, Sequence

EPISODES = 600
SHOWN_SEED = 1


def followed(mann: MANN, examples: Examples) -> Slots:
    """The memory after each example of a sequence; arrays have a leading axis of time."""
    added = mann.added(examples.x, mann.labels_of(examples.y, Categorical(mann.size))[:-1])

    def step(state, added):
        state, _ = mann.step(state, added)
        return state, state[1]

    return jax.lax.scan(step, mann.start(), added)[1]


def origins(written: Float[Array, "time writers slots"]) -> Int[Array, "time slots"]:
    """At which time the content of each slot was written, -1 where nothing was: the last at which
    more than half of a head's weight in writing was on it."""
    times = jnp.arange(len(written))[:, None]
    much = jnp.max(written, axis=1) > 0.5
    return jax.lax.cummax(jnp.where(much, times, -1))


def of_class(
    weights: Float[Array, "time slots"],
    origin: Int[Array, "time slots"],
    classes: Int[Array, " time"],
    y: Int[Array, " time"],
) -> Float[Array, " time"]:
    """At each time, of the weights on slots that have been written to before, the share on those
    that were written at a time of the same class, where `classes` is what the times count as."""
    before = jnp.concatenate([jnp.full_like(origin[:1], -1), origin[:-1]])
    filled = before >= 0
    own = filled & (classes[before] == y[:, None])
    return jnp.sum(weights * own, 1) / jnp.maximum(jnp.sum(weights * filled, 1), 1e-9)


@eqx.filter_jit
def attributed(mann: MANN, task: Sequence) -> tuple[Int[Array, " n"], dict[str, Array]]:
    """The presentation of each example, and the shares of what is read then."""
    y = task.query.y
    slots = followed(mann, task.query)
    read, origin = jnp.mean(slots.read, axis=1), origins(slots.written)
    told = jnp.concatenate([jnp.asarray([-1]), y[:-1]])
    return task.presentations(), {
        "written when such an example was shown": of_class(read, origin, y, y),
        "written when its label was told": of_class(read, origin, told, y),
        "of all slots, such as were written then": of_class(jnp.ones_like(read), origin, told, y),
    }


def by_presentation(shares: np.ndarray, presentations: np.ndarray) -> dict[str, Estimate]:
    """Means over the examples of an episode, then over episodes."""
    found = {}
    for k in range(1, PRESENTATIONS + 1):
        counted = np.where(presentations == k, shares, np.nan)
        some = (presentations == k).any(1)
        found[str(k)] = Estimate.of(np.nanmean(counted[some], axis=1))
    return found


def panels(budget: Budget, trained: Trained) -> Iterator[Panel | Map]:
    """One episode, and what many have in common."""
    figures = mann_omniglot(budget).figures[:4]
    mann = cast(MANN, trained(figures[0].run))
    t = FIVE
    tasks = episode_tasks(t, "test", t.way, t.shot, t.query)

    shown = cast(Sequence, tasks.sample(jax.random.key(SHOWN_SEED)))
    slots = jax.tree.map(np.asarray, eqx.filter_jit(followed)(mann, shown.query))
    labels = tuple(str(label) for label in np.asarray(shown.query.y))
    for title, weights in (("written to", slots.written), ("read from", slots.read)):
        yield Map(
            f"How much each slot is {title}, in one episode",
            "class shown at each time",
            "slot",
            weights.mean(1).T,
            labels,
        )

    keys = jax.random.split(jax.random.key(0), EPISODES)
    presentations, shares = jax.lax.map(
        lambda key: attributed(mann, cast(Sequence, tasks.sample(key))), keys
    )
    yield Panel(
        "What is read, by when it was written",
        "presentation of the class",
        "share",
        {
            name: by_presentation(np.asarray(share), np.asarray(presentations))
            for name, share in shares.items()
        },
    )

    def accuracies(figure: Figure) -> dict[str, Estimate]:
        result = evaluate(trained(figure.run), tasks, episodes=EPISODES)
        return {str(k): result.estimate(f"accuracy@{k}") for k in range(1, PRESENTATIONS + 1)}

    yield Panel(
        "Accuracy by presentation",
        "presentation of the class",
        "accuracy",
        {f.label.removesuffix(", 5 classes"): accuracies(f) for f in figures},
    )


STUDY = Study(
    "What a memory-augmented network writes and reads",
    "Santoro et al. 2016",
    f"Omniglot, sequences of 50 examples of 5 classes, {EPISODES} test episodes",
    panels,
)
