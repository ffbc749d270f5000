"""Options of the learners that are MAML by another meta-gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quickstudy.settings.learner import Problem, above, at_least, optax_optimizer
from quickstudy.settings.learners.gradient import InnerLoop

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner


@dataclass(frozen=True)
class ImplicitMAML(InnerLoop):
    """Implicit MAML: parameters near an initialisation, differentiated as an optimum."""

    name: ClassVar[str] = "imaml"
    default_rates: ClassVar[tuple[float, float]] = (0.1, 0.02)
    default_test_steps: ClassVar[int | None] = None

    inner_steps: int = 16
    """Inner steps in training; memory does not grow with them."""
    inner_optimizer: str = "sgd"
    """Any optimiser that Optax has under this name and that takes a learning rate."""
    strength: float = 2.0
    """λ: how much the squared distance from the initialisation counts."""
    test_strength: float = 0.0
    """The same at test."""
    cg_steps: int = 5
    """Conjugate gradients in each meta-gradient, at most."""
    damping: float = 1.0
    """c: added to the identity in their linear system; 0 for the paper's equation."""
    extra_strength: float = 10.0
    """d: added to λ in their linear system; 0 for the paper's equation."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, inner_steps=1, test_strength=0, cg_steps=1, damping=0, extra_strength=0)
        above(self, strength=0)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.gradient.imaml import ImplicitMAML

        return ImplicitMAML(
            self.built_network(problem, key),
            optax_optimizer(self.inner_optimizer, self.rate(problem)),
            strength=self.strength,
            test_strength=self.test_strength,
            cg_steps=self.cg_steps,
            damping=self.damping,
            extra_strength=self.extra_strength,
            **self.loop(problem),
        )


@dataclass(frozen=True)
class EvolutionMAML(InnerLoop):
    """MAML whose meta-gradient comes from values alone, by evolution strategies."""

    name: ClassVar[str] = "es-maml"
    default_test_steps: ClassVar[int | None] = None

    adaptation: Literal["gradient", "hill-climbing"] = "gradient"
    """Inner steps down the gradient, or to the best of a few random perturbations of all
    parameters, whose standard deviation --inner-rate then is (by default 0.05)."""
    candidates: int = 10
    """With hill climbing: perturbations tried in each inner step."""
    pairs: int = 64
    """Antithetic pairs of perturbations for each task's meta-gradient."""
    deviation: float = 0.05
    """σ: the standard deviation of a perturbation of each parameter, for the meta-gradient."""
    ranks: bool = True
    """Weigh perturbations by the ranks of their losses, not by the losses."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, candidates=1, pairs=1)
        above(self, deviation=0)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.hill_climbing import HillClimbing
        from quickstudy.learners.gradient.maml import MAML

        network = self.built_network(problem, key)
        if self.adaptation == "gradient":
            return MAML(network, optax.sgd(self.rate(problem)), **self.loop(problem))
        deviation = 0.05 if self.inner_rate is None else self.inner_rate
        return HillClimbing(network, deviation, self.candidates, **self.loop(problem))

    def meta_gradient(self) -> Any:
        from quickstudy.metagradients import Evolution

        return Evolution(self.pairs, self.deviation, self.ranks)
