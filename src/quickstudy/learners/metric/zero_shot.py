"""Prototypical networks from descriptions of classes: zero-shot classification (Snell, Swersky and
Zemel, NeurIPS 2017, section 2.7).

Classes have no examples. The prototype of a class is the embedding of its description v_k by a
network g; another network f embeds queries:

    c_k = g(v_k) / ‖g(v_k)‖
    p(y = k | x) ∝ exp(-‖f(x) - c_k‖²)

Prototypes have length 1, because descriptions and pictures have different scales.

The support set holds descriptions. Several descriptions of a class are averaged before the
prototype is scaled to length 1.

Differences from the paper: f and g are any networks; the paper's are linear, on image features.
"""

from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from quickstudy.learner import Predictor
from quickstudy.learners.distances import class_means, squared_distances, unit
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import Network, Statistics
from quickstudy.task import Episode, Examples


class DescribedClasses(Predictor):
    """The embedded descriptions, in the space of a network of pictures."""

    pictures: Embedding
    prototypes: Float[Array, "classes d"]
    seen: Bool[Array, " classes"]
    """Whether each class has a description, and so a prototype."""

    def __call__(self, x: Float[Array, "n ..."]) -> Float[Array, "n classes"]:
        distances = squared_distances(self.pictures(x), self.prototypes)
        return absent_last(-distances, self.seen)


class ZeroShotProtoNet(EmbeddingLearner):
    """Two networks into one space, for pictures and for descriptions of their classes. The
    statistics of the training tasks normalise pictures.

    >>> learner = ZeroShotProtoNet(pictures=WithHead(conv4, 64, key=a), descriptions=mlp)
    >>> support = Examples(descriptions, jnp.arange(20))
    >>> learner.adapt(support, Categorical(20), key=key)(pictures).shape
    (100, 20)
    """

    pictures: Network
    """f."""
    descriptions: Network
    """g, with equally many outputs."""
    population: Statistics | None

    def __init__(self, pictures: Network, descriptions: Network):
        if pictures.outputs != descriptions.outputs:
            raise ValueError(
                f"pictures have {pictures.outputs} features and descriptions "
                f"{descriptions.outputs}: they must meet in one space"
            )
        if descriptions.normalises:
            raise ValueError("descriptions are a few at a time: too few to normalise by")
        self.pictures = pictures
        self.descriptions = descriptions
        self.population = None

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.pictures, self.population)

    def inputs(self, task: Episode) -> Shaped[Array, "n ..."]:
        """Return the pictures, which are the queries."""
        return task.query.x

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> DescribedClasses:
        if not isinstance(likelihood, Categorical):
            raise ValueError("zero-shot prototypes classify; this task's targets are not classes")
        z, _ = self.descriptions(support.x)
        prototypes = unit(class_means(z, support.y, likelihood.size))
        seen = likelihood.seen(support.y)
        return DescribedClasses(self.embedding, prototypes, seen)
