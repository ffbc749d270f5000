"""Small learners of pictures, as the package's are: they compile quickly."""

import equinox as eqx
import jax
import numpy as np

from quickstudy.data.inputs import Inputs
from quickstudy.likelihood import Categorical
from quickstudy.open_set import Reference
from quickstudy.serving.server import learners
from quickstudy.serving.server.learners import ServedLearner
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.padded import Room
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import MAMLSettings, ProtoNetSettings
from quickstudy.settings.learners.metric.matching import MatchingNetSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.settings.training import TrainingSettings

SMALL = NetworkSettings("mlp-norm", hidden=(16, 16))
SHAPE = (28, 28, 1)
PROBLEM = TaskSpec(SHAPE, Categorical(3), None)
LIMITS = Limits(most_examples=40, most_classes=6, most_inputs=60, most_megabytes=1, most_models=3)


def learner(name: str, kind: LearnerSettings, limits: Limits = LIMITS) -> ServedLearner:
    """An untrained learner."""
    made = kind.build(PROBLEM, jax.random.key(0))
    if hasattr(made, "population"):  # the statistics of the training tasks
        x = jax.random.uniform(jax.random.key(1), (40, *SHAPE))
        statistics = made.network(x)[1]
        made = eqx.tree_at(lambda m: m.population, made, statistics, is_leaf=lambda n: n is None)
    inputs = Inputs(SHAPE, ink="auto", unit_range=True)
    settings = RunSettings(
        kind, TaskSettings("glyphs", way=3, inputs=inputs), TrainingSettings(steps=1)
    )
    room = Room.of(limits.most_examples, limits.most_classes)
    if name != "characters":  # one size for all sets compiles in half the time
        room = Room(room.sizes[:1], room.classes)
    return ServedLearner(name, made, settings, PROBLEM, room, (known(),))


def rows() -> ServedLearner:
    """An untrained learner of rows of two numbers."""
    plain = NetworkSettings("mlp", hidden=(16, 16))
    problem, kind = TaskSpec((2,), Categorical(3), None), ProtoNetSettings(plain)
    inputs = Inputs((2,), mean=(0.0, 0.0), deviation=(1.0, 1.0))
    tasks, room = TaskSettings("glyphs", way=3, inputs=inputs), Room((32,), 5)
    settings = RunSettings(kind, tasks, TrainingSettings(steps=1))
    made = kind.build(problem, jax.random.key(0))
    return ServedLearner("rows", made, settings, problem, room)


def known() -> dict:
    """What known inputs are like: made up."""
    rng = np.random.default_rng(0)
    found = Reference.of(
        rng.uniform(0, 50, (99, 2)), rng.normal(size=(99, 4, 3)), np.ones(3), "made up"
    )
    return {"way": 3, "shot": 2, **found.to_json()}


def shipped(limits: Limits = LIMITS) -> list[ServedLearner]:
    """In the place of `learners.shipped`."""
    found = [
        learner("characters", ProtoNetSettings(SMALL), limits),
        learner("maml", MAMLSettings(SMALL, normalisation="support"), limits),
        learner("matching", MatchingNetSettings(SMALL), limits),
    ]
    return [*found, learners.neighbour(found[0])]
