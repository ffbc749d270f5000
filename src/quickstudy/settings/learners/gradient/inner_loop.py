"""Options of the learners that adapt a network by inner steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quickstudy.numbers import at_least
from quickstudy.settings.network import NetworkLearnerSettings
from quickstudy.settings.task_spec import TaskSpec

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.networks import WithHead


@dataclass(frozen=True)
class InnerLoopSettings(NetworkLearnerSettings):
    """Options of every learner that adapts a network by inner steps."""

    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 32, "train_query": 5}
    default_rates: ClassVar[tuple[float, float]] = (0.4, 0.02)
    """Of the inner steps: for classes, for real targets."""
    default_test_steps: ClassVar[int | None] = 3
    """For classes; None: as in training."""

    inner_rate: float | None = None
    """Learning rate of the inner steps; by default what suits the method and the targets."""
    inner_steps: int = 1
    """Inner steps in training."""
    test_steps: int | None = None
    """Inner steps at test; by default what suits the method and the targets."""
    normalisation: Literal["batch", "support"] = "batch"
    """Whose batch statistics normalise queries: their own (transductive) or the support set's."""

    def __post_init__(self):
        at_least(self, inner_rate=0, inner_steps=0, test_steps=0)

    def rate(self, spec: TaskSpec) -> float:
        """Give the learning rate of the inner steps."""
        if self.inner_rate is not None:
            return self.inner_rate
        for_classes, for_targets = self.default_rates
        return for_classes if spec.classifies else for_targets

    def built_network(self, spec: TaskSpec, key: PRNGKeyArray) -> WithHead:
        """Make the untrained network: for images a strided conv4."""
        import jax

        from quickstudy.networks import WithHead

        for_body, for_head = jax.random.split(key)
        body = self.network.build(spec.shape, for_body, auto="conv4-stride")
        return WithHead(body, spec.likelihood.size, key=for_head)

    def loop(self, spec: TaskSpec) -> dict[str, Any]:
        """Give the fields that every learner of the family has beside its network."""
        at_test = self.test_steps
        if at_test is None and spec.classifies:
            at_test = self.default_test_steps
        if at_test is None:
            at_test = self.inner_steps
        return {
            "train_steps": self.inner_steps,
            "test_steps": at_test,
            "normalisation": self.normalisation,
        }
