"""Model-agnostic meta-learning (Finn, Abbeel and Levine, ICML 2017).

Learn an initialisation θ from which a few gradient steps on a task's support set reach a good
predictor:

    φ_0 = θ,   φ_{t+1} = φ_t - α ∇_φ L(φ_t, D_tr)                         (section 2.2)
    min_θ Σ_i L(φ_T(θ, D_tr_i), D_ts_i)                                    (eq. 1)

differentiated through the steps, through the last few alone, or with the inner gradients taken as
constants (first-order MAML, section 5.2).

Differences from the paper: the inner optimiser may be any Optax one; the loss of a regression is
the Gaussian negative log-likelihood, whose gradient is half that of the mean squared error (so
the paper's α = 0.01 is 0.02 here).
"""

import equinox as eqx
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learner import Learner, Metrics
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.descent import descend
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Network, Normalisation, query_statistics
from quickstudy.task import Episode, Examples


class MAML(Learner):
    """A network whose parameters are a starting point.

    `train_steps` and `test_steps` are the numbers of inner steps in training and in `adapt`.
    `truncate` differentiates through so many of the last steps (see `descend`). `normalisation`
    is `batch` (the paper's: transductive) or `support`.

    >>> network = WithHead(Conv4((28, 28, 1), stride=2, key=key), 5, key=key)
    >>> maml = MAML(network, optax.sgd(0.4), train_steps=1, test_steps=3)
    >>> predictor = maml.adapt(support, Categorical(5), key=key)
    """

    network: Network
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, default=1)
    test_steps: int = eqx.field(static=True, default=3)
    first_order: bool = eqx.field(static=True, default=False)
    truncate: int | None = eqx.field(static=True, default=None)
    rematerialise: bool = eqx.field(static=True, default=False)
    normalisation: Normalisation = eqx.field(static=True, default="batch")

    def __check_init__(self):
        if self.normalisation == "running":
            raise ValueError("MAML keeps no running statistics: normalisation is batch or support")

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> NetworkPredictor:
        return self.take_steps(support, likelihood, self.test_steps)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        predictor = self.take_steps(task.support, task.likelihood, self.train_steps)
        predictions = predictor(task.query.x)
        loss = task.likelihood.mean_loss(predictions, task.query.y)
        return loss, task.likelihood.metrics(predictions, task.query.y)

    def take_steps(self, support: Examples, likelihood: Likelihood, steps: int) -> NetworkPredictor:
        """φ after `steps` inner steps."""
        if self.network.outputs != likelihood.size:
            raise ValueError(
                f"this MAML's network has {self.network.outputs} outputs, the task needs "
                f"{likelihood.size}: its last layer is part of the learned initialisation"
            )

        def support_loss(network: Network) -> Float[Array, ""]:
            return likelihood.mean_loss(network(support.x)[0], support.y)

        adapted = descend(
            support_loss,
            self.network,
            self.optimizer,
            steps,
            first_order=self.first_order,
            truncate=self.truncate,
            rematerialise=self.rematerialise,
        )
        of_support = adapted(support.x)[1] if self.normalisation == "support" else ()
        return NetworkPredictor(adapted, query_statistics(self.normalisation, of_support, None))

    @property
    def transductive(self) -> bool:
        return self.network.normalises and self.normalisation == "batch"
