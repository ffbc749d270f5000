"""The interface of learned optimisers: update rules with parameters φ.

    θ_{t+1} = θ_t + g_t,     (g_t, h_{t+1}) = m(∇f(θ_t), h_t, φ)

(Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NeurIPS 2016,
eqs. 2 and 3.) It has the `init` and `update` of an Optax transformation, so any training can use it
like Adam. Meta-training learns φ from the losses on many problems."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.learner import Figures, Learnable
from quickstudy.metagradients.unrolling import key_of
from quickstudy.task import Optimizee, TaskDistribution


class Minimisation(NamedTuple):
    """The state of a minimisation."""

    parameters: PyTree
    """θ_t"""
    state: PyTree
    """h_t"""


class Trial(eqx.Module):
    """A test task for an optimiser: minimise a problem in a given number of steps."""

    problem: Optimizee
    key: PRNGKeyArray
    """The key that determines the initial point and the minibatches."""
    steps: int = eqx.field(static=True)


COORDINATES_AT_ONCE = 20_000
"""Maximum total number of parameters in one vmapped batch of problems."""


class LearnedOptimizer(Learnable):
    """An update rule whose array leaves are φ. Subclasses are final and define `init` and `update`.

    >>> transformation = optimizer.as_optax()
    >>> state = transformation.init(parameters)
    >>> updates, state = transformation.update(gradients, state, parameters)
    """

    @abc.abstractmethod
    def init(self, parameters: PyTree) -> PyTree:
        """Return h_0 for parameters in any pytree."""

    @abc.abstractmethod
    def update(
        self, gradients: PyTree, state: PyTree, parameters: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        """Compute g_t, with the structure, shapes and types of the gradients, and h_{t+1}.

        Raises `ValueError` where it needs the parameters and they are None."""

    def as_optax(self) -> optax.GradientTransformation:
        """Return an Optax transformation with constant φ, for `optax.chain` and any training
        loop."""
        held = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, self)
        return optax.GradientTransformation(
            lambda params: held.init(params),  # functions, which `jax.jit` takes
            lambda updates, state, params=None: held.update(updates, state, params),
        )

    def figures(self, task: Trial, *, key: PRNGKeyArray) -> Figures:
        """Measure the loss after the last step; infinite where it is not a number."""
        loss = minimise(self, task.problem, task.steps, task.key)[-1]
        loss = jnp.where(jnp.isfinite(loss), loss, jnp.inf)
        return Figures({"final loss": loss}, "final loss", higher_is_better=False)

    def tasks_at_once(self, tasks: TaskDistribution[Trial]) -> int:
        """The number of problems that together have `COORDINATES_AT_ONCE` parameters."""
        return COORDINATES_AT_ONCE // coordinates(lambda key: tasks.sample(key).problem)

    def begin(self, task: Optimizee, key: PRNGKeyArray) -> Minimisation:
        parameters = task.init(key)
        return Minimisation(parameters, self.init(parameters))

    def value(self, task: Optimizee, state: Minimisation, key: PRNGKeyArray) -> Float[Array, ""]:
        return task.loss(state.parameters, key)

    def advance(
        self, task: Optimizee, state: Minimisation, key: PRNGKeyArray, *, first_order: bool
    ) -> tuple[Minimisation, Float[Array, ""]]:
        """Take one step; see `quickstudy.metagradients.unrolling.Process`.

        With `first_order`, f(θ_t) is returned as f + ∇f·(θ_t - θ_t) with the second θ_t constant:
        its derivative is the gradient that was already computed, and f is not differentiated a
        second time."""
        theta = state.parameters
        loss, gradients = jax.value_and_grad(task.loss)(theta, key)
        if first_order:
            held = jax.lax.stop_gradient((loss, gradients, theta))
            loss, gradients = held[0] + inner(held[1], difference(theta, held[2])), held[1]
        updates, inside = self.update(gradients, state.state, theta)
        return Minimisation(optax.apply_updates(theta, updates), inside), loss


AnyOptimizer = optax.GradientTransformation | LearnedOptimizer


def minimise(
    optimizer: AnyOptimizer, problem: Optimizee, steps: int, key: PRNGKeyArray
) -> Float[Array, " steps+1"]:
    """Return f(θ_0) … f(θ_steps), each on the minibatch of its step."""
    parameters = problem.init(jax.random.fold_in(key, 0))

    def one(carry, t: Int[Array, ""]):
        parameters, state = carry
        loss, gradients = jax.value_and_grad(problem.loss)(parameters, key_of(key, t))
        updates, state = optimizer.update(gradients, state, parameters)
        return (optax.apply_updates(parameters, updates), state), loss

    start = (parameters, optimizer.init(parameters))
    (parameters, _), losses = jax.lax.scan(one, start, jnp.arange(steps))
    return jnp.append(losses, problem.loss(parameters, key_of(key, jnp.asarray(steps))))


def coordinates(problem: Callable[[PRNGKeyArray], Optimizee]) -> int:
    """Count the parameters of a problem of this distribution, at least 1."""
    shapes = jax.eval_shape(lambda key: problem(key).init(key), jax.random.key(0))
    return max(1, sum(leaf.size for leaf in jax.tree.leaves(shapes)))


def inner(a: PyTree, b: PyTree) -> Float[Array, ""]:
    """Σ a b over all leaves."""
    return sum(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), a, b)), jnp.zeros(()))


def difference(a: PyTree, b: PyTree) -> PyTree:
    """a - b"""
    return jax.tree.map(jnp.subtract, a, b)


def flattened(tree: PyTree) -> tuple[Float[Array, " n"], Any]:
    """Flatten all coordinates into one array of float32 (or of JAX's default type), and return it
    with the function that restores the shapes and types of the tree."""
    leaves, structure = jax.tree.flatten(tree)
    sizes = [leaf.size for leaf in leaves]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    dtype = jnp.result_type(float)
    flat = [jnp.ravel(leaf).astype(dtype) for leaf in leaves]

    def back(coordinates: Float[Array, " n"]) -> PyTree:
        parts = jnp.split(coordinates, ends[:-1])[: len(leaves)]
        shaped = [
            part.reshape(leaf.shape).astype(leaf.dtype)
            for part, leaf in zip(parts, leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, shaped)

    return jnp.concatenate(flat) if flat else jnp.zeros(0, dtype), back
