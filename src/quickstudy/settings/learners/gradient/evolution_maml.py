"""Options of EvolutionMAML."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from quickstudy.numbers import above, at_least
from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class EvolutionMAMLSettings(InnerLoopSettings):
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

    def build(self, spec, key):
        import optax

        from quickstudy.learners.gradient.hill_climbing import HillClimbing
        from quickstudy.learners.gradient.maml import MAML

        network = self.built_network(spec, key)
        if self.adaptation == "gradient":
            return MAML(network, optax.sgd(self.rate(spec)), **self.loop(spec))
        deviation = 0.05 if self.inner_rate is None else self.inner_rate
        return HillClimbing(network, deviation, self.candidates, **self.loop(spec))

    def meta_gradient(self):
        from quickstudy.metagradients import Evolution

        return Evolution(self.pairs, self.deviation, self.ranks)
