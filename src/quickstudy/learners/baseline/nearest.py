"""Nearest neighbour on raw inputs: what can be had without learning anything.

A query takes the label of the support example that is nearest in squared Euclidean distance
(the "pixels" rows of Vinyals et al. 2016, table 1). As logits: minus the distance to each class's
nearest example.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.learner import Learner, Predictor
from quickstudy.learners.distances import squared_distances
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.task import Examples


class Neighbours(Predictor):
    """The support set, class by class: who belongs to which."""

    x: Float[Array, "n d"]
    belongs: Float[Array, "n classes"]

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m classes"]:
        distances = squared_distances(x.reshape(x.shape[0], -1), self.x)
        of_class = jnp.where(self.belongs > 0, distances[:, :, None], jnp.inf)
        return -jnp.min(of_class, axis=1)


class NearestNeighbour(Learner):
    """No parameters, no training.

    >>> NearestNeighbour().adapt(support, Categorical(5), key=key)(queries).shape
    (75, 5)
    """

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Neighbours:
        if not isinstance(likelihood, Categorical):
            raise ValueError("nearest neighbour classifies; this task's targets are not classes")
        y: Int[Array, " n"] = support.y
        belongs = (y[:, None] == jnp.arange(likelihood.size)).astype(float)
        return Neighbours(support.x.reshape(support.x.shape[0], -1), belongs)
