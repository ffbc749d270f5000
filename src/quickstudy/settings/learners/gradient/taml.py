"""Options of TAML."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.errors import UserError, nearest
from quickstudy.numbers import at_least
from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class TAMLSettings(InnerLoopSettings):
    """MAML whose start must not prefer any task."""

    name: ClassVar[str] = "taml"

    measure: str = "entropy"
    """Of preference: entropy of the answers before adapting, or inequality of the losses before
    adapting across a group of tasks: theil, ge2, atkinson, gini, log-variance."""
    weight: float = 0.1
    """λ, how much it counts."""
    group: int = 4
    """Tasks among which losses should be equal; --meta-batch then counts groups."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, weight=0, group=2)
        measures = ("entropy", "theil", "ge2", "atkinson", "gini", "log-variance")
        if self.measure not in measures:
            raise UserError(
                f"there is no --measure {self.measure}: {nearest(self.measure, list(measures))}"
            )

    @property
    def tasks_in_loss(self):
        return 1 if self.measure == "entropy" else self.group

    def grouped(self, tasks):
        from quickstudy.tasks.groups import Groups

        return tasks if self.tasks_in_loss == 1 else Groups(tasks, self.tasks_in_loss)

    def build(self, spec, key):
        import optax

        from quickstudy.learners.gradient.taml import INEQUALITIES, EntropyTAML, InequalityTAML
        from quickstudy.likelihood import HeteroscedasticGaussian

        network, sgd = self.built_network(spec, key), optax.sgd(self.rate(spec))
        if self.measure == "entropy":
            if not spec.classifies:
                raise UserError(
                    "--measure entropy is for classes; for real targets take an inequality, say "
                    "--measure theil"
                )
            return EntropyTAML(network, sgd, self.weight, **self.loop(spec))
        if isinstance(spec.likelihood, HeteroscedasticGaussian):
            raise UserError(
                f"--measure {self.measure} compares squared errors, and these tasks ask for the "
                "noise's scale too: take --tasks sinusoid, or the learner maml"
            )
        inequality = INEQUALITIES[self.measure]
        return InequalityTAML(network, sgd, self.weight, inequality, **self.loop(spec))
