"""A learner on the features of a fixed network, for example TF-IDF vectors of texts."""

from jaxtyping import Array, PRNGKeyArray, Shaped

from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Network
from quickstudy.task import Examples


class OfFeatures(Predictor):
    """A predictor on features, and the network that computes them."""

    network: Network
    predictor: Predictor

    def __call__(self, x: Shaped[Array, "m ..."]) -> Array:
        return self.predictor(self.network(x)[0])


class OnFeatures(Learner):
    """Adapts `learner` to the network's features. Neither is trained, and the network does not
    normalise.

    >>> learner = OnFeatures(TfIdf(idf), NearestMean())
    >>> learner.adapt(texts, Categorical(5), key=key)(tokens).shape
    (25, 5)
    """

    network: Network
    learner: Learner

    @property
    def has_slope(self) -> bool:
        return self.learner.has_slope

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> OfFeatures:
        features = Examples(self.network(support.x)[0], support.y)
        return OfFeatures(self.network, self.learner.adapt(features, likelihood, key=key))
