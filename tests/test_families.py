"""Families of methods to come, each written as a user of the library would: none of it is in `src`.

A learner that answers with a mixture, a task that is an environment and no episode, and tasks whose
support set has no label at all. (One training over two sources is in `tests/test_two_sources.py`.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float
from scipy.special import logsumexp
from scipy.stats import norm

from quickstudy import Episode, Examples, Likelihood, Predictor, evaluate, meta_train
from quickstudy.evaluation import paired_difference
from quickstudy.learner import Figures, Learnable, Learner
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.networks import MLP
from quickstudy.task import TaskDistribution
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.training import Validation

KEY = jax.random.key(0)
DRAWS = 5


# A learner that answers with a mixture of five, of any likelihood


class Mixture(Likelihood):
    """p(y) = 1/5 Σ_k p(y | prediction k): the five predictions lie beside each other."""

    of: Likelihood
    size: int = eqx.field(static=True)
    headline = "nll"
    higher_is_better = False

    def labelled(self, y):
        return self.of.labelled(y)

    def encode(self, y):
        return self.of.encode(y)

    def negative_log_likelihood(self, prediction, y):
        draws = jnp.stack(jnp.split(prediction, DRAWS, axis=-1))
        log_p = -jax.vmap(lambda draw: self.of.negative_log_likelihood(draw, y))(draws)
        return jnp.log(DRAWS) - jax.nn.logsumexp(log_p, axis=0)

    def deviance(self, prediction, y):
        raise ValueError("no mixture of five is the best")

    def metrics(self, prediction, y):
        return {"nll": self.mean_loss(prediction, y)}

    def calibration(self, prediction, y):
        return jnp.zeros((15, 3))


class Ensemble(Predictor):
    members: list[Predictor]

    def __call__(self, x):
        return jnp.concatenate([member(x) for member in self.members], axis=-1)


class Five(Learner):
    """Five learners that answer as one."""

    learners: list[Learner]

    def adapt(self, support, likelihood, *, key):
        return Ensemble([one.adapt(support, likelihood, key=key) for one in self.learners])

    def answers(self, likelihood):
        return Mixture(likelihood, DRAWS * likelihood.size)


class Line(Predictor):
    """The level of the support set."""

    level: Float[Array, "..."]

    def __call__(self, x):
        return jnp.broadcast_to(self.level, (len(x), 1))


class Level(Learner):
    shift: Float[Array, ""]

    def adapt(self, support, likelihood, *, key):
        return Line(jnp.mean(support.y) + self.shift)


def test_a_learner_that_answers_with_a_mixture_of_five():
    """Of real targets, which a task's own likelihood could not read; it is trained, too."""
    shifts, tasks = np.linspace(-2, 2, DRAWS), Sinusoid(5, 10)
    learner = Five([Level(jnp.asarray(s)) for s in shifts])
    found = evaluate(learner, tasks, episodes=20)
    task = tasks.sample(jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[0])
    y, means = np.asarray(task.query.y), np.asarray(task.support.y).mean() + shifts
    by_hand = np.log(DRAWS) - logsumexp(norm.logpdf(y, means), axis=1)
    assert found.metrics["nll"][0] == pytest.approx(by_hand.mean(), rel=1e-5)
    alone = evaluate(Level(jnp.asarray(0.0)), tasks, episodes=20)
    assert paired_difference(found, alone, "nll").mean < 0
    trained = meta_train(learner, tasks, optax.adam(0.1), steps=50, meta_batch=8)
    assert evaluate(trained, tasks, episodes=200).estimate().mean < found.estimate().mean


def test_for_classes_the_same_learner_mixes_probabilities():
    networks = [MLP((4,), hidden=(8,), key=key) for key in jax.random.split(KEY, DRAWS)]
    x, y = jax.random.normal(KEY, (12, 4)), jnp.arange(12) % 3
    task = Episode(Examples(x[:6], y[:6]), Examples(x[6:], y[6:]), Categorical(3))
    learner = Five([ProtoNet(network) for network in networks])
    loss, _ = learner.loss(task, key=KEY)
    each = [one.predictions(task, key=KEY) for one in learner.learners]
    p = np.mean([jax.nn.softmax(logits)[jnp.arange(6), task.query.y] for logits in each], axis=0)
    assert float(loss) == pytest.approx(-np.log(p).mean(), rel=1e-5)


# A task that is an environment, and no episode


class Corridor(eqx.Module):
    """A place to be, 1 to the left or to the right, is rewarded: nothing says which, but the
    reward of a first visit. A step costs its square."""

    goal: Float[Array, ""]

    def reward(self, place):
        return -((place - self.goal) ** 2)


class Corridors(TaskDistribution[Corridor]):
    def sample(self, key):
        return Corridor(jnp.where(jax.random.bernoulli(key), 1.0, -1.0))

    def protocol(self):
        return {"environment": "corridor"}


class Explorer(Learnable):
    """Where to look first, and where to go then for each unit of reward that was found there."""

    look: Float[Array, ""]
    gain: Float[Array, ""]
    start: Float[Array, ""]

    def rollout(self, task, key):
        first = self.look + 0.1 * jax.random.normal(key)
        then = self.start + self.gain * task.reward(first)
        return task.reward(then)

    def loss(self, task, *, key):
        reward = self.rollout(task, key)
        return -reward, {"return": reward}

    def figures(self, task, *, key):
        return Figures({"return": self.rollout(task, key)}, "return", higher_is_better=True)


def test_a_task_that_is_an_environment_and_no_episode(tmp_path):
    """Trained by `meta_train`, chosen by validation, measured and compared by `evaluate`."""
    untrained, tasks = Explorer(*map(jnp.asarray, (0.1, 0.0, 0.0))), Corridors()
    trained = meta_train(
        untrained,
        tasks,
        optax.adam(0.02),
        steps=300,
        meta_batch=16,
        validation=Validation(tasks, every=100, episodes=50),
        folder=tmp_path,
    )
    before, after = (evaluate(one, tasks, episodes=100) for one in (untrained, trained))
    assert before.estimate().mean == pytest.approx(-1.0)
    assert after.estimate().mean > -0.2
    assert paired_difference(after, before).mean > 0.8
    assert after.bins is None
    assert "calibration_error" not in after.summary()


# A task whose support set has no label at all


class Shifted(TaskDistribution[Episode]):
    """Two classes in a world of the task's own: inputs are shifted and scaled by as much for all of
    it. The support set shows the world, and no label."""

    def sample(self, key):
        for_y, for_noise, for_world = jax.random.split(key, 3)
        y = jax.random.bernoulli(for_y, shape=(80,)).astype(int)
        x = (2.0 * y - 1)[:, None] + 0.4 * jax.random.normal(for_noise, (80, 3))
        shift, log_scale = jax.random.normal(for_world, (2,)) * jnp.asarray([5.0, 1.0])
        x = jnp.exp(log_scale) * x + shift
        return Episode(Examples(x[:40], jnp.full(40, -1)), Examples(x[40:], y[40:]), Categorical(2))

    def protocol(self):
        return {"data": "shifted", "labelled": 0}


class Normalised(Predictor):
    network: MLP
    mean: Float[Array, " d"]
    deviation: Float[Array, " d"]

    def __call__(self, x):
        return self.network((x - self.mean) / self.deviation)[0]


class TestTimeNormalisation(Learner):
    """Adapts the statistics of its inputs to a set without labels (Schneider et al. 2020)."""

    __test__ = False
    network: MLP

    def adapt(self, support, likelihood, *, key):
        x = support.x
        return Normalised(self.network, jnp.mean(x, 0), jnp.std(x, 0))

    @property
    def uses_unlabelled(self):
        return True

    @property
    def absent_last(self):
        return False


def test_a_task_whose_support_set_has_no_label_at_all():
    """Other learners put both classes level; `tests/contract` asks that of each."""
    tasks = Shifted()
    learner = TestTimeNormalisation(MLP((3,), hidden=(8, 2), key=KEY))
    trained = meta_train(learner, tasks, optax.adam(0.01), steps=200, meta_batch=8)
    assert evaluate(trained, tasks, episodes=100).estimate().mean > 0.95
    blind = ProtoNet(MLP((3,), hidden=(8,), key=KEY))
    assert evaluate(blind, tasks, episodes=100).estimate("nll").mean == pytest.approx(np.log(2))
    with pytest.raises(ValueError, match="classify"):
        blind.adapt(tasks.sample(KEY).support, Gaussian(1), key=KEY)
