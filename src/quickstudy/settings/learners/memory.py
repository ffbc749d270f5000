"""Options of the learners that read a data set in its order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quickstudy.errors import UserError
from quickstudy.settings.learner import LearnerSettings, Problem, at_least

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.learners.memory.recurrent import Controller


@dataclass(frozen=True)
class Reading(LearnerSettings):
    """What all of them are asked."""

    defaults: ClassVar[dict[str, Any]] = {"steps": 20000, "meta_batch": 16, "tasks_at_once": 16}
    reads_sequences: ClassVar[bool] = True

    controller: Literal["lstm", "feed-forward"] = "lstm"
    """What reads: an LSTM, or one layer that keeps nothing."""
    width: int = 200
    """Its hidden units."""

    def __post_init__(self):
        at_least(self, width=1)

    def make_controller(self, problem: Problem, read: int, key: PRNGKeyArray) -> Controller:
        """For inputs beside a label, and `read` numbers from a memory. Raises `UserError` where
        tasks are not classification, or inputs are tokens."""
        from quickstudy.learners.memory import recurrent

        self.only_classifies(problem)
        self.only_reads_numbers(problem)
        inputs = math.prod(problem.shape) + problem.likelihood.size
        kinds = {"lstm": recurrent.LSTM, "feed-forward": recurrent.FeedForward}
        return kinds[self.controller](inputs, read, self.width, key=key)


@dataclass(frozen=True)
class LSTM(Reading):
    """A recurrent network that is told labels as inputs, and learns by its activations."""

    name: ClassVar[str] = "lstm"

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.memory.recurrent import Recurrent

        for_controller, for_head = jax.random.split(key)
        controller = self.make_controller(problem, 0, for_controller)
        return Recurrent(controller, problem.likelihood.size, key=for_head)


@dataclass(frozen=True)
class MANN(Reading):
    """Memory-augmented networks: what is told is written to a memory, and read by likeness."""

    name: ClassVar[str] = "mann"

    addressing: Literal["lrua", "ntm"] = "lrua"
    """Where it writes: to slots least or last used, or as neural Turing machines do."""
    slots: int = 128
    """In the memory."""
    slot_width: int = 40
    """Numbers in each."""
    heads: int = 4
    """That read."""
    usage_decay: float = 0.95
    """With lrua: how much of a slot's usage is left after a step."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, slots=2, slot_width=1, heads=1)
        if self.heads > self.slots:
            raise UserError(f"--heads {self.heads}: no more than --slots {self.slots}")
        if not 0 <= self.usage_decay <= 1:
            raise UserError(f"--usage-decay {self.usage_decay}: it is a share, from 0 to 1")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.memory import mann

        for_controller, for_access, for_head = jax.random.split(key, 3)
        controller = self.make_controller(problem, self.heads * self.slot_width, for_controller)
        form: dict[str, Any] = {"heads": self.heads, "slots": self.slots, "width": self.slot_width}
        if self.addressing == "lrua":
            form["decay"] = self.usage_decay
            access = mann.LeastRecentlyUsed(self.width, **form, key=for_access)
        else:
            access = mann.NeuralTuringMachine(self.width, **form, key=for_access)
        return mann.MANN(controller, access, problem.likelihood.size, key=for_head)
