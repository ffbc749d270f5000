"""Options of MANN."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings.learners.memory.recurrent import RecurrentSettings


@dataclass(frozen=True)
class MANNSettings(RecurrentSettings):
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

    def build(self, spec, key):
        import jax

        from quickstudy.learners.memory import mann

        for_controller, for_access, for_head = jax.random.split(key, 3)
        controller = self.make_controller(spec, self.heads * self.slot_width, for_controller)
        form: dict[str, Any] = {"heads": self.heads, "slots": self.slots, "width": self.slot_width}
        if self.addressing == "lrua":
            form["decay"] = self.usage_decay
            access = mann.LeastRecentlyUsed(self.width, **form, key=for_access)
        else:
            access = mann.NeuralTuringMachine(self.width, **form, key=for_access)
        return mann.MANN(controller, access, spec.likelihood.size, key=for_head)
