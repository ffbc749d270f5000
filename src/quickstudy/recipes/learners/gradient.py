"""Options of the gradient-based learners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.recipes.settings import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
    at_least,
    optax_optimizer,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.networks import WithHead


@dataclass(frozen=True)
class InnerLoop(LearnerSettings):
    """What every learner of the family is asked."""

    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 32, "train_query": 5}
    default_rates: ClassVar[tuple[float, float]] = (0.4, 0.02)
    """Of the inner steps: for classes, for real targets."""
    default_test_steps: ClassVar[int | None] = 3
    """For classes; None: as in training."""

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    inner_rate: float | None = None
    """Learning rate of the inner steps; by default what suits the method and the targets."""
    inner_steps: int = 1
    """Inner steps in training."""
    test_steps: int | None = None
    """Inner steps at test; by default what suits the method and the targets."""
    normalisation: Literal["batch", "support"] = "batch"
    """Whose batch statistics normalise queries: their own (transductive) or the support set's."""

    def __post_init__(self):
        at_least(self, inner_steps=0, test_steps=0)

    def rate(self, problem: Problem) -> float:
        """Of the inner steps."""
        for_classes, for_targets = self.default_rates
        return self.inner_rate or (for_classes if problem.classifies else for_targets)

    def built_network(self, problem: Problem, key: PRNGKeyArray) -> WithHead:
        """The untrained network: for images a strided conv4."""
        import jax

        from quickstudy.networks import WithHead

        for_body, for_head = jax.random.split(key)
        body = self.network.build(problem.shape, for_body, auto="conv4-stride")
        return WithHead(body, problem.likelihood.size, key=for_head)

    def loop(self, problem: Problem) -> dict[str, Any]:
        """The fields that every learner of the family has, but for the network."""
        at_test = self.test_steps
        if at_test is None:
            at_test = (problem.classifies and self.default_test_steps) or self.inner_steps
        return {
            "train_steps": self.inner_steps,
            "test_steps": at_test,
            "normalisation": self.normalisation,
        }


@dataclass(frozen=True)
class MAML(InnerLoop):
    """Model-agnostic meta-learning: an initialisation from which few gradient steps suffice."""

    name: ClassVar[str] = "maml"

    inner_optimizer: str = "sgd"
    """Any optimiser that Optax has under this name and that takes a learning rate."""
    first_order: bool = False
    """Take inner gradients as constants: no second derivatives."""
    truncate: int | None = None
    """Differentiate through so many of the last inner steps; by default through all."""
    rematerialise: bool = False
    """Compute inner values twice instead of keeping them: less memory, more time."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, truncate=0)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.gradient.maml import MAML

        return MAML(
            network=self.built_network(problem, key),
            optimizer=optax_optimizer(self.inner_optimizer, self.rate(problem)),
            first_order=self.first_order,
            truncate=self.truncate,
            rematerialise=self.rematerialise,
            **self.loop(problem),
        )


@dataclass(frozen=True)
class ANIL(InnerLoop):
    """MAML whose last layer alone adapts."""

    name: ClassVar[str] = "anil"

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.anil import ANIL

        return ANIL(
            network=self.built_network(problem, key),
            optimizer=optax.sgd(self.rate(problem)),
            **self.loop(problem),
        )


@dataclass(frozen=True)
class BOIL(InnerLoop):
    """MAML whose last layer alone does not adapt."""

    name: ClassVar[str] = "boil"

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.boil import BOIL

        return BOIL(
            network=self.built_network(problem, key),
            optimizer=optax.sgd(self.rate(problem)),
            **self.loop(problem),
        )


@dataclass(frozen=True)
class MetaSGD(InnerLoop):
    """MAML that learns a learning rate for each parameter; --inner-rate is the largest at first."""

    name: ClassVar[str] = "meta-sgd"
    default_rates: ClassVar[tuple[float, float]] = (0.1, 0.2)
    default_test_steps: ClassVar[int | None] = None

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.gradient.meta_sgd import MetaSGD, random_rates

        network = self.built_network(problem, key)
        rates = random_rates(network, self.rate(problem), key=jax.random.fold_in(key, 0))
        return MetaSGD(network=network, rates=rates, **self.loop(problem))
