"""Options of MultiTask."""

from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings.network import NetworkLearnerSettings


@dataclass(frozen=True)
class MultiTaskSettings(NetworkLearnerSettings):
    """One trunk for a fixed list of training tasks and a head for each; a new head at test."""

    name: ClassVar[str] = "multi-task"
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 4, "train_query": 5}

    training_tasks: int = 100
    """How many tasks are in the list."""
    head_steps: int = 300
    """Gradient steps of a new head on each support set."""
    head_rate: float = 0.03
    """Their learning rate, of Adam."""
    mean_head: bool = False
    """Start a new head from the mean of all instead of from zero."""

    def __post_init__(self):
        at_least(self, training_tasks=1, head_steps=0, head_rate=0)

    def grouped(self, tasks):
        from quickstudy.tasks.finite import Finite, Redrawn

        if not isinstance(tasks, Redrawn):
            raise UserError(
                f"{self.name} learns a fixed list of tasks from new examples of each, and "
                f"{tasks.protocol()['data']} draws a task and its examples at once: take --tasks "
                "sinusoid, or classes"
            )
        return Finite(tasks, self.training_tasks)

    def build(self, spec, key):
        import jax
        import optax

        from quickstudy.learners.baseline.multitask import MultiTask
        from quickstudy.networks import WithHead

        for_body, for_heads = jax.random.split(key)
        body = self.network.build(spec.shape, for_body)
        return MultiTask(
            WithHead(body, spec.likelihood.size, key=for_heads),
            self.training_tasks,
            optax.adam(self.head_rate),
            steps=self.head_steps,
            mean_head=self.mean_head,
            key=for_heads,
        )
