"""BOIL, body-only inner loop (Oh, Yoo, Kim and Yun, ICLR 2021).

Every layer except the last takes inner steps: a task changes the representation, so that it fits
the head that tasks share.

    θ = (θ_b, θ_h):   φ_0 = θ_b,   φ_{t+1} = φ_t - α ∇_φ L((φ_t, θ_h), D_tr)
    min_θ Σ_i L((φ_T, θ_h), D_ts_i)

No difference from the paper.
"""

import equinox as eqx
import optax
from jaxtyping import PRNGKeyArray

from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.inner_loop import InnerLoop
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Normalisation, WithHead
from quickstudy.task import Examples


class BOIL(InnerLoop):
    """A network whose body adapts and whose head does not.

    >>> boil = BOIL(WithHead(body, 5, key=key), optax.sgd(0.4), train_steps=1, test_steps=3)
    """

    network: WithHead
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=1)
    test_steps: int = eqx.field(static=True, kw_only=True, default=3)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> WithHead:
        head = self.network.head
        body = descend(
            lambda body: likelihood.mean_loss(head(body(support.x)[0]), support.y),
            self.network.body,
            self.optimizer,
            steps,
        )
        return eqx.tree_at(lambda network: network.body, self.network, body)
