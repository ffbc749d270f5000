"""MAML++ (Antoniou, Edwards and Storkey, "How to train your MAML", ICLR 2019).

A stable MAML: at first the loss after each step counts in the meta-objective, learning rates are
learned for each array at each step, and batch normalisation has separate weights at each step.

    φ_{t+1} = φ_t - α_t ∘ ∇_φ L(φ_t; γ_t, β_t; D_tr)          α_t: a rate for each array of φ (LSLR)
    min_{θ, α, γ, β} Σ_i Σ_t v_t L(φ_{t+1}; γ_t, β_t; D_ts_i)

for steps t = 0 … T - 1. All v_t are 1/T at first and move linearly, over `annealing` meta-steps, to
v_{T-1} = 1 and 0 for the others, which is MAML's objective.

Differences from the paper: batch normalisation uses the statistics of the current batch at each
step, as in the authors' code, which keeps running statistics but does not use them; v_t falls
linearly to zero, not to 0.03/T and then to zero; second order from the first meta-step on, as in
the authors' last configurations; the cosine decay of the meta-learning rate is an option of
training (`--decay cosine`); no ensemble of checkpoints; the learned rates may move more slowly than
the other parameters, which a network without batch normalisation needs."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.learner import Metrics
from quickstudy.learners.descent import trajectory
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.networks.layers import BatchNorm
from quickstudy.networks.network import Network, Normalisation
from quickstudy.task import Episode, Examples


class MAMLPlusPlus(InnerLoop):
    """A starting point, learning rates and weights of batch normalisation for each of `train_steps`
    steps; further steps at test use the values of the last step.

    The meta-optimiser sees α / `rate_speed`. Adam's steps have a fixed size, so rates then move
    `rate_speed` times as far as other parameters.

    >>> learner = MAMLPlusPlus(network, rate=0.1, train_steps=5, annealing=5000)
    """

    network: Network
    """θ; its batch normalisation's γ and β have a leading axis of steps."""
    rates: PyTree
    """α / `rate_speed`: for each adapting array of θ, one number for each step."""
    step: Int[Array, ""]
    """The training step, which determines v_t."""
    annealing: int = eqx.field(static=True)
    train_steps: int = eqx.field(static=True)
    test_steps: int = eqx.field(static=True)
    rate_speed: float = eqx.field(static=True)
    normalisation: Normalisation = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        *,
        rate: float,
        rate_speed: float = 1.0,
        train_steps: int = 5,
        test_steps: int = 5,
        annealing: int = 0,
        normalisation: Normalisation = "batch",
    ):
        if train_steps < 1:
            raise ValueError("MAML++ learns what to do at each step: it takes at least one")
        norms, rest = eqx.partition(network, is_norm(network))
        repeated = jax.tree.map(lambda x: jnp.repeat(x[None], train_steps, 0), norms)
        self.network = eqx.combine(repeated, rest)
        self.rates = jax.tree.map(
            lambda x: jnp.full(train_steps, rate / rate_speed, x.dtype),
            eqx.filter(rest, eqx.is_inexact_array),
        )
        self.rate_speed = rate_speed
        self.step = jnp.asarray(0)
        self.annealing = annealing
        self.train_steps = train_steps
        self.test_steps = test_steps
        self.normalisation = normalisation

    def at_step(self, step: Int[Array, ""]) -> "MAMLPlusPlus":
        return eqx.tree_at(lambda learner: learner.step, self, step)

    def importance(self) -> Float[Array, " steps"]:
        """v_t of each step."""
        done = jnp.minimum(self.step / max(self.annealing, 1), 1.0) if self.annealing else 1.0
        last = jnp.arange(self.train_steps) == self.train_steps - 1
        return (1 - done) / self.train_steps + done * last

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        return self.watched(support, likelihood, steps, lambda network, number: None)[0]

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        v = self.importance()

        def query_predictions(network: Network) -> Float[Array, "n size"]:
            return self.predictor(network, task.support)(task.query.x)

        def weighted(network: Network, number: Int[Array, ""]) -> Float[Array, ""]:
            loss = task.likelihood.mean_loss(query_predictions(network), task.query.y)
            return v[number] * loss

        def earlier(network: Network, number: Int[Array, ""]) -> Float[Array, ""]:
            """Compute the loss after a step before the last; it is skipped where its weight is
            0."""
            counts = (number < self.train_steps - 1) & (v[number] > 0)
            nothing = jnp.zeros((), v.dtype)
            return jax.lax.cond(counts, lambda: weighted(network, number), lambda: nothing)

        adapted, losses = self.watched(task.support, task.likelihood, self.train_steps, earlier)
        predictions = query_predictions(adapted)
        last = v[-1] * task.likelihood.mean_loss(predictions, task.query.y)
        return jnp.sum(losses) + last, task.likelihood.metrics(predictions, task.query.y)

    def watched(
        self,
        support: Examples,
        likelihood: Likelihood,
        steps: int,
        watch: Callable[[Network, Int[Array, ""]], Any],
    ) -> tuple[Network, Any]:
        """Return the network after `steps` steps, and the results of `watch` after each."""
        norms, rest = eqx.partition(self.network, is_norm(self.network))

        def at(step: Int[Array, ""] | int, tree: PyTree) -> PyTree:
            """Return the entries for a step; beyond the last step, the last entries."""
            return jax.tree.map(lambda x: x[jnp.clip(step, 0, self.train_steps - 1)], tree)

        def whole(rest: PyTree, step: Int[Array, ""] | int) -> Network:
            return eqx.combine(rest, at(step, norms))

        def init(params: PyTree) -> Any:
            return jnp.asarray(0)

        def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
            rates = at(state, self.rates)
            step = jax.tree.map(lambda rate, g: -self.rate_speed * rate * g, rates, updates)
            return step, state + 1

        support_loss = loss_on(support, likelihood)
        adapted, _, seen = trajectory(
            lambda rest, step: support_loss(whole(rest, step)),
            rest,
            optax.GradientTransformation(init, update),
            steps,
            watch=lambda rest, step: watch(whole(rest, step), step),
        )
        return whole(adapted, steps - 1), seen


def is_norm(network: Network) -> PyTree:
    """Return a tree with True for each batch normalisation and False elsewhere."""
    kind = lambda node: isinstance(node, BatchNorm)  # noqa: E731
    return jax.tree.map(kind, network, is_leaf=kind)
