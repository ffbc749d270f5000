"""TapNet, task-adaptive projection (Yoon, Seo and Moon, ICML 2019).

Learned reference vectors φ stand for the classes of an episode. For each task, embeddings are
projected onto the subspace in which the prototypes c̄_k have the directions of their references,
and a query belongs to the class whose reference is nearest in this subspace:

    φ̃_k = φ_k - 1/(N-1) Σ_{l≠k} φ_l
    ε_k = φ̃_k / ‖φ̃_k‖ - c̄_k / ‖c̄_k‖                     the error of class k
    M   = null space of (ε_1 … ε_N)
    p(y = k | x) ∝ exp(-‖M f(x) - M φ_k‖²)

Distances need only the projector: P = I - Eᵀ (E Eᵀ)⁻¹ E with the errors as the rows of E, because
‖M v‖ = ‖P v‖ for any orthonormal basis M. P is a smooth function of the errors; a basis is not.

In training a class has a random reference. At test, with fewer classes than references, prototypes
and references are paired: the nearest pair first, then the nearest of the remaining ones, and so
on. A class without a labelled example has no prototype, and so no error; it gets one of the
remaining references.

Differences from the paper: the gradient also passes through P (the paper's code treats M as a
constant); the nearest pair is matched first, not the classes in their order, so names of classes do
not matter; no dropout, no weight decay."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.learner import Metrics
from quickstudy.learners.distances import class_means, squared_distances, unit
from quickstudy.learners.embedding import EmbeddingLearner, EmbeddingPredictor
from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import Network, Normalisation, Statistics
from quickstudy.task import Episode, Examples

RIDGE = 1e-5
"""Added to ‖ε‖²: keeps the projector and its gradient finite where errors are 0 or linearly
dependent."""


class Projection(EmbeddingPredictor):
    """The references of the classes of a task, projected to the subspace where its prototypes agree
    with them."""

    embedding: Embedding
    references: Float[Array, "classes d"]
    projector: Float[Array, "d d"]
    seen: Bool[Array, " classes"]
    """Whether each class has a labelled example, and so a prototype."""

    def __call__(self, x: Float[Array, "n ..."]) -> Float[Array, "n classes"]:
        z = self.embedding(x)
        logits = -squared_distances(z @ self.projector, self.references @ self.projector)
        return absent_last(logits, self.seen)


class TapNet(EmbeddingLearner):
    """A network, and reference vectors that each task is aligned with.

    Train it with as many classes as there are references, and test it with fewer.

    >>> learner = TapNet(Conv4((28, 28, 1), key=a), references=20, key=b)
    """

    network: Network
    references: Float[Array, "references d"]
    population: Statistics | None
    normalisation: Normalisation = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        references: int = 20,
        *,
        normalisation: Normalisation = "running",
        key: PRNGKeyArray,
    ):
        self.network = network
        scale = network.outputs**-0.5
        self.references = scale * jax.random.normal(key, (references, network.outputs))
        self.population = None
        self.normalisation = normalisation

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network, self.population, self.normalisation)

    def read(
        self, support: Examples, likelihood: Likelihood
    ) -> tuple[Float[Array, "classes d"], Bool[Array, " classes"], Embedding]:
        """Return prototypes, the classes that have one, and the embedding for queries.

        Raises `ValueError` where there are too few references or features for the classes.
        """
        if not isinstance(likelihood, Categorical):
            raise ValueError("TapNet classifies; this task's targets are not classes")
        most = min(len(self.references), self.network.outputs - 1)
        if likelihood.size > most:
            raise ValueError(
                f"this TapNet has {len(self.references)} references of {self.network.outputs} "
                f"features: it takes up to {most} classes, not {likelihood.size}"
            )
        z, of_queries = self.embedding.read(support.x)
        return class_means(z, support.y, likelihood.size), likelihood.seen(support.y), of_queries

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Projection:
        prototypes, seen, of_queries = self.read(support, likelihood)
        distances = squared_distances(prototypes, self.references)
        farthest = jnp.finfo(distances.dtype).max  # whoever has no prototype chooses last
        chosen = nearest_pairs(jnp.where(seen[:, None], distances, farthest))
        return projected(of_queries, self.references[chosen], prototypes, seen)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute the query loss with random references for the classes."""
        prototypes, seen, of_queries = self.read(task.support, task.likelihood)
        chosen = jax.random.permutation(key, len(self.references))[: len(prototypes)]
        predictor = projected(of_queries, self.references[chosen], prototypes, seen)
        logits = predictor(task.query.x)
        loss = task.likelihood.mean_loss(logits, task.query.y)
        return loss, task.likelihood.metrics(logits, task.query.y)


def projected(
    embedding: Embedding,
    references: Float[Array, "classes d"],
    prototypes: Float[Array, "classes d"],
    seen: Bool[Array, " classes"],
) -> Projection:
    """Return the predictor of a task whose classes have these references and prototypes."""
    projector = null_projector(errors(references, prototypes, seen))
    return Projection(embedding, references, projector, seen)


def errors(
    references: Float[Array, "classes d"],
    prototypes: Float[Array, "classes d"],
    seen: Bool[Array, " classes"],
) -> Float[Array, "classes d"]:
    """Compute ε_k, a row for each class that is `seen`; 0 for the others."""
    of_seen = jnp.where(seen[:, None], references, 0.0)
    others = (jnp.sum(of_seen, 0) - references) / jnp.maximum(jnp.sum(seen) - 1, 1)
    return jnp.where(seen[:, None], unit(references - others) - unit(prototypes), 0.0)


def null_projector(rows: Float[Array, "n d"]) -> Float[Array, "d d"]:
    """Compute the orthogonal projector onto the vectors that all rows map to 0."""
    gram = rows @ rows.T + RIDGE * jnp.eye(len(rows))
    return jnp.eye(rows.shape[1]) - rows.T @ jax.scipy.linalg.solve(gram, rows, assume_a="pos")


def nearest_pairs(distances: Float[Array, "n m"]) -> Int[Array, " n"]:
    """Choose a different column for each row: the smallest distance of all is the first pair, the
    smallest between the remaining rows and columns the next. n ≤ m."""

    def pair(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        left, chosen = carry
        row, column = jnp.unravel_index(jnp.argmin(left), left.shape)
        left = left.at[row].set(jnp.inf).at[:, column].set(jnp.inf)
        return (left, chosen.at[row].set(column)), None

    start = (jax.lax.stop_gradient(distances), jnp.zeros(len(distances), int))
    (_, chosen), _ = jax.lax.scan(pair, start, None, length=len(distances))
    return chosen
