"""Options of recurrent networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quickstudy.numbers import at_least
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.task_spec import TaskSpec

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learners.memory.recurrent import Controller


@dataclass(frozen=True)
class RecurrentSettings(LearnerSettings):
    """Options of the learners whose controller reads a data set in its order."""

    defaults: ClassVar[dict[str, Any]] = {"steps": 20000, "meta_batch": 16, "tasks_at_once": 16}
    reads_sequences: ClassVar[bool] = True

    controller: Literal["lstm", "feed-forward"] = "lstm"
    """What reads: an LSTM, or one layer that keeps nothing."""
    width: int = 200
    """Its hidden units."""

    def __post_init__(self):
        at_least(self, width=1)

    def make_controller(self, spec: TaskSpec, read: int, key: PRNGKeyArray) -> Controller:
        """Make the network that reads an input, a label, and `read` numbers from a memory. Raises
        `UserError` where tasks are not classification, or inputs are tokens."""
        from quickstudy.learners.memory import recurrent

        self.only_classifies(spec)
        self.only_reads_numbers(spec)
        inputs = math.prod(spec.shape) + spec.likelihood.size
        kinds = {"lstm": recurrent.LSTM, "feed-forward": recurrent.FeedForward}
        return kinds[self.controller](inputs, read, self.width, key=key)


@dataclass(frozen=True)
class LSTMSettings(RecurrentSettings):
    """A recurrent network that is told labels as inputs, and learns by its activations."""

    name: ClassVar[str] = "lstm"

    def build(self, spec, key):
        import jax

        from quickstudy.learners.memory.recurrent import Recurrent

        for_controller, for_head = jax.random.split(key)
        controller = self.make_controller(spec, 0, for_controller)
        return Recurrent(controller, spec.likelihood.size, key=for_head)
