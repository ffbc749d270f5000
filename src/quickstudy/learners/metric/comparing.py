"""The common part of learners that compare two inputs: training on pairs, and one-shot
classification by comparison.

Such a learner computes the log-odds s(x, x') that two inputs have the same class, and is trained by
their cross-entropy (Koch et al. 2015, section 3.2):

    p(x, x') = σ(s(x, x'))
    L = -y log p(x, x') - (1 - y) log(1 - p(x, x'))          y = 1 for one class, 0 for two

A new class needs no training: a query is compared with each support example, and the score of a
class is the score of its best example (section 4.3):

    class of x = argmax_k max_{i: y_i = k} s(x, x_i)

With one example for each class, these scores are the logits of Bayes' rule: if exactly one pair has
the same class, p(k | x) ∝ p_k / (1 - p_k) = exp(s_k).

Training tasks are either `Pairs`, or ordinary episodes, of which every pair of a support and a
query example counts: N classes give N same pairs and N (N - 1) different pairs from 2 N pictures.
Same and different pairs have equal total weight."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.learner import Learner, Metrics, Predictor
from quickstudy.learners.distances import best_of_class
from quickstudy.learners.embedding import inputs_of
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.task import Episode, Examples


class Comparing(Learner):
    """A learner that decides whether two inputs have the same class."""

    @abc.abstractmethod
    def encode(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Compute the part that depends on one input alone, once for each input."""

    @abc.abstractmethod
    def compare(self, one: Float[Array, "..."], other: Float[Array, "..."]) -> Float[Array, ""]:
        """Compute s of two encoded inputs."""

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Predictor:
        """Return a classifier for a support set; for an empty one, a verifier, which reads
        pairs."""
        if not isinstance(likelihood, Categorical):
            raise ValueError("comparing classifies; this task's targets are not classes")
        if len(support.y) == 0:
            return Verifier(self)
        return Compared(self, self.encode(support.x), support.y, likelihood.size)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute L on the pairs of a task or on all pairs of an episode."""
        if len(task.support.y) == 0:
            return super().loss(task, key=key)
        z = self.encode(inputs_of(task))
        n = len(task.support.y)
        scores = self.compare_all(z[n:], z[:n])
        same = task.query.y[:, None] == task.support.y

        def half_and_half(x: Float[Array, "m n"]) -> Float[Array, ""]:
            return (jnp.mean(x, where=same) + jnp.mean(x, where=~same)) / 2

        surprise = jax.nn.softplus(jnp.where(same, -scores, scores))
        return half_and_half(surprise), {"accuracy": half_and_half(1.0 * ((scores > 0) == same))}

    def compare_all(
        self, a: Float[Array, "m ..."], b: Float[Array, "n ..."]
    ) -> Float[Array, "m n"]:
        """Compare every encoded input of `a` with every one of `b`."""
        return jax.vmap(lambda one: jax.vmap(lambda other: self.compare(one, other))(b))(a)


class Verifier(Predictor):
    """A predictor of logits for "two classes" and "one class" for each pair."""

    learner: Comparing

    def __call__(self, x: Float[Array, "n 2 ..."]) -> Float[Array, "n 2"]:
        z = self.learner.encode(x.reshape(-1, *x.shape[2:]))
        scores = jax.vmap(self.learner.compare)(z[::2], z[1::2])
        return jnp.stack([jnp.zeros_like(scores), scores], axis=-1)


class Compared(Predictor):
    """The encoded support set, which queries are compared with."""

    learner: Comparing
    z: Float[Array, "n ..."]
    y: Int[Array, " n"]
    classes: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m classes"]:
        scores = self.learner.compare_all(self.learner.encode(x), self.z)
        return best_of_class(scores, self.y, self.classes)
