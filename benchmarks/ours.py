"""quickstudy's side: the library's own functions, many steps in one compiled program.

Its steps draw their episodes as they go; the peers are handed theirs, so what drawing costs counts
against us.
"""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from benchmarks.cases import (
    FILTERS,
    HIDDEN,
    META_LEARNING_RATE,
    PICTURE,
    PICTURE_CLASSES,
    PICTURES_PER_CLASS,
    Case,
    Evaluation,
    MAMLStep,
    ProtoNetStep,
    Sampling,
)
from benchmarks.contender import (
    ConvParameters,
    EpisodeArrays,
    LinearParameters,
    Moments,
    Problem,
)
from quickstudy import memory
from quickstudy.devices import task_mesh
from quickstudy.evaluation import EPISODES_PER_CALL as EVALUATED_PER_CALL
from quickstudy.evaluation import evaluate
from quickstudy.learner import Learner
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, Conv4, Network, WithHead
from quickstudy.networks.layers import Precision
from quickstudy.task import Episode, TaskDistribution
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.training.meta_batch import are_large, default_tasks_at_once, mean_gradient

NAME = "quickstudy"
SEED = 0
EPISODES_PER_CALL = 100


class TrainingSteps:
    """Meta-steps as `meta_train` takes them: a loop on the device over drawing a meta-batch, its
    mean gradient, and an update by Adam."""

    def __init__(self, learner: Learner, tasks: TaskDistribution[Episode], meta_batch: int):
        self.tasks, self.meta_batch = tasks, meta_batch
        optimizer = optax.adam(META_LEARNING_RATE)
        trained, fixed = eqx.partition(learner, eqx.is_inexact_array)
        task_arrays, task_rest = eqx.partition(tasks, eqx.is_array)
        mesh = task_mesh(meta_batch, by_core=are_large(tasks))
        at_once = default_tasks_at_once(tasks, meta_batch // mesh.size)

        def advance(trained: PyTree, state: PyTree, task_arrays: PyTree, stop: Int[Array, ""]):
            """After steps 0 … stop - 1: parameters, state, the last loss and gradient norm."""
            tasks = eqx.combine(task_arrays, task_rest)

            def step(number: Int[Array, ""], carry: tuple):
                trained, state, _ = carry
                gradient, metrics, _ = mean_gradient(
                    eqx.combine(trained, fixed),
                    tasks,
                    step_key(number),
                    Backpropagation(),
                    meta_batch,
                    at_once,
                    mesh,
                )
                updates, state = optimizer.update(gradient, state, trained)
                figures = (metrics["loss"], optax.tree.norm(gradient))
                return optax.apply_updates(trained, updates), state, figures

            nothing = (jnp.zeros(()), jnp.zeros(()))
            return jax.lax.fori_loop(0, stop, step, (trained, state, nothing))

        arguments = (trained, optimizer.init(trained), task_arrays)
        started = time.perf_counter()
        compiled = jax.jit(advance).lower(*arguments, jnp.asarray(1)).compile()
        self.compile_seconds = time.perf_counter() - started
        self.bytes_needed = memory.needed(compiled)
        self.advance: Callable[[int], Any] = lambda stop: jax.block_until_ready(
            compiled(*arguments, jnp.asarray(stop))
        )

    def figures(self) -> dict[str, float]:
        _, _, (loss, norm) = self.advance(1)
        return {"loss": float(loss), "gradient norm": float(norm)}

    def run(self, steps: int) -> None:
        self.advance(steps)

    def first_meta_batch(self) -> tuple[EpisodeArrays, ...]:
        """The episodes that step 0 draws."""

        @eqx.filter_jit
        def draw(tasks: TaskDistribution[Episode], index: Int[Array, ""]) -> Episode:
            for_task, _ = jax.random.split(jax.random.fold_in(step_key(0), index))
            return tasks.sample(for_task)

        return tuple(as_numpy(draw(self.tasks, jnp.asarray(i))) for i in range(self.meta_batch))


class EvaluatedEpisodes:
    """`evaluate`, from drawing the episodes to the accuracy with its interval."""

    def __init__(self, learner: ProtoNet, tasks: FewShot, episodes: int):
        self.learner, self.tasks, self.episodes = learner, tasks, episodes
        self.episode = eqx.filter_jit(tasks.sample)(jax.random.key(SEED))
        first, second = (self.seconds_of(EVALUATED_PER_CALL) for _ in range(2))
        self.compile_seconds = max(0.0, first - second)

    def figures(self) -> dict[str, float]:
        key, task = jax.random.key(SEED), self.episode

        @eqx.filter_jit
        def logits(learner: ProtoNet, task: Episode) -> Array:
            return learner.adapt(task.support, task.likelihood, key=key)(task.query.x)

        made = logits(self.learner, task)
        return {
            "loss": float(task.likelihood.mean_loss(made, task.query.y)),
            "norm of the logits": float(jnp.linalg.norm(made)),
        }

    def seconds_of(self, episodes: int) -> float:
        """Seconds that a smaller evaluation takes, compiling where it is the first."""
        started = time.perf_counter()
        evaluate(self.learner, self.tasks, episodes=episodes)
        return time.perf_counter() - started

    def run(self, steps: int) -> None:
        for _ in range(steps):
            evaluate(self.learner, self.tasks, episodes=self.episodes)


class DrawnEpisodes:
    """Episodes drawn on the device, a hundred by one call (a number of steps is rounded up to
    hundreds); all of them come into being in memory."""

    def __init__(self, tasks: FewShot):
        arrays, rest = eqx.partition(tasks, eqx.is_array)

        def draw(arrays: PyTree, key: PRNGKeyArray) -> Episode:
            keys = jax.random.split(key, EPISODES_PER_CALL)
            return jax.lax.map(eqx.combine(arrays, rest).sample, keys)

        started = time.perf_counter()
        compiled = jax.jit(draw).lower(arrays, jax.random.key(SEED)).compile()
        self.compile_seconds = time.perf_counter() - started
        self.draw: Callable[[PRNGKeyArray], Episode] = lambda key: jax.block_until_ready(
            compiled(arrays, key)
        )

    def figures(self) -> dict[str, float]:
        episode = jax.tree.map(lambda x: x[0], self.draw(jax.random.key(SEED)))
        return drawing_figures(as_numpy(episode))

    def run(self, steps: int) -> None:
        for call in range(-(-steps // EPISODES_PER_CALL)):
            self.draw(step_key(call))


OurContender = TrainingSteps | EvaluatedEpisodes | DrawnEpisodes


def contender(case: Case) -> tuple[OurContender, Problem]:
    """Our side of a case, compiled, and the same problem in NumPy's arrays for the others."""
    key = jax.random.key(SEED)
    precision: Precision = "bfloat16" if case.arithmetic == "bfloat16" else "float32"
    if isinstance(case, MAMLStep) and case.network == "mlp 2x40":
        tasks: TaskDistribution[Episode] = Sinusoid(case.shot, case.query)
        body: Network = MLP((1,), hidden=HIDDEN, precision=precision, key=key)
    else:
        stride = case.stride if isinstance(case, MAMLStep) else 1
        tasks = FewShot(random_pictures(), case.way, case.shot, case.query)
        body = Conv4(PICTURE, filters=FILTERS, stride=stride, precision=precision, key=key)
    match case:
        case MAMLStep():
            learner = MAML(
                WithHead(body, case.way, key=jax.random.fold_in(key, 1)),
                optax.sgd(case.inner_learning_rate),
                train_steps=case.inner_steps,
                first_order=case.first_order,
            )
            steps = TrainingSteps(learner, tasks, case.tasks)
            return steps, problem_of(learner.network, steps.first_meta_batch())
        case ProtoNetStep():
            steps = TrainingSteps(ProtoNet(body), tasks, 1)
            return steps, problem_of(body, steps.first_meta_batch())
        case Evaluation():
            assert isinstance(tasks, FewShot)
            settled = eqx.filter_jit(ProtoNet.settle)(ProtoNet(body), tasks, key=key)
            ours = EvaluatedEpisodes(settled, tasks, case.episodes)
            moments = tuple(Moments(*map(np.asarray, m)) for m in settled.population or ())
            return ours, problem_of(body, (as_numpy(ours.episode),), moments, pictures())
        case Sampling():
            assert isinstance(tasks, FewShot)
            return DrawnEpisodes(tasks), Problem(pictures=pictures())


def step_key(number: int | Int[Array, ""]) -> PRNGKeyArray:
    """The key of a step's meta-batch."""
    return jax.random.fold_in(jax.random.key(SEED), number)


def pictures() -> np.ndarray:
    """(classes, each, 28, 28, 1) random bits, as the bytes 0 and 255."""
    shape = (PICTURE_CLASSES, PICTURES_PER_CLASS, *PICTURE)
    return np.random.default_rng(SEED).integers(0, 2, shape).astype(np.uint8) * 255


def random_pictures() -> ArraySource:
    """`pictures` as a source of classes."""
    return ArraySource(
        pictures().reshape(-1, *PICTURE),
        PICTURES_PER_CLASS * np.arange(PICTURE_CLASSES),
        np.full(PICTURE_CLASSES, PICTURES_PER_CLASS),
        {"data": "random bits"},
    )


def as_numpy(episode: Episode) -> EpisodeArrays:
    """An episode in NumPy's arrays."""
    arrays = (episode.support.x, episode.support.y, episode.query.x, episode.query.y)
    return EpisodeArrays(*map(np.asarray, arrays))


def problem_of(
    network: Network,
    episodes: tuple[EpisodeArrays, ...],
    moments: tuple[Moments, ...] = (),
    pictures: np.ndarray | None = None,
) -> Problem:
    """The network's parameters, and the rest, in NumPy's arrays."""
    body = network.body if isinstance(network, WithHead) else network
    blocks = body.blocks if isinstance(body, Conv4) else ()
    linears = body.layers if isinstance(body, MLP) else ()
    if isinstance(network, WithHead):
        linears = (*linears, network.head)
    return Problem(
        tuple(
            ConvParameters(*map(np.asarray, (b.kernel, b.norm.gamma, b.norm.beta))) for b in blocks
        ),
        tuple(LinearParameters(np.asarray(x.weight), np.asarray(x.bias)) for x in linears),
        moments,
        episodes,
        pictures,
    )


def drawing_figures(episode: EpisodeArrays) -> dict[str, float]:
    """What all ways of drawing agree on: how many examples, of how many classes, none twice."""
    x = np.concatenate([episode.support_x, episode.query_x])
    return {
        "support examples": len(episode.support_x),
        "query examples": len(episode.query_x),
        "classes": len(np.unique(episode.query_y)),
        "distinct pictures": len(np.unique(x.reshape(len(x), -1), axis=0)),
        "largest value": float(x.max()),
    }
