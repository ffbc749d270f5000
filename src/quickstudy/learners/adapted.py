"""The predictor of every learner that adapts a network's parameters."""

from jaxtyping import Array, Float, Shaped

from quickstudy.learner import Predictor
from quickstudy.networks.network import Network, Statistics, WithHead


class NetworkPredictor(Predictor):
    """A network with the statistics that it normalises with (None: the statistics of its
    inputs)."""

    network: Network
    statistics: Statistics | None

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        return self.network(x, self.statistics)[0]

    def embed(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n d"]:
        if not isinstance(self.network, WithHead):
            return super().embed(x)
        return self.network.body(x, self.statistics)[0]
