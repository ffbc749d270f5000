"""Rapid learning or feature reuse? (Raghu, Raghu, Bengio and Vinyals, ICLR 2020)

Does MAML's inner loop change what the network sees, or only what its last layer makes of it? Two
looks at a trained MAML: how alike each layer's representation is before and after the inner loop,
by linear CKA (section 3.2.2, figure 2),

    CKA(X, Y) = ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖)      columns centred, Frobenius norms
                                                (Kornblith et al. 2019, section 3)

and how well it does when the first layers are not allowed to adapt (section 3.2.1, table 1), down
to no inner loop at all: the nearest support example by the cosine of the body's features (5.2).

Differences from the paper: Omniglot instead of mini-ImageNet in the small budget and the full one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from quickstudy.estimate import Estimate
from quickstudy.evaluation import evaluate, paired_difference
from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.published.gradient import maml_omniglot
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.networks import Conv4, WithHead
from quickstudy.runs.tasks import episode_tasks
from quickstudy.task import Episode, TaskDistribution

EPISODES = 600
LAYERS = ("block 1", "block 2", "block 3", "block 4", "head")


def cka(x: Float[Array, "n ..."], y: Float[Array, "n ..."]) -> Float[Array, ""]:
    """Linear centred kernel alignment of two representations of the same n inputs, from the n × n
    matrices of inner products: 1 where one is the other turned and scaled.

    >>> x = jnp.asarray([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    >>> cka(x, 3 * x[:, ::-1] + 1)
    Array(1., dtype=float32)
    """

    def products(z: Float[Array, "n ..."]) -> Float[Array, "n n"]:
        z = z.reshape(z.shape[0], -1)
        z = z - jnp.mean(z, 0)
        return z @ z.T

    k, l = products(x), products(y)  # noqa: E741  the paper's letters
    return jnp.sum(k * l) / jnp.sqrt(jnp.sum(k**2) * jnp.sum(l**2))


def representations(network: WithHead, x: Float[Array, "n h w c"]) -> list[Array]:
    """What each of `LAYERS` makes of the inputs, under their own batch statistics."""
    body = cast(Conv4, network.body)
    found = [x]
    for block in body.blocks:
        found.append(block(found[-1], None)[0])
    return [*found[1:], network(x)[0]]


def similarity(maml: MAML, tasks: TaskDistribution[Episode], episodes: int) -> list[Estimate]:
    """For each layer, the CKA of the queries' representations before and after the inner loop."""

    @eqx.filter_jit
    def of_episodes(maml: MAML, tasks: TaskDistribution[Episode]):
        def one(index):
            key = jax.random.fold_in(jax.random.key(0), index)
            task = tasks.sample(key)
            adapted = maml.adapt(task.support, task.likelihood, key=key).network
            before, after = (
                representations(cast(WithHead, network), task.query.x)
                for network in (maml.network, adapted)
            )
            return jnp.stack([cka(x, y) for x, y in zip(before, after, strict=True)])

        return jax.lax.map(one, jnp.arange(episodes))

    return [Estimate.of(layer) for layer in np.asarray(of_episodes(maml, tasks)).T]


def frozen(maml: MAML, layers: int) -> MAML:
    """The same learner, whose first `layers` blocks take no inner steps."""
    network = cast(WithHead, maml.network)
    blocks = cast(Conv4, network.body).blocks
    still = eqx.tree_at(
        lambda n: [leaf for b in n.body.blocks[:layers] for leaf in jax.tree.leaves(b)],
        jax.tree.map(lambda _: False, eqx.filter(network, eqx.is_inexact_array)),
        replace_fn=lambda _: True,
    )
    assert 0 <= layers <= len(blocks)
    stop = optax.masked(optax.set_to_zero(), lambda _: still)
    return dataclasses.replace(maml, optimizer=optax.chain(maml.optimizer, stop))


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """The two looks."""
    figure = maml_omniglot(budget).figures[0]
    maml = cast(MAML, trained(figure.run))
    t = figure.test
    tasks = episode_tasks(t, "test", t.way, t.shot, t.query)

    alike = similarity(maml, tasks, EPISODES)
    yield Panel(
        f"Representations before and after {maml.test_steps} inner steps",
        "layer",
        "CKA",
        {"MAML": dict(zip(LAYERS, alike, strict=True))},
    )

    network = cast(WithHead, maml.network)
    variants = {
        **{
            name: frozen(maml, layers)
            for layers, name in enumerate(("none", "1", "1–2", "1–3", "1–4 (head adapts)"))
        },
        "all (nearest by cosine)": ProtoNet(network.body, "cosine", "batch"),
    }
    results = {
        name: evaluate(learner, tasks, episodes=EPISODES) for name, learner in variants.items()
    }
    yield Panel(
        "MAML whose first blocks may not adapt",
        "frozen blocks",
        "accuracy",
        {"MAML": {name: result.estimate() for name, result in results.items()}},
    )
    yield Panel(
        "Change from all layers adapting, paired",
        "frozen blocks",
        "difference in accuracy",
        {
            "MAML": {
                name: paired_difference(result, results["none"])
                for name, result in results.items()
                if name != "none"
            }
        },
    )


STUDY = Study(
    "Rapid learning or feature reuse?",
    "Raghu et al. 2020",
    f"Omniglot 5-way 1-shot, 15 queries a class, {EPISODES} test episodes, transductive batch norm",
    panels,
)
