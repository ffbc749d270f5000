"""The common part of learners that adapt a network by gradient steps: an inner loop of T steps on
the support set, and the query loss of the resulting network.

    φ_T = U_T(θ, D_tr),   min_ω Σ_i L(φ_T(θ, D_tr_i), D_ts_i)

The file of each method defines the adapting parameters, the update rule U, and further terms of the
meta-objective."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learner import Learner, Metrics
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Network, Normalisation, require_networks
from quickstudy.task import Episode, Examples


class InnerLoop(Learner):
    """A learner whose predictor is a network after some inner steps. Subclasses are final and
    define `adapted_network`.

    `train_steps` and `test_steps` are the numbers of inner steps in training and in `adapt`.
    `normalisation` is `batch` (the papers': transductive) or `support`.
    """

    network: eqx.AbstractVar[Any]  # a Network, and WithHead in subclasses that need a head
    train_steps: eqx.AbstractVar[int]
    test_steps: eqx.AbstractVar[int]
    normalisation: eqx.AbstractVar[Normalisation]

    def __new__(cls, *arguments: Any, **options: Any):
        require_networks(cls, arguments, options)
        return super().__new__(cls)

    def __check_init__(self):
        if self.normalisation == "running":
            raise ValueError(
                f"{type(self).__name__} keeps no running statistics: normalisation is batch or "
                "support"
            )

    @abc.abstractmethod
    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        """Return the network after `steps` inner steps on the support set, φ."""

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> NetworkPredictor:
        return self.take_steps(support, likelihood, self.test_steps, key=key)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        predictor = self.take_steps(task.support, task.likelihood, self.train_steps, key=key)
        predictions = predictor(task.query.x)
        loss = task.likelihood.mean_loss(predictions, task.query.y)
        return loss, task.likelihood.metrics(predictions, task.query.y)

    def take_steps(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> NetworkPredictor:
        """Return the adapted network with the statistics that normalise queries."""
        if self.network.outputs != likelihood.size:
            raise ValueError(
                f"this {type(self).__name__}'s network has {self.network.outputs} outputs, the "
                f"task needs {likelihood.size}: its last layer is part of the learned "
                "initialisation"
            )
        return self.predictor(self.adapted_network(support, likelihood, steps, key=key), support)

    def predictor(self, adapted: Network, support: Examples) -> NetworkPredictor:
        """Return `adapted` with the statistics that normalise queries."""
        of_support = adapted(support.x)[1] if self.normalisation == "support" else None
        return NetworkPredictor(adapted, of_support)

    @property
    def normalised_by(self) -> Normalisation | None:
        return self.normalisation if self.network.normalises else None

    @property
    def labels_are_names(self) -> bool:
        return False

    @property
    def absent_last(self) -> bool:
        return False


def loss_on(examples: Examples, likelihood: Likelihood) -> Callable[[Network], Float[Array, ""]]:
    """Return the function network ↦ L(network, examples), normalised by the statistics of these
    examples."""
    return lambda network: likelihood.mean_loss(network(examples.x)[0], examples.y)
