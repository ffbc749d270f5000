"""Implicit MAML (Rajeswaran, Finn, Kakade and Levine, NeurIPS 2019).

MAML that differentiates the solution of its inner problem: adapting finds the best parameters near
the initialisation θ. Their derivative with respect to θ follows from the optimality condition,
independent of the number of inner steps and of their path.

    φ*(θ, D_tr) = argmin_φ L(φ, D_tr) + λ/2 ‖φ - θ‖²                       (eq. 3)
    min_θ Σ_i L(φ*(θ, D_tr_i), D_ts_i)                                     (eq. 4)
    ∂/∂θ = (I + ∇²L(φ*, D_tr)/λ)⁻¹ ∇L(φ*, D_ts)                            (eq. 6)

The last line is in `metagradients.implicit`; back-propagation through `loss` uses it.

Differences from the paper: its code takes 16 steps on the loss alone and one back towards θ; here
all of the steps are on the regularised loss, as in the text. As in the code, λ is 0 at test, and
the linear system is damped.
"""

import dataclasses

import equinox as eqx
import optax
from jaxtyping import PRNGKeyArray

from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.metagradients.implicit import regularised_optimum
from quickstudy.networks.network import Network, Normalisation
from quickstudy.task import Examples


class ImplicitMAML(InnerLoop):
    """A network whose parameters θ are the centre of the regularised inner problem.

    `strength` is λ in training and `test_strength` at test; `damping` and `extra_strength` are c
    and d of `metagradients.implicit`.

    >>> network = WithHead(Conv4((28, 28, 1), stride=2, key=key), 5, key=key)
    >>> learner = ImplicitMAML(network, optax.sgd(0.1), train_steps=16, strength=2.0)
    """

    network: Network
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=16)
    test_steps: int = eqx.field(static=True, kw_only=True, default=16)
    strength: float = eqx.field(static=True, kw_only=True, default=2.0)
    test_strength: float = eqx.field(static=True, kw_only=True, default=0.0)
    cg_steps: int = eqx.field(static=True, kw_only=True, default=5)
    damping: float = eqx.field(static=True, kw_only=True, default=1.0)
    extra_strength: float = eqx.field(static=True, kw_only=True, default=10.0)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    @property
    def has_slope(self) -> bool:
        """False: with damping, and before the optimum is reached, the gradient is only near the
        slope."""
        return False

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        """Compute φ*, as closely as the inner steps allow."""
        loss = loss_on(support, likelihood)
        if self.strength == 0:
            return descend(loss, self.network, self.optimizer, steps)
        return regularised_optimum(
            loss,
            self.network,
            self.strength,
            lambda objective, start: descend(objective, start, self.optimizer, steps),
            cg_steps=self.cg_steps,
            damping=self.damping,
            extra_strength=self.extra_strength,
        )

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> NetworkPredictor:
        at_test = dataclasses.replace(self, strength=self.test_strength)
        return at_test.take_steps(support, likelihood, self.test_steps, key=key)
