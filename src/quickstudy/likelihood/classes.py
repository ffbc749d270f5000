"""Targets that are classes: one of several, or a word of letters."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import entr
from jaxtyping import Array, Bool, Float, Int

from quickstudy.likelihood.likelihood import CALIBRATION_BINS, Likelihood


class Categorical(Likelihood):
    """One of `size` classes. A prediction is a vector of logits:

        p(y = k | z) = exp(z_k) / Σ_j exp(z_j).

    Labels are integers from 0 to `size` - 1; -1 marks an unlabelled example, as in
    scikit-learn, and unlabelled examples do not count towards the loss.

    >>> Categorical(2).metrics(jnp.array([[2.0, 0.0], [2.0, 0.0]]), jnp.array([0, 1]))["accuracy"]
    Array(0.5, dtype=float32)
    """

    size: int = eqx.field(static=True)
    headline: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def labelled(self, y: Int[Array, " n"]) -> Bool[Array, " n"]:
        return y >= 0

    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> Float[Array, " n"]:
        if prediction.shape[-1] != self.size:
            raise ValueError(
                f"predictions have {prediction.shape[-1]} logits, the task has {self.size} classes"
            )
        log_p = jax.nn.log_softmax(prediction)
        picked = jnp.take_along_axis(log_p, jnp.maximum(y, 0)[:, None], axis=-1)[:, 0]
        return jnp.where(self.labelled(y), -picked, 0.0)

    def deviance(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> Float[Array, " n"]:
        """-2 log p(y | z): the best prediction has probability 1."""
        return 2 * self.negative_log_likelihood(prediction, y)

    def metrics(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> dict[str, Float[Array, ""]]:
        labelled = self.labelled(y)
        correct = jnp.argmax(prediction, axis=-1) == y
        return {
            "accuracy": jnp.sum(correct & labelled) / jnp.maximum(jnp.sum(labelled), 1),
            "nll": self.mean_loss(prediction, y),
        }

    def calibration(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> Float[Array, "bins 3"]:
        """A claim is "the most probable class is right", its confidence that class's
        probability; bins cut [0, 1] evenly (Guo et al. 2017, section 2)."""
        p = jax.nn.softmax(prediction)
        return claims(jnp.max(p, axis=-1), jnp.argmax(p, axis=-1) == y, self.labelled(y))

    def encode(self, y: Int[Array, " n"]) -> Float[Array, "n size"]:
        """One-hot vectors, zeros where there is no label: labels that a network can read."""
        return jax.nn.one_hot(y, self.size)

    def seen(self, y: Int[Array, " n"]) -> Bool[Array, " size"]:
        """Which classes have a labelled example among the labels `y`.

        >>> Categorical(3).seen(jnp.array([2, -1, 0]))
        Array([ True, False,  True], dtype=bool)
        """
        return jnp.any(y[:, None] == jnp.arange(self.size), axis=0)


def absent_last(
    logits: Float[Array, "*n classes"], seen: Bool[Array, "*#n classes"]
) -> Float[Array, "*n classes"]:
    """Put the classes without a labelled example behind those that have one, `seen`:

        z_k ← min_{j seen} z_j - 1     for each k that is not seen; all are 0 where none is.

    This is what a learner says of such a class where it computes the logits of a class from the
    examples of that class. The result is finite whatever `logits` holds for a class that is not
    seen, such a class is never the answer, and z + c gives the result + c.

    >>> absent_last(jnp.array([[3.0, -jnp.inf, 1.0]]), jnp.array([True, False, True]))
    Array([[3., 0., 1.]], dtype=float32)
    """
    least = jnp.min(logits, axis=-1, keepdims=True, where=seen, initial=jnp.inf)
    behind = jnp.where(jnp.any(seen, axis=-1, keepdims=True), least - 1, 0.0)
    return jnp.where(seen, logits, behind)


def entropy(logits: Float[Array, "*n classes"]) -> Float[Array, "*n"]:
    """How unsure an answer is: -Σ_k p_k log p_k, in nats."""
    return jnp.sum(entr(jax.nn.softmax(logits)), axis=-1)


def claims(
    confidence: Float[Array, " n"], correct: Bool[Array, " n"], counted: Bool[Array, " n"]
) -> Float[Array, "bins 3"]:
    """The sums of `Likelihood.calibration` over the claims that are counted."""
    bins = jnp.minimum(jnp.floor(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1)
    each = jnp.stack([jnp.ones_like(confidence), confidence, correct], axis=-1)
    each = jnp.where(counted[:, None], each, 0.0)
    return jnp.zeros((CALIBRATION_BINS, 3)).at[bins.astype(int)].add(each)


LETTERS = 5
"""In a label, and in the alphabet that it is spelt in."""


class Letters(Likelihood):
    """A class is called by a word of five letters, each one of five (Santoro et al. 2016, section
    4.1.2). A prediction is five vectors of logits, one after the other, for letters that are
    independent given it:

        p(y | z) = Π_l exp(z_{l, y_l}) / Σ_j exp(z_{l, j}).

    Labels are five integers from 0 to 4, all -1 where there is none. A prediction is right if all
    five letters are.

    >>> Letters().encode(jnp.asarray([[0, 4, 2, 2, 1]])).shape
    (1, 25)
    """

    size: int = eqx.field(static=True, default=LETTERS**2)
    headline: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def of_letters(self, prediction: Float[Array, "n size"]) -> Float[Array, "n letters letters"]:
        """log p of each letter at each place."""
        return jax.nn.log_softmax(prediction.reshape(-1, LETTERS, LETTERS))

    def labelled(self, y: Int[Array, "n letters"]) -> Bool[Array, " n"]:
        return y[:, 0] >= 0

    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Int[Array, "n letters"]
    ) -> Float[Array, " n"]:
        log_p = self.of_letters(prediction)
        picked = jnp.take_along_axis(log_p, jnp.maximum(y, 0)[..., None], axis=-1)[..., 0]
        return jnp.where(self.labelled(y), -jnp.sum(picked, -1), 0.0)

    def deviance(
        self, prediction: Float[Array, "n size"], y: Int[Array, "n letters"]
    ) -> Float[Array, " n"]:
        """-2 log p(y | z): the best prediction has probability 1."""
        return 2 * self.negative_log_likelihood(prediction, y)

    def metrics(
        self, prediction: Float[Array, "n size"], y: Int[Array, "n letters"]
    ) -> dict[str, Float[Array, ""]]:
        labelled = self.labelled(y)
        correct = jnp.all(jnp.argmax(self.of_letters(prediction), -1) == y, -1)
        return {
            "accuracy": jnp.sum(correct & labelled) / jnp.maximum(jnp.sum(labelled), 1),
            "nll": self.mean_loss(prediction, y),
        }

    def calibration(
        self, prediction: Float[Array, "n size"], y: Int[Array, "n letters"]
    ) -> Float[Array, "bins 3"]:
        """A claim is "the most probable word is right"."""
        log_p = self.of_letters(prediction)
        correct = jnp.all(jnp.argmax(log_p, -1) == y, -1)
        return claims(jnp.exp(jnp.sum(jnp.max(log_p, -1), -1)), correct, self.labelled(y))

    def encode(self, y: Int[Array, "n letters"]) -> Float[Array, "n size"]:
        """Five one-hot vectors, one after the other; zeros where there is no label."""
        return jax.nn.one_hot(y, LETTERS).reshape(-1, self.size)
