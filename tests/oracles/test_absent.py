"""A class of the task without a labelled example: what learners say that compute the logits of a
class from its examples."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.learners.metric.tadam import TADAM
from quickstudy.likelihood import Categorical, absent_last
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import (
    ARCSettings,
    FineTuningSettings,
    InContextSettings,
    MatchingNetSettings,
    MemoryModuleSettings,
    PixelsSettings,
    ProtoNetSettings,
    SiameseSettings,
    StatisticianSettings,
    TADAMSettings,
    TapNetSettings,
    ZeroShotSettings,
)
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
MLP = NetworkSettings("mlp", hidden=(12, 12))
NORMALISED = NetworkSettings("mlp-norm", hidden=(12, 12))
LEARNERS: dict[str, LearnerSettings] = {
    "pixels": PixelsSettings(),
    "fine-tuned neighbours": FineTuningSettings(MLP, match="cosine"),
    "protonet": ProtoNetSettings(MLP),
    "protonet by cosine": ProtoNetSettings(MLP, distance="cosine"),
    "matching": MatchingNetSettings(MLP),
    "matching in full context": MatchingNetSettings(MLP, full_context=True),
    "matching, tuned": MatchingNetSettings(MLP, test_steps=2, test_rate=0.1),
    "tadam": TADAMSettings(NORMALISED),
    "tapnet": TapNetSettings(MLP, references=5),
    "zero-shot": ZeroShotSettings(MLP),
    "siamese": SiameseSettings(MLP),
    "arc": ARCSettings(glimpses=2, controller=8),
    "statistician": StatisticianSettings(MLP, width=16, context=4, latent=2),
    "memory-module": MemoryModuleSettings(MLP, key_width=8),
    "in-context": InContextSettings(layers=2),
}


def built(name: str):
    problem = TaskSpec((6,), Categorical(3), 9, description=(6,))
    learner = LEARNERS[name].build(problem, KEY)
    if isinstance(learner, TADAM):  # as training makes it: the task changes the network
        by = lambda n: [x for c in n.conditioners for x in (c.scale_by, c.shift_by)]  # noqa: E731
        learner = eqx.tree_at(by, learner, [jnp.asarray(0.7)] * len(by(learner)))
    return learner


@pytest.mark.parametrize("name", LEARNERS)
def test_the_other_classes_are_told_apart_as_in_a_task_without_it(name):
    """Classes 0 and 2 of three are classes 0 and 1 of two; class 1 is 1 behind both."""
    learner = built(name)
    x = jnp.asarray(RNG.normal(size=(6, 6)), jnp.float32)
    queries = jnp.asarray(RNG.normal(size=(5, 6)), jnp.float32)
    y = np.asarray([2, 0, 2, 0, 0, 2])

    @eqx.filter_jit
    def logits(labels, way):
        predictor = learner.adapt(Examples(x, jnp.asarray(labels)), Categorical(way), key=KEY)
        return predictor(queries)

    found, expected = np.asarray(logits(y, 3)), np.asarray(logits(y // 2, 2))
    near = 1e-2 if name == "in-context" else 1e-4  # there it begins at -9, not at -∞
    np.testing.assert_allclose(found[:, [0, 2]], expected, rtol=near, atol=near)
    np.testing.assert_allclose(found[:, 1], found[:, [0, 2]].min(1) - 1, rtol=1e-5)


def test_without_any_label_no_class_is_before_another():
    for logits in ([3.0, -1.0], [np.inf, np.nan], [-np.inf, -np.inf]):
        assert absent_last(jnp.asarray([logits]), jnp.zeros(2, bool)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("nothing", [-np.inf, np.inf, np.nan, 1e30, 0.0])
def test_the_rule_row_by_row_whatever_stands_in_the_place_of_an_absent_class(nothing):
    z, seen = RNG.normal(size=(4, 5)).astype(np.float32), np.asarray([1, 0, 1, 0, 1], bool)
    given = jnp.asarray(np.where(seen, z, nothing))
    found = np.asarray(absent_last(given, jnp.asarray(seen)))
    for row, of_row in zip(found, z, strict=True):
        least = min(of_row[k] for k in range(5) if seen[k])
        expected = [of_row[k] if seen[k] else least - 1 for k in range(5)]
        np.testing.assert_allclose(row, expected, rtol=1e-6)
    shifted = absent_last(given + 7, jnp.asarray(seen))
    np.testing.assert_allclose(shifted, found + 7, rtol=1e-5)


def test_its_slope_is_that_of_the_least_logit():
    z, seen = jnp.asarray([2.0, -jnp.inf, 1.0]), jnp.asarray([True, False, True])
    slope = jax.jacobian(lambda z: absent_last(z, seen))(z)
    np.testing.assert_array_equal(slope, [[1, 0, 0], [0, 0, 1], [0, 0, 1]])


def test_each_row_may_have_seen_other_classes():
    z = jnp.asarray([[1.0, 2.0], [3.0, 4.0]])
    seen = jnp.asarray([[True, False], [False, True]])
    assert absent_last(z, seen).tolist() == [[1.0, 0.0], [3.0, 4.0]]


def test_a_class_is_seen_by_a_labelled_example():
    assert Categorical(4).seen(jnp.asarray([2, -1, 0, 2])).tolist() == [True, False, True, False]


def test_tuning_on_a_set_without_a_class_has_a_slope():
    learner = LEARNERS["matching, tuned"].build(TaskSpec((6,), Categorical(3), 9), KEY)
    x = jnp.asarray(RNG.normal(size=(4, 6)), jnp.float32)
    support = Examples(x, jnp.asarray([0, 2, 2, -1]))

    @eqx.filter_grad
    def slope(learner):
        return jnp.sum(learner.adapt(support, Categorical(3), key=KEY)(x))

    leaves = jax.tree.leaves(eqx.filter_jit(slope)(learner))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
