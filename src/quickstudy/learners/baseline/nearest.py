"""Nearest neighbour on raw inputs, without any learning.

A query takes the label of the support example that is nearest, in squared Euclidean distance or by
the cosine (the "pixels" row of Vinyals et al. 2016, table 1). The logit of a class is the
similarity of its nearest example."""

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.learner import Learner, Predictor
from quickstudy.learners.distances import Distance, best_of_class, squared_distances, unit
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.task import Examples


class Neighbours(Predictor):
    """The support set."""

    x: Float[Array, "n d"]
    y: Int[Array, " n"]
    classes: int = eqx.field(static=True)
    distance: Distance = eqx.field(static=True)
    invert: bool = eqx.field(static=True)

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m classes"]:
        x = flatten(x, self.invert)
        if self.distance == "euclidean":
            nearness = -squared_distances(x, self.x)
        else:
            nearness = unit(x) @ unit(self.x).T
        return best_of_class(nearness, self.y, self.classes)


def flatten(x: Float[Array, "n ..."], invert: bool) -> Float[Array, "n d"]:
    """Flatten inputs to vectors; `invert` exchanges bright and dark."""
    x = x.reshape(x.shape[0], -1)
    return 1 - x if invert else x


class NearestNeighbour(Learner):
    """A learner without parameters and training.

    `distance` is squared Euclidean or cosine. The published row takes the cosine of images with a
    bright ground; where ink is bright, `invert` makes the ground bright.

    >>> NearestNeighbour().adapt(support, Categorical(5), key=key)(queries).shape
    (75, 5)
    """

    distance: Distance = eqx.field(static=True, default="euclidean")
    invert: bool = eqx.field(static=True, default=False)

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Neighbours:
        if not isinstance(likelihood, Categorical):
            raise ValueError("nearest neighbour classifies; this task's targets are not classes")
        x = flatten(support.x, self.invert)
        return Neighbours(x, support.y, likelihood.size, self.distance, self.invert)
