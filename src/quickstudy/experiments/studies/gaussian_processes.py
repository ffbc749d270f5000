"""How near does a conditional neural process come to the exact posterior? (Garnelo et al., ICML
2018, section 4.1 and figure 2; section 4.2 and figure 3.)

On functions of one known Gaussian process the best prediction has a closed form, so the negative
log-likelihood of a target is shown beside the least that is possible, against the number of points
that are told. A network whose scale is at least .1 cannot be as sure as the exact posterior: that
posterior with its scale held to .1 is the least that such a network could reach.

Then one function as more of it is told, and digits of which some pixels are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, Shaped

from quickstudy.estimate import Estimate
from quickstudy.evaluation import evaluate
from quickstudy.experiments.diagrams import Map, Panel, pictures
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.learner import Learner, Predictor
from quickstudy.learners.distances import squared_distances
from quickstudy.likelihood import HeteroscedasticGaussian, Likelihood, RealTargets
from quickstudy.runs.tasks import episode_tasks
from quickstudy.settings.learners import CNPSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.task import Examples
from quickstudy.tasks.completion import Completion, places
from quickstudy.tasks.gaussian_processes import GaussianProcesses, posterior

EPISODES = 2000
DIGITS = 600
SIZES = (0, 1, 2, 3, 5, 7, 10, 15, 20)
PIXELS = (2, 5, 10, 20, 50, 100)
SHOWN = (1, 3, 5, 10, 20)
SHOWN_PIXELS = (3, 10, 30, 100)
SHOWN_DIGITS = (1, 2)
GRID = np.linspace(-2, 2, 61)
QUANTILE = 1.96


class ExactPosterior(Predictor):
    """What a Gaussian process says of y, in the numbers of a network's predictions."""

    process: GaussianProcesses
    context: Examples
    likelihood: HeteroscedasticGaussian

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        mean, scale = posterior(
            self.context,
            x,
            length=self.process.length[0],
            amplitude=self.process.amplitude[0],
            noise=self.process.noise,
        )
        floor = self.likelihood.floor
        above = jnp.maximum((scale - floor) / (1 - floor), 1e-6)
        return jnp.concatenate([mean, jnp.log(jnp.expm1(above))], axis=1)


class Exact(Learner):
    """Knows the process, and has nothing to learn."""

    process: GaussianProcesses

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> ExactPosterior:
        assert isinstance(likelihood, HeteroscedasticGaussian)
        return ExactPosterior(self.process, support, likelihood)


class NearestPoint(Predictor):
    """The target of the nearest example, and nothing of how sure that is."""

    context: Examples

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        far = jnp.where(jnp.isnan(self.context.y).T, jnp.inf, squared_distances(x, self.context.x))
        y = self.context.y[jnp.argmin(far, axis=1)]
        return jnp.concatenate([y, jnp.zeros_like(y)], axis=1)


class Nearest(Learner):
    """What needs no training."""

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> NearestPoint:
        return NearestPoint(support)


LEARNERS = {"CNP": CNPSettings(), "CNP with attention": CNPSettings(attention=True)}


def each_learner(
    tasks: TaskSettings, steps: int, meta_batch: int, looks: int, episodes: int
) -> dict[str, RunSettings]:
    """The same training for each of the `LEARNERS`, with so many looks at so many validation
    episodes."""
    training = TrainingSettings(
        steps=steps,
        meta_batch=meta_batch,
        learning_rate=1e-3,
        decay="cosine",
        validate_every=steps // looks,
        validation_episodes=episodes,
    )
    return {name: RunSettings(learner, tasks, training) for name, learner in LEARNERS.items()}


def on_functions(budget: Budget) -> dict[str, RunSettings]:
    """Those trained on one Gaussian process; contexts of up to 20 points."""
    steps = 25_000 if budget == "cpu" else 200_000
    return each_learner(
        TaskSettings("fixed-gaussian-process", shot=20, query=30), steps, 16, 10, 500
    )


def on_digits(budget: Budget) -> dict[str, RunSettings]:
    """Those trained on digits; contexts of up to 100 pixels."""
    steps = 12_000 if budget == "cpu" else 100_000
    return each_learner(TaskSettings("mnist-completion", shot=100, query=100), steps, 8, 5, 100)


class FirstFew(Learner):
    """A learner that is told the first `count` examples of a support set alone."""

    learner: Learner
    count: Int[Array, ""]

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Predictor:
        return self.learner.adapt(first_few(support, self.count), likelihood, key=key)


def first_few(support: Examples, count: int | Int[Array, ""]) -> Examples:
    """The first examples of a support set; the others are unlabelled."""
    told = (jnp.arange(len(support.y)) < count)[:, None]
    return Examples(support.x, jnp.where(told, support.y, jnp.nan))


@eqx.filter_jit
def predicted(
    learner: Learner, context: Examples, likelihood: RealTargets, x: Float[Array, "n d"]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The mean and the scale at each place."""
    key = jax.random.key(0)
    mean, scale = likelihood.moments(learner.adapt(context, likelihood, key=key)(x))
    return mean[:, 0], scale[:, 0]


def band(x: np.ndarray, mean: ArrayLike, half_width: ArrayLike) -> dict[str, Estimate]:
    """A line with a band."""
    return {
        f"{at:.3f}": Estimate(float(m), float(h), 1)
        for at, m, h in zip(x, np.asarray(mean), np.asarray(half_width), strict=True)
    }


def one_function(process: GaussianProcesses, learners: dict[str, Learner]) -> Iterator[Panel]:
    """As more of it is told."""
    exact = replace(process, likelihood=HeteroscedasticGaussian(floor=0.0))
    episode = replace(process, query=120, least=process.shot).sample(jax.random.key(3))
    order = np.argsort(np.asarray(episode.query.x[:, 0]))
    truth = np.asarray(episode.query.x)[order, 0], np.asarray(episode.query.y)[order, 0]
    for count in SHOWN:
        context = first_few(episode.support, count)
        lines = {"function": band(*truth, np.zeros(len(order)))}
        for name, learner in learners.items():
            likelihood = exact.likelihood if isinstance(learner, Exact) else process.likelihood
            mean, scale = predicted(learner, context, likelihood, jnp.asarray(GRID)[:, None])
            lines[name] = band(GRID, mean, QUANTILE * scale)
        told = np.asarray(context.x[:count, 0]), np.asarray(context.y[:count, 0])
        lines["told"] = band(*told, np.zeros(count))
        words = f"{count} point{'s' if count > 1 else ''} told: means, and bands of 95 %"
        yield Panel(words, "x", "y", lines, points=("told",))


def one_digit(tasks: Completion, learners: dict[str, Learner], seed: int) -> Map:
    """As more of its pixels are told."""
    side = tasks.pictures.shape[1]
    everything = replace(tasks, shot=side**2 - 1, query=1, least=side**2 - 1)
    episode = everything.sample(jax.random.key(seed))
    everywhere = places(side, side)

    def drawn(examples: Examples, blank: float) -> np.ndarray:
        picture = np.full((side, side), blank)
        y = np.asarray(examples.y[:, 0])
        at = np.round((np.asarray(examples.x) + 2) / 4 * (side - 1)).astype(int)[~np.isnan(y)]
        picture[at[:, 0], at[:, 1]] = y[~np.isnan(y)]
        return picture

    contexts = [first_few(episode.support, count) for count in SHOWN_PIXELS]
    rows = {"told": [drawn(context, 0.3) for context in contexts]}
    for name, learner in learners.items():
        rows[name] = [
            np.asarray(predicted(learner, context, tasks.likelihood, everywhere)[0]).reshape(
                side, side
            )
            for context in contexts
        ]
    rows["digit"] = [drawn(episode.support, 0.0)] * len(contexts)
    return pictures(
        "A digit, from so many pixels",
        "pixels told",
        rows,
        [str(count) for count in SHOWN_PIXELS],
    )


def panels(budget: Budget, trained: Trained) -> Iterator[Panel | Map]:
    """Functions, then digits."""
    runs = on_functions(budget)
    t = runs["CNP"].tasks
    process = episode_tasks(t, "test", t.way, t.shot, t.query)
    assert isinstance(process, GaussianProcesses)
    exact = Exact(process)
    learners: dict[str, Learner] = {name: trained(run) for name, run in runs.items()}

    def nll(learner: Learner, count: int, floor: float = 0.1) -> Estimate:
        likelihood = HeteroscedasticGaussian(floor=floor)
        tasks = replace(process, least=process.shot, likelihood=likelihood)
        few = FirstFew(learner, jnp.asarray(count))
        return evaluate(few, tasks, episodes=EPISODES, show_progress=False).estimate()

    lines = {name: {str(n): nll(learner, n) for n in SIZES} for name, learner in learners.items()}
    lines["exact posterior, scale at least .1"] = {str(n): nll(exact, n) for n in SIZES}
    lines["exact posterior"] = {str(n): nll(exact, n, floor=0.0) for n in SIZES}
    yield Panel("Negative log-likelihood of a target", "points told", "nll", lines)
    yield from one_function(process, {**learners, "exact posterior": exact})

    runs = on_digits(budget)
    t = runs["CNP"].tasks
    digits = episode_tasks(t, "test", t.way, t.shot, t.query)
    assert isinstance(digits, Completion)
    learners = {name: trained(run) for name, run in runs.items()}

    def error(learner: Learner, count: int) -> Estimate:
        few = FirstFew(learner, jnp.asarray(count))
        tasks = replace(digits, least=digits.shot)
        return evaluate(few, tasks, episodes=DIGITS, show_progress=False).estimate("mse")

    yield Panel(
        "Digits: squared error of a pixel",
        "pixels told",
        "mse",
        {
            name: {str(n): error(learner, n) for n in PIXELS}
            for name, learner in {**learners, "nearest pixel": Nearest()}.items()
        },
    )
    for seed in SHOWN_DIGITS:
        yield one_digit(digits, learners, seed)


STUDY = Study(
    "Conditional neural processes beside the exact posterior",
    "Garnelo et al. 2018, figures 2 and 3",
    f"one Gaussian process (l = .4, σ = 1, noise .02, x from -2 to 2), {EPISODES} test functions, "
    f"30 targets; MNIST, {DIGITS} test digits, 100 targets",
    panels,
)
