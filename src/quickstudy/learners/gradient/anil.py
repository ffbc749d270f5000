"""ANIL, almost no inner loop (Raghu, Raghu, Bengio and Vinyals, ICLR 2020).

Only the last layer takes inner steps, on features that tasks share. Adapting is the training of a
linear model, and the body is run once for any number of steps.

    θ = (θ_1, …, θ_l):   φ_0 = θ_l,   φ_{t+1} = φ_t - α ∇_φ L((θ_1, …, θ_{l-1}, φ_t), D_tr)

    min_θ Σ_i L((θ_1, …, θ_{l-1}, φ_T), D_ts_i)

No difference from the paper: the body's batch statistics on the support set do not depend on the
head, so computing the features once is exact."""

import equinox as eqx
import optax
from jaxtyping import PRNGKeyArray

from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.inner_loop import InnerLoop
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Normalisation, WithHead
from quickstudy.task import Examples


class ANIL(InnerLoop):
    """A network whose head adapts and whose body does not.

    >>> anil = ANIL(WithHead(body, 5, key=key), optax.sgd(0.4), train_steps=1, test_steps=3)
    """

    network: WithHead
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=1)
    test_steps: int = eqx.field(static=True, kw_only=True, default=3)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> WithHead:
        features, _ = self.network.body(support.x)
        head = descend(
            lambda head: likelihood.mean_loss(head(features), support.y),
            self.network.head,
            self.optimizer,
            steps,
        )
        return eqx.tree_at(lambda network: network.head, self.network, head)
