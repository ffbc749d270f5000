"""Implicit MAML (Rajeswaran, Finn, Kakade and Levine, NeurIPS 2019).

MAML whose inner problem is solved, not walked along: adaptation looks for the best parameters
near the initialisation θ, and how they move with θ follows from their being the best, whatever
the number of inner steps and the way that they took.

    φ*(θ, D_tr) = argmin_φ L(φ, D_tr) + λ/2 ‖φ - θ‖²                       (eq. 3)
    min_θ Σ_i L(φ*(θ, D_tr_i), D_ts_i)                                     (eq. 4)
    ∂/∂θ = (I + ∇²L(φ*, D_tr)/λ)⁻¹ ∇L(φ*, D_ts)                            (eq. 6)

The last line is `metagradients.implicit`: back-propagation through `loss` arrives at it.

Differences from the paper: its code takes 16 steps on the loss alone and one back towards θ; here
all of the steps are on the regularised loss, as in the text. As in the code, λ is 0 at test.
"""

import equinox as eqx
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learner import Learner, Metrics
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.descent import descend
from quickstudy.likelihood import Likelihood
from quickstudy.metagradients.implicit import regularised_optimum
from quickstudy.networks.network import Network, Normalisation, query_statistics
from quickstudy.task import Episode, Examples


class ImplicitMAML(Learner):
    """A network whose parameters θ are the centre of a region to look in.

    `strength` is λ in training and `test_strength` at test. `normalisation` is `batch` (the
    paper's: transductive) or `support`.

    >>> network = WithHead(Conv4((28, 28, 1), stride=2, key=key), 5, key=key)
    >>> learner = ImplicitMAML(network, optax.sgd(0.1), steps=16, strength=2.0)
    """

    network: Network
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    steps: int = eqx.field(static=True, default=16)
    strength: float = eqx.field(static=True, default=2.0)
    test_strength: float = eqx.field(static=True, default=0.0)
    cg_steps: int = eqx.field(static=True, default=5)
    normalisation: Normalisation = eqx.field(static=True, default="batch")

    def __check_init__(self):
        if self.normalisation == "running":
            raise ValueError("iMAML keeps no running statistics: normalisation is batch or support")
        if not self.strength > 0:
            raise ValueError(f"strength {self.strength}: it must be above 0")

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> NetworkPredictor:
        return self.solve(support, likelihood, self.test_strength)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        predictor = self.solve(task.support, task.likelihood, self.strength)
        predictions = predictor(task.query.x)
        loss = task.likelihood.mean_loss(predictions, task.query.y)
        return loss, task.likelihood.metrics(predictions, task.query.y)

    def solve(self, support: Examples, likelihood: Likelihood, strength: float) -> NetworkPredictor:
        """φ*, as near as the steps come."""
        if self.network.outputs != likelihood.size:
            raise ValueError(
                f"this network has {self.network.outputs} outputs, the task needs "
                f"{likelihood.size}: its last layer is part of the learned initialisation"
            )

        adapted = regularised_optimum(
            lambda network: likelihood.mean_loss(network(support.x)[0], support.y),
            self.network,
            strength,
            lambda objective, start: descend(objective, start, self.optimizer, self.steps),
            cg_steps=self.cg_steps,
        )
        of_support = adapted(support.x)[1] if self.normalisation == "support" else ()
        return NetworkPredictor(adapted, query_statistics(self.normalisation, of_support, None))

    @property
    def transductive(self) -> bool:
        return self.network.normalises and self.normalisation == "batch"
