"""Learners learn where their baselines do not: small problems, seconds each."""

import functools

import jax
import numpy as np
import optax

from quickstudy.estimate import Estimate
from quickstudy.evaluation import evaluate, paired_difference
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.networks import MLP, Conv4, WithHead
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.training import meta_train

KEY = jax.random.key(0)


def surely_positive(e: Estimate) -> bool:
    return e.mean - 2 * e.half_width > 0


def test_maml_on_sinusoids_beats_no_adaptation_and_joint_training():
    """Each alternative sees the same tasks; the joint network also gets the inner step at test."""
    network = WithHead(MLP((1,), hidden=(40, 40), key=KEY), 1, key=KEY)
    tasks = Sinusoid(10, 10)

    def trained(inner_steps: int) -> MAML:
        learner = MAML(network, optax.sgd(0.02), train_steps=inner_steps, test_steps=1)
        return meta_train(learner, tasks, optax.adam(1e-3), steps=1000, meta_batch=10)

    maml, joint = trained(1), trained(0)
    unadapted = MAML(maml.network, optax.sgd(0.02), test_steps=0)
    score = functools.partial(evaluate, tasks=tasks, episodes=200)
    result = score(maml)
    for other in (unadapted, joint):
        assert surely_positive(paired_difference(score(other), result))
    assert result.estimate("mse").mean < 0.7 * score(joint).estimate("mse").mean


def moved_shapes(classes: int, each: int, first: int) -> ArraySource:
    """A 5 × 5 pattern for each class, anywhere on 16 × 16: pixels disagree, features need not."""
    rng = np.random.default_rng(first)
    patterns = rng.integers(0, 2, (classes, 5, 5))
    x = np.zeros((classes, each, 16, 16, 1), np.float32)
    for c in range(classes):
        for e in range(each):
            i, j = rng.integers(0, 12, 2)
            x[c, e, i : i + 5, j : j + 5, 0] = patterns[c]
    return ArraySource(
        x.reshape(-1, 16, 16, 1),
        each * np.arange(classes),
        np.full(classes, each),
        {"data": "shapes", "first": first},
    )


def test_a_convolutional_protonet_sees_moved_shapes_and_pixels_do_not():
    train, test = (FewShot(moved_shapes(60, 12, first), 4, 2, 4) for first in (0, 1000))
    learner = ProtoNet(Conv4((16, 16, 1), filters=8, key=KEY))
    learner = meta_train(learner, train, optax.adam(1e-2), steps=120, tasks_at_once=1)
    ours, raw = (evaluate(x, test, episodes=150) for x in (learner, NearestNeighbour()))
    assert surely_positive(paired_difference(ours, raw))
    assert ours.estimate().mean > 1 / 4 + 0.2
