"""TAML, task-agnostic meta-learning (Jamal and Qi, CVPR 2019).

An initialisation that is already good at some tasks is a poor start for others. TAML adds a term to
MAML against this bias. Either the predictions should have a high entropy before adapting and a low
entropy after it; or the losses on the tasks before adapting should be equal.

    min_θ E_i [ L(φ_i, D_ts_i) + λ (H_i(f_φ_i) - H_i(f_θ)) ]
    min_θ E_i   L(φ_i, D_ts_i) + λ I(ℓ_1, …, ℓ_n),   ℓ_i = L(θ, D_tr_i)

H_i is the mean entropy of the answers on task i's queries; I is a measure of inequality from
economics. It is zero for equal losses and does not depend on their unit. It does depend on an
additive constant, so ℓ_i has none. It is the mean `deviance`: twice the cross-entropy for classes,
and for real targets the squared error over the variance of the noise, without the logarithm of the
variance, which is part of the negative log-likelihood.

The second form couples tasks. Its learner takes a group of tasks at a time: episodes with a leading
axis. A meta-batch is then one or more groups, and I is computed within each.

Differences from the paper: the entropy is computed on queries (the paper does not specify the
inputs); groups may be smaller than the meta-batch; real targets whose noise has a predicted scale
have no loss without a constant, and are refused."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learner import Metrics
from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.networks.network import Network, Normalisation
from quickstudy.task import Episode, Examples


class TAML(InnerLoop):
    """MAML's inner loop. The two forms differ in the term of the meta-objective."""

    optimizer: eqx.AbstractVar[optax.GradientTransformation]

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        return descend(loss_on(support, likelihood), self.network, self.optimizer, steps)


class EntropyTAML(TAML):
    """MAML with an uncertain initialisation.

    >>> learner = EntropyTAML(network, optax.sgd(0.4), weight=0.1)
    """

    network: Network
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    weight: float = eqx.field(static=True)
    """λ."""
    train_steps: int = eqx.field(static=True, kw_only=True, default=1)
    test_steps: int = eqx.field(static=True, kw_only=True, default=3)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        if not isinstance(task.likelihood, Categorical):
            raise ValueError("the entropy of a regression does not change: take an inequality")
        before, after = (
            self.take_steps(task.support, task.likelihood, steps, key=key)(task.query.x)
            for steps in (0, self.train_steps)
        )
        loss = task.likelihood.mean_loss(after, task.query.y)
        fall = entropy(after) - entropy(before)
        return loss + self.weight * fall, task.likelihood.metrics(after, task.query.y)


class InequalityTAML(TAML):
    """MAML with an initialisation that is equally good for all tasks of a group. Train it on
    groups.

    >>> learner = InequalityTAML(network, optax.sgd(0.4), weight=0.1, inequality=theil)
    >>> meta_train(learner, Groups(tasks, 4), optax.adam(1e-3), steps=1000)
    """

    network: Network
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    weight: float = eqx.field(static=True)
    """λ."""
    inequality: Callable[[Array], Array] = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=1)
    test_steps: int = eqx.field(static=True, kw_only=True, default=3)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """`task` is a group: its arrays have a leading axis of tasks.

        Raises `ValueError` where the likelihood has no `deviance`.
        """

        def of_task(task: Episode, key: PRNGKeyArray):
            initial, _ = self.network(task.support.x)
            unadapted = task.likelihood.mean_deviance(initial, task.support.y)
            loss, metrics = super(InequalityTAML, self).loss(task, key=key)
            return unadapted, loss, metrics

        keys = jax.random.split(key, len(task.support.y))
        initial, losses, metrics = jax.vmap(of_task)(task, keys)
        unequal = self.inequality(initial)
        metrics = jax.tree.map(jnp.mean, metrics)
        return jnp.mean(losses) + self.weight * unequal, {**metrics, "inequality": unequal}


def entropy(logits: Float[Array, "n size"]) -> Float[Array, ""]:
    """Compute the mean entropy of the predicted classes over queries, in nats:
    -1/n Σ_i Σ_k p_ik log p_ik. Unlike `likelihood.entropy` it has a finite slope where a
    probability is 0."""
    log_p = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.sum(jnp.exp(log_p) * log_p, axis=-1))


def theil(losses: Float[Array, " n"]) -> Float[Array, ""]:
    """1/n Σ_i (ℓ_i / μ) log(ℓ_i / μ)"""
    share = losses / jnp.mean(losses)
    return jnp.mean(share * jnp.log(share))


def generalised_entropy(losses: Float[Array, " n"], alpha: float = 2.0) -> Float[Array, ""]:
    """1/(n α (α - 1)) Σ_i ((ℓ_i / μ)^α - 1), α neither 0 nor 1"""
    share = losses / jnp.mean(losses)
    return jnp.mean(share**alpha - 1) / (alpha * (alpha - 1))


def atkinson(losses: Float[Array, " n"]) -> Float[Array, ""]:
    """1 - (Π_i ℓ_i)^{1/n} / μ: Atkinson's measure with ε = 1"""
    return 1 - jnp.exp(jnp.mean(jnp.log(losses))) / jnp.mean(losses)


def gini(losses: Float[Array, " n"]) -> Float[Array, ""]:
    """Σ_i Σ_j |ℓ_i - ℓ_j| / (2 n² μ)"""
    differences = jnp.abs(losses[:, None] - losses[None, :])
    return jnp.mean(differences) / (2 * jnp.mean(losses))


def variance_of_logarithms(losses: Float[Array, " n"]) -> Float[Array, ""]:
    """1/n Σ_i (log ℓ_i - mean log ℓ)²"""
    return jnp.var(jnp.log(losses))


INEQUALITIES = {
    "theil": theil,
    "ge2": generalised_entropy,
    "atkinson": atkinson,
    "gini": gini,
    "log-variance": variance_of_logarithms,
}
