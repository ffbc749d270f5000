"""What learners that compare two inputs share: training on pairs, and one-shot by comparing.

Such a learner gives the log-odds s(x, x') that two inputs are of one class, and is trained on that
alone, by cross-entropy (Koch et al. 2015, section 3.2):

    p(x, x') = σ(s(x, x'))
    L = -y log p(x, x') - (1 - y) log(1 - p(x, x'))          y = 1 for one class, 0 for two

A new class needs no training: a query is compared with each support example, and a class scores
what its best example does (section 4.3):

    class of x = argmax_k max_{i: y_i = k} s(x, x_i)

As logits these scores are what Bayes' rule gives with one example a class: if exactly one pair is
of one class, p(k | x) ∝ p_k / (1 - p_k) = exp(s_k).

Tasks to train on are either `Pairs`, or ordinary episodes, of which every pair of a support and a
query example counts: N classes give N pairs of one class and N (N - 1) of two for 2 N pictures.
Pairs of one class and of two are weighted to count half and half.
"""

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
    """A learner that says whether two inputs are of one class."""

    @abc.abstractmethod
    def encode(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """What is computed once for each input, whatever it is compared with."""

    @abc.abstractmethod
    def compare(self, one: Float[Array, "..."], other: Float[Array, "..."]) -> Float[Array, ""]:
        """s, of two encoded inputs."""

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Predictor:
        """From a support set, a classifier; without one, a verifier, which reads pairs."""
        if not isinstance(likelihood, Categorical):
            raise ValueError("comparing classifies; this task's targets are not classes")
        if len(support.y) == 0:
            return Verifier(self)
        return Compared(self, self.encode(support.x), support.y, likelihood.size)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """L, on the pairs of a task or on all pairs of an episode."""
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
        """Every one of `a` with every one of `b`, all encoded."""
        return jax.vmap(lambda one: jax.vmap(lambda other: self.compare(one, other))(b))(a)


class Verifier(Predictor):
    """Logits of "two classes" and "one class" for each pair."""

    learner: Comparing

    def __call__(self, x: Float[Array, "n 2 ..."]) -> Float[Array, "n 2"]:
        z = self.learner.encode(x.reshape(-1, *x.shape[2:]))
        scores = jax.vmap(self.learner.compare)(z[::2], z[1::2])
        return jnp.stack([jnp.zeros_like(scores), scores], axis=-1)


class Compared(Predictor):
    """The encoded support set, to compare queries with."""

    learner: Comparing
    z: Float[Array, "n ..."]
    y: Int[Array, " n"]
    classes: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m classes"]:
        scores = self.learner.compare_all(self.learner.encode(x), self.z)
        return best_of_class(scores, self.y, self.classes)
