"""Model-agnostic meta-learning (Finn, Abbeel and Levine, ICML 2017).

Learn an initialisation θ from which a few gradient steps on a task's support set reach a good
predictor:

    φ_0 = θ,   φ_{t+1} = φ_t - α ∇_φ L(φ_t, D_tr)                         (section 2.2)
    min_θ Σ_i L(φ_T(θ, D_tr_i), D_ts_i)                                    (eq. 1)

differentiated through the steps, through the last few alone, or with the inner gradients taken as
constants (first-order MAML, section 5.2).

Differences from the paper: the inner optimiser may be any Optax one; the loss of a regression is
the Gaussian negative log-likelihood. Its gradient is half the gradient of the mean squared error,
so the paper's α = 0.01 is 0.02 here."""

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from quickstudy.learners.descent import descend, trajectory
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Network, Normalisation
from quickstudy.task import Examples


class MAML(InnerLoop):
    """A network whose parameters are a starting point.

    `truncate` is the number of last inner steps that are differentiated (see `descend`).

    >>> network = WithHead(Conv4((28, 28, 1), stride=2, key=key), 5, key=key)
    >>> maml = MAML(network, optax.sgd(0.4), train_steps=1, test_steps=3)
    >>> predictor = maml.adapt(support, Categorical(5), key=key)
    """

    network: Network
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=1)
    test_steps: int = eqx.field(static=True, kw_only=True, default=3)
    first_order: bool = eqx.field(static=True, default=False)
    truncate: int | None = eqx.field(static=True, default=None)
    rematerialise: bool = eqx.field(static=True, default=False)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    @property
    def has_slope(self) -> bool:
        return not self.first_order and self.truncate is None

    def by_steps(
        self,
        support: Examples,
        likelihood: Likelihood,
        x: Shaped[Array, "n ..."],
        *,
        key: PRNGKeyArray,
    ) -> Float[Array, "steps n size"]:
        loss = loss_on(support, likelihood)
        _, _, after = trajectory(
            lambda network, _: loss(network),
            self.network,
            self.optimizer,
            self.test_steps,
            watch=lambda network, _: self.predictor(network, support)(x),
        )
        return jnp.concatenate([self.predictor(self.network, support)(x)[None], after])

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        return descend(
            loss_on(support, likelihood),
            self.network,
            self.optimizer,
            steps,
            first_order=self.first_order,
            truncate=self.truncate,
            rematerialise=self.rematerialise,
        )
