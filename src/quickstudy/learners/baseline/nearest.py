"""Nearest neighbour on raw inputs: what can be had without learning anything.

A query takes the label of the support example that is nearest, in squared Euclidean distance or
by the cosine (the "pixels" row of Vinyals et al. 2016, table 1). As logits: how near each class's
nearest example is.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learner import Learner, Predictor
from quickstudy.learners.distances import Distance, squared_distances, unit
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.task import Examples


class Neighbours(Predictor):
    """The support set, class by class: who belongs to which."""

    x: Float[Array, "n d"]
    belongs: Float[Array, "n classes"]
    distance: Distance = eqx.field(static=True)
    invert: bool = eqx.field(static=True)

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m classes"]:
        x = flatten(x, self.invert)
        if self.distance == "euclidean":
            nearness = -squared_distances(x, self.x)
        else:
            nearness = unit(x) @ unit(self.x).T
        of_class = jnp.where(self.belongs > 0, nearness[:, :, None], -jnp.inf)
        return jnp.max(of_class, axis=1)


def flatten(x: Float[Array, "n ..."], invert: bool) -> Float[Array, "n d"]:
    """Inputs as vectors; `invert` exchanges bright and dark."""
    x = x.reshape(x.shape[0], -1)
    return 1 - x if invert else x


class NearestNeighbour(Learner):
    """No parameters, no training.

    `distance` is squared Euclidean or cosine. The published row takes the cosine of images with
    a bright ground; where ink is bright, `invert` makes them so.

    >>> NearestNeighbour().adapt(support, Categorical(5), key=key)(queries).shape
    (75, 5)
    """

    distance: Distance = eqx.field(static=True, default="euclidean")
    invert: bool = eqx.field(static=True, default=False)

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Neighbours:
        if not isinstance(likelihood, Categorical):
            raise ValueError("nearest neighbour classifies; this task's targets are not classes")
        belongs = (support.y[:, None] == jnp.arange(likelihood.size)).astype(float)
        return Neighbours(flatten(support.x, self.invert), belongs, self.distance, self.invert)
