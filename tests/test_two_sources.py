"""One training over two sources: what tasks of several data sets need is a distribution that
chooses between two, and nothing of the project changes."""

from typing import Any

import equinox as eqx
import jax
import optax

from quickstudy import Episode, TaskDistribution, meta_train
from quickstudy.evaluation import evaluate
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.networks import MLP
from quickstudy.tasks.few_shot import FewShot


class OneOf(TaskDistribution[Episode]):
    """A task of one of two distributions, each as often: of one shape and one likelihood."""

    one: TaskDistribution[Episode]
    other: TaskDistribution[Episode]

    def sample(self, key):
        choose, draw = jax.random.split(key)
        first = jax.random.bernoulli(choose)
        return jax.lax.cond(first, lambda: self.one.sample(draw), lambda: self.other.sample(draw))

    def protocol(self) -> dict[str, Any]:
        return {"one": self.one.protocol(), "other": self.other.protocol()}


def test_one_training_over_two_sources_learns_both(clusters):
    easy, hard = (FewShot(clusters(noise=noise), 3, 1, 5) for noise in (0.2, 0.8))
    both = OneOf(easy, hard)
    start = ProtoNet(MLP((8,), hidden=(32, 8), key=jax.random.key(0)))
    trained = meta_train(start, both, optax.adam(1e-2), steps=60, meta_batch=4)
    for tasks in (easy, hard):
        before, after = (evaluate(one, tasks, episodes=40) for one in (start, trained))
        assert after.estimate().mean > before.estimate().mean
    assert evaluate(trained, both, episodes=40).protocol["one"] == easy.protocol()
    assert eqx.tree_equal(both.sample(jax.random.key(1)), both.sample(jax.random.key(1)))
