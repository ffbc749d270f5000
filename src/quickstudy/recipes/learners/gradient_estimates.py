"""Options of the learners that are MAML by another meta-gradient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.errors import UserError
from quickstudy.recipes.learners.gradient import with_head
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

OWN_HEAD = "the last layer is part of the initialisation, as in MAML"


@dataclass(frozen=True)
class ImplicitMAML(LearnerSettings):
    """Implicit MAML: parameters near an initialisation, differentiated as an optimum."""

    name: ClassVar[str] = "imaml"
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 32, "train_query": 5}
    exempt: ClassVar[dict[str, str]] = {
        "test_labels_are_names_only": OWN_HEAD,
        "test_the_meta_gradient_is_the_slope_of_the_meta_objective": "it is the slope at the inner "
        "optimum, which 16 steps do not reach; see tests/oracles/test_implicit.py",
    }

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    inner_rate: float | None = None
    """Learning rate of the inner steps; by default 0.1 for classes, 0.02 for real targets."""
    inner_steps: int = 16
    """Inner steps, in training and at test; memory does not grow with them."""
    inner_optimizer: str = "sgd"
    """Any optimiser that Optax has under this name and that takes a learning rate."""
    strength: float = 2.0
    """λ: how much the squared distance from the initialisation counts."""
    test_strength: float = 0.0
    """The same at test."""
    cg_steps: int = 5
    """Conjugate gradients in each meta-gradient, at most."""
    normalisation: Literal["batch", "support"] = "batch"
    """Whose batch statistics normalise queries: their own (transductive) or the support set's."""

    def __post_init__(self):
        at_least(self, inner_steps=1, test_strength=0, cg_steps=1)
        if not self.strength > 0:
            raise UserError(f"--strength {self.strength}: it must be above 0")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.gradient.imaml import ImplicitMAML

        rate = self.inner_rate or (0.02 if problem.training_classes is None else 0.1)
        return ImplicitMAML(
            network=with_head(self.network, problem, key),
            optimizer=optax_optimizer(self.inner_optimizer, rate),
            steps=self.inner_steps,
            strength=self.strength,
            test_strength=self.test_strength,
            cg_steps=self.cg_steps,
            normalisation=self.normalisation,
        )


@dataclass(frozen=True)
class EvolutionMAML(LearnerSettings):
    """MAML whose meta-gradient comes from values alone, by evolution strategies."""

    name: ClassVar[str] = "es-maml"
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 32, "train_query": 5}
    exempt: ClassVar[dict[str, str]] = {"test_labels_are_names_only": OWN_HEAD}

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    inner_rate: float | None = None
    """Learning rate of the inner steps; by default 0.4 for classes, 0.02 for real targets."""
    inner_steps: int = 1
    """Inner steps, in training and at test."""
    pairs: int = 64
    """Antithetic pairs of perturbations for each task's meta-gradient."""
    deviation: float = 0.05
    """σ: the standard deviation of a perturbation of each parameter."""
    ranks: bool = True
    """Weigh perturbations by the ranks of their losses, not by the losses."""
    normalisation: Literal["batch", "support"] = "batch"
    """Whose batch statistics normalise queries: their own (transductive) or the support set's."""

    def __post_init__(self):
        at_least(self, inner_steps=0, pairs=1)
        if not self.deviation > 0:
            raise UserError(f"--deviation {self.deviation}: it must be above 0")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.maml import MAML

        rate = self.inner_rate or (0.02 if problem.training_classes is None else 0.4)
        return MAML(
            with_head(self.network, problem, key),
            optax.sgd(rate),
            train_steps=self.inner_steps,
            test_steps=self.inner_steps,
            normalisation=self.normalisation,
        )

    def meta_gradient(self) -> Any:
        from quickstudy.metagradients import Evolution

        return Evolution(self.pairs, self.deviation, self.ranks)
