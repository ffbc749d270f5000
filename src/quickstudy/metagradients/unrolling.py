"""Windows of long inner processes: truncated back-propagation through time, as in "Learning to
learn by gradient descent by gradient descent" (Andrychowicz et al. 2016).

The meta-objective of a process with states s_t, s_{t+1} = Φ_ω(s_t), over a horizon of T steps is

    L(ω) = 1/T Σ_{t=1}^T w_t f(s_t)                                                   (eq. 3)

A meta-step unrolls only the next K steps, differentiates their part of L with the state before them
as a constant, and keeps the final state for the next meta-step. So memory and time of a meta-step
do not depend on T. After T steps a new task begins. The places of a meta-batch begin at different
phases, so no meta-step sees only early steps.

The estimate is biased, because it ignores the effect of a window on later windows
(`persistent_evolution.py` has an unbiased estimate). With K = T it is the whole gradient.

In a curriculum (Chen et al., "Training Stronger Baselines for Learning to Optimize", NeurIPS 2020)
the horizon grows as meta-training goes on.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, UInt32

from quickstudy.learner import Metrics
from quickstudy.metagradients.backpropagation import LossGradient
from quickstudy.metagradients.metagradient import Step
from quickstudy.task import TaskDistribution, TaskKeys

Weights = Literal["uniform", "linear", "final"]
"""The weights w_t: 1; 2t/(T+1); or T for t = T and else 0. Their mean is 1."""


@runtime_checkable
class Process(Protocol):
    """A learner with an inner process: Φ_ω and f."""

    def begin(self, task: Any, key: PRNGKeyArray) -> PyTree:
        """s_0"""
        ...

    def value(self, task: Any, state: PyTree, key: PRNGKeyArray) -> Float[Array, ""]:
        """Compute f(s_t), on the data that `key` draws."""
        ...

    def advance(
        self, task: Any, state: PyTree, key: PRNGKeyArray, *, first_order: bool
    ) -> tuple[PyTree, Float[Array, ""]]:
        """s_{t+1}, and f(s_t). With `first_order` the gradients that Φ uses are constants."""
        ...


class Standing(NamedTuple):
    """The state of a process and its position."""

    key: UInt32[Array, "..."]
    """The data of the key that determines its task and all its randomness."""
    state: PyTree
    done: Int[Array, ""]
    """t"""
    horizon: Int[Array, ""]
    """T"""


@dataclass(frozen=True)
class Unrolling:
    """The length of processes, and the window of a meta-step.

    Raises `ValueError` unless the window divides the horizons, and these grow.
    """

    window: int = 20
    """K"""
    horizon: int = 100
    """T, once it has grown."""
    weights: Weights = "uniform"
    shortest: int | None = None
    """The initial T, with a curriculum."""
    growing: int = 0
    """The number of meta-steps in which T grows linearly to `horizon`."""

    def __post_init__(self):
        shortest = self.horizon if self.shortest is None else self.shortest
        if self.window < 1 or self.horizon % self.window or shortest % self.window:
            raise ValueError(f"a window of {self.window} steps does not divide the horizon evenly")
        if not self.window <= shortest <= self.horizon:
            raise ValueError(f"the horizon cannot grow from {shortest} to {self.horizon}")

    def at(self, step: Int[Array, ""]) -> Int[Array, ""]:
        """T of processes that begin at this meta-step: a multiple of the window."""
        if self.shortest is None or not self.growing:
            return jnp.asarray(self.horizon)
        windows = (self.horizon - self.shortest) // self.window
        grown = jnp.minimum(step * windows // self.growing, windows)
        return self.shortest + grown * self.window

    def begin(
        self, learner: Process, tasks: TaskDistribution, key: PRNGKeyArray, step: Int[Array, ""]
    ) -> Standing:
        """A new task, before its first step."""
        state = learner.begin(tasks.sample(key), jax.random.fold_in(key, 0))
        state = jax.tree.map(jnp.asarray, state)
        return Standing(jax.random.key_data(key), state, jnp.asarray(0), self.at(step))

    def start(self, learner: Process, tasks: TaskDistribution, key: PRNGKeyArray) -> Standing:
        """`begin`, with the horizon of a task of which some windows are over."""
        standing = self.begin(learner, tasks, key, jnp.asarray(0))
        windows = standing.horizon // self.window
        left = jax.random.randint(jax.random.fold_in(key, 1), (), 1, windows + 1)
        return standing._replace(horizon=left * self.window)

    def current(
        self,
        learner: Process,
        tasks: TaskDistribution,
        standing: Standing,
        key: PRNGKeyArray,
        step: Int[Array, ""],
    ) -> Standing:
        """Return `standing`, or a new task where the task has ended."""
        over = standing.done >= standing.horizon
        new = self.begin(learner, tasks, key, step)
        return jax.tree.map(lambda a, b: jnp.where(over, a, b), new, standing)

    def unroll(
        self,
        learner: Process,
        tasks: TaskDistribution,
        standing: Standing,
        *,
        first_order: bool,
    ) -> tuple[Float[Array, ""], Standing]:
        """Compute 1/K Σ w_t f(s_t) over the next K steps, and the process after them. The values of
        each step are recomputed in the backward pass, so memory grows by one state for each
        step."""
        key = jax.random.wrap_key_data(standing.key)
        task = tasks.sample(key)

        @jax.checkpoint
        def one(state: PyTree, t: Int[Array, ""]):
            return learner.advance(task, state, key_of(key, t), first_order=first_order)

        numbers = standing.done + jnp.arange(self.window)
        state, before = jax.lax.scan(one, standing.state, numbers)
        end = standing.done + self.window
        last = learner.value(task, state, key_of(key, end))
        losses = jnp.append(before[1:], last)
        mean = jnp.mean(self.weight(numbers + 1, standing.horizon) * losses)
        return mean, standing._replace(state=state, done=end)

    def weight(
        self, t: Int[Array, " steps"], horizon: Int[Array, ""]
    ) -> Float[Array, " steps"] | float:
        """w_t"""
        if self.weights == "uniform":
            return 1.0
        if self.weights == "linear":
            return 2 * t / (horizon + 1)
        return jnp.where(t == horizon, horizon, 0).astype(float)


def key_of(key: PRNGKeyArray, t: Int[Array, ""]) -> PRNGKeyArray:
    """Return the key of the data at step t of the process that `key` determines."""
    return jax.random.fold_in(jax.random.fold_in(key, 2), t)


@dataclass(frozen=True)
class TruncatedBackpropagation(LossGradient[Standing]):
    """Back-propagation through the steps of a window.

    With `first_order`, gradients of the tasks that the process itself uses count as constants, and
    no second derivatives are taken (Andrychowicz et al., section 2.1 and figure 2).

    >>> meta_train(optimizer, problems, optax.adam(1e-3), steps=1000,
    ...            meta_gradient=TruncatedBackpropagation(Unrolling(20, 100)))
    """

    unrolling: Unrolling
    first_order: bool = True

    def start(self, learner: Process, tasks: TaskDistribution, key: PRNGKeyArray) -> Standing:
        return self.unrolling.start(learner, tasks, key)

    def loss(
        self, learner: Any, tasks: TaskDistribution, carried: Standing, keys: TaskKeys, step: Step
    ) -> tuple[Metrics, Standing]:
        """Compute the loss of the next window of one place, and its process after the window."""
        standing = self.unrolling.current(learner, tasks, carried, keys[0], step)
        loss, after = self.unrolling.unroll(learner, tasks, standing, first_order=self.first_order)
        return {"loss": loss}, after
