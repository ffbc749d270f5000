"""The compiled program of training, as pure functions of arrays.

A step samples a meta-batch of tasks on the device, takes the mean of the meta-gradients, and
updates the meta-parameters ω. The number of steps is an argument of the program, so it is compiled
once for any number of steps."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, UInt32

from quickstudy import memory
from quickstudy.devices import EVERYWHERE, replicate
from quickstudy.learner import Learnable, Metrics
from quickstudy.metagradients import MetaGradient
from quickstudy.task import TaskDistribution
from quickstudy.training.meta_batch import mean_gradient
from quickstudy.training.seeds import SeedRun, stack

STEPS_PER_CALL = 4096
"""The largest number of steps in one call: the size of the buffer for metrics on the device."""

SETTLING_SEED = 1_000_033
STARTING = 2**31 - 2
"""Folded into a seed's key to draw the state that a meta-gradient starts with …"""
INITIALISING = 1
"""… and into that for the tasks of `Learnable.initialised`."""


class State(NamedTuple):
    """The state of a run, which its checkpoints hold."""

    step: np.ndarray
    trained: PyTree
    """The meta-parameters ω: the learner's floating-point leaves."""
    optimizer: PyTree
    best: PyTree
    """ω where validation was best."""
    best_score: np.ndarray
    best_step: np.ndarray
    carried: PyTree = ()
    """The state of the meta-gradient for each place of the meta-batch."""


class Updated(NamedTuple):
    """The part of a `State` that a step changes on the device."""

    trained: PyTree
    optimizer: PyTree
    carried: PyTree


class Fixed(NamedTuple):
    """The values of a run that no step changes."""

    arrays: PyTree
    """The learner's arrays that are not floating-point numbers."""
    key: UInt32[Array, "*runs data"]
    """The data of the seed's key."""


@dataclass(frozen=True, eq=False)
class Program:
    """Training steps for learners of one structure, on given devices.

    Functions of `Updated` and `Fixed` take the values of one run, or of several runs together,
    whose arrays then have a leading axis of runs."""

    static: PyTree
    """A learner without its arrays."""
    tasks: TaskDistribution
    optimizer: optax.GradientTransformation
    meta_gradient: MetaGradient[Any]
    meta_batch: int
    at_once: int
    """The number of tasks that each device computes in parallel."""
    mesh: Mesh

    def start(self, run: SeedRun) -> State:
        """Return the state of a run before its first step."""
        key = jax.random.fold_in(jax.random.key(run.seed), STARTING)
        keys = jax.random.split(key, self.meta_batch)
        learner = run.learner
        if type(learner).initialised is not Learnable.initialised:
            learner = _initialised(learner, self.tasks, jax.random.fold_in(key, INITIALISING))
        start = partial(self.meta_gradient.start, learner, self.tasks)
        trained = eqx.filter(learner, eqx.is_inexact_array)
        trained = jax.tree.map(lambda x: jnp.asarray(x, x.dtype), trained)  # or it compiles twice
        return State(
            step=np.asarray(0),
            trained=trained,
            optimizer=self.optimizer.init(trained),
            best=trained,
            best_score=np.asarray(np.nan),
            best_step=np.asarray(0),
            carried=jax.jit(jax.vmap(start))(keys),
        )

    def on_devices(self, runs: list[SeedRun], states: list[State]) -> tuple[Updated, Fixed]:
        """Copy the arguments of the program for these runs to all devices."""
        of_each = [
            (
                Updated(state.trained, state.optimizer, state.carried),
                Fixed(
                    eqx.filter(
                        run.learner, lambda x: eqx.is_array(x) and not eqx.is_inexact_array(x)
                    ),
                    jax.random.key_data(jax.random.key(run.seed)),
                ),
            )
            for run, state in zip(runs, states, strict=True)
        ]
        return replicate(stack(of_each), self.mesh)

    def step(
        self, updated: Updated, fixed: Fixed, task_arrays: PyTree, number: Int[Array, ""]
    ) -> tuple[Updated, Metrics]:
        """Take step `number` of one run."""
        key = jax.random.fold_in(jax.random.wrap_key_data(fixed.key), number)
        learner = eqx.combine(updated.trained, fixed.arrays, self.static).at_step(number)
        tasks = eqx.combine(task_arrays, eqx.filter(self.tasks, eqx.is_array, inverse=True))
        direction, metrics, carried = mean_gradient(
            learner,
            tasks,
            key,
            self.meta_gradient,
            self.meta_batch,
            self.at_once,
            self.mesh,
            updated.carried,
            number,
        )
        updates, state = self.optimizer.update(direction, updated.optimizer, updated.trained)
        trained = optax.apply_updates(updated.trained, updates)
        return Updated(trained, state, carried), metrics

    def advance(
        self,
        updated: Updated,
        fixed: Fixed,
        task_arrays: PyTree,
        start: Int[Array, ""],
        stop: Int[Array, ""],
    ) -> tuple[Updated, dict[str, Float[Array, "room *runs"]]]:
        """Take steps `start` … `stop` - 1; their metrics are in the first places of the arrays."""
        one_run = fixed.key.ndim == 1
        step = self.step if one_run else jax.vmap(self.step, in_axes=(0, 0, None, None))
        shapes = jax.eval_shape(lambda: step(updated, fixed, task_arrays, start)[1])
        room = jax.tree.map(lambda s: jnp.zeros((STEPS_PER_CALL, *s.shape), s.dtype), shapes)

        def body(number, loop):
            updated, seen = loop
            updated, metrics = step(updated, fixed, task_arrays, number)
            return updated, jax.tree.map(lambda s, m: s.at[number - start].set(m), seen, metrics)

        return jax.lax.fori_loop(start, stop, body, (updated, room))

    def compiled(self, updated: Updated, fixed: Fixed, task_arrays: PyTree) -> jax.stages.Compiled:
        """Compile `advance`. Raises `UserError` where it needs more memory than there is."""
        advance = jax.jit(self.advance, out_shardings=NamedSharding(self.mesh, EVERYWHERE))
        lowered = advance.lower(updated, fixed, task_arrays, np.int32(0), np.int32(0))
        program = lowered.compile()
        memory.require(program, len(self.mesh.local_devices))
        return program

    def settled(self, run: SeedRun, trained: PyTree) -> Learnable:
        """Return the settled learner with these meta-parameters."""
        fixed = eqx.filter(run.learner, eqx.is_inexact_array, inverse=True)
        return _settle(eqx.combine(jax.device_get(trained), fixed), self.tasks)


@eqx.filter_jit
def _initialised(learner: Learnable, tasks: TaskDistribution, key: PRNGKeyArray) -> Learnable:
    return learner.initialised(tasks, key=key)


@eqx.filter_jit
def _settle(learner: Learnable, tasks: TaskDistribution) -> Learnable:
    return learner.settle(tasks, key=jax.random.key(SETTLING_SEED))
