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


@dataclass(frozen=True)
class MAML(LearnerSettings):
    """Model-agnostic meta-learning: an initialisation from which few gradient steps suffice."""

    name: ClassVar[str] = "maml"
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 32, "train_query": 5}

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    inner_rate: float | None = None
    """Learning rate of the inner steps; by default 0.4 for classes, 0.02 for real targets."""
    inner_steps: int = 1
    """Inner steps in training."""
    test_steps: int | None = None
    """Inner steps at test; by default 3 for classes, as in training for real targets."""
    inner_optimizer: str = "sgd"
    """Any optimiser that Optax has under this name and that takes a learning rate."""
    first_order: bool = False
    """Take inner gradients as constants: no second derivatives."""
    truncate: int | None = None
    """Differentiate through so many of the last inner steps; by default through all."""
    rematerialise: bool = False
    """Compute inner values twice instead of keeping them: less memory, more time."""
    normalisation: Literal["batch", "support"] = "batch"
    """Whose batch statistics normalise queries: their own (transductive) or the support set's."""

    def __post_init__(self):
        at_least(self, inner_steps=0, test_steps=0, truncate=0)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.gradient.maml import MAML
        from quickstudy.networks import WithHead

        classify = problem.training_classes is not None
        rate = self.inner_rate or (0.4 if classify else 0.02)
        for_body, for_head = jax.random.split(key)
        body = self.network.build(problem.shape, for_body, auto="conv4-stride")
        return MAML(
            network=WithHead(body, problem.likelihood.size, key=for_head),
            optimizer=optax_optimizer(self.inner_optimizer, rate),
            train_steps=self.inner_steps,
            test_steps=(3 if classify else self.inner_steps)
            if self.test_steps is None
            else self.test_steps,
            first_order=self.first_order,
            truncate=self.truncate,
            rematerialise=self.rematerialise,
            normalisation=self.normalisation,
        )
