"""Episodes that reveal some hidden labels before the learner adapts, and the strategies that choose
them: at random, where the learner is least certain (Lewis and Gale 1994), or as the learner has
learned.

A strategy scores each support example, and the label of the unlabelled example with the highest
score is revealed. It sees only the support set, not the queries."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.learner import AskingLearner, Learner
from quickstudy.likelihood import Likelihood, entropy
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.tasks.partly_labelled import PartlyLabelled


class Strategy(eqx.Module):
    """A strategy to choose the label that is revealed."""

    name: ClassVar[str]

    @abc.abstractmethod
    def __call__(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        """Score each support example; the highest score is asked for."""


class AtRandom(Strategy):
    """All unlabelled examples are equally likely."""

    name: ClassVar[str] = "random"

    def __call__(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        return jax.random.uniform(key, support.y.shape)


class LeastCertain(Strategy):
    """By the entropy of the adapted predictor's answer, -Σ_k p_k log p_k."""

    name: ClassVar[str] = "uncertainty"
    learner: Learner

    def __call__(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        logits = self.learner.adapt(support, likelihood, key=key)(support.x)
        return entropy(logits)


class AsLearned(Strategy):
    """By the learner's own `acquire`."""

    name: ClassVar[str] = "learned"
    learner: AskingLearner

    def __call__(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        return self.learner.acquire(support, likelihood, key=key)


class Asked(TaskDistribution[Episode]):
    """Episodes of `tasks` after `count` labels have been revealed, one after the other. Each
    question may depend on the labels before it.

    The same key gives the same episode for any strategy, except for the known labels. A distractor,
    which belongs to no class of the task, stays unlabelled and is not asked for again.

    >>> Asked(tasks, LeastCertain(learner), 1).sample(key).support.y
    Array([ 0, -1, -1,  1,  1, -1], dtype=int32)
    """

    tasks: PartlyLabelled
    strategy: Strategy
    count: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if not 1 <= self.count <= self.tasks.unlabelled:
            raise ValueError(
                f"{self.count} labels to ask for, {self.tasks.unlabelled} unlabelled examples"
            )

    def sample(self, key: PRNGKeyArray) -> Episode:
        episode = self.tasks.sample(key)
        x, likelihood = episode.support.x, episode.likelihood

        def ask(turn: int | Array, known: tuple[Array, Array]) -> tuple[Array, Array]:
            y, open_ = known
            wanted = self.strategy(
                Examples(x, y), likelihood, key=jax.random.fold_in(key, 2 + turn)
            )
            number = jnp.argmax(jnp.where(open_, wanted, -jnp.inf))
            return y.at[number].set(episode.answers[number]), open_.at[number].set(False)

        y: Int[Array, " n"] = episode.support.y
        y, _ = jax.lax.fori_loop(0, self.count, ask, (y, y < 0))
        return Episode(Examples(x, y), episode.query, likelihood)

    @property
    def shared(self) -> PartlyLabelled:
        """The tasks before a label is revealed."""
        return self.tasks

    def protocol(self) -> dict[str, Any]:
        words = {"labels asked for": self.count, "asked": self.strategy.name}
        return {**self.tasks.protocol(), **words}
