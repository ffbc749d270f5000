"""Where a training is computed."""

from __future__ import annotations

import dataclasses

from quickstudy.errors import UserError
from quickstudy.numbers import above, at_least


@dataclasses.dataclass(frozen=True)
class Machines:
    """Where a run is computed. Nothing in it depends on that but rounding, so these are not part
    of its configuration: a run may go on elsewhere."""

    devices: int | None = None
    """How many devices share the tasks of each meta-batch, in each process; by default all
    accelerators, or as many processor cores as divide the meta-batch where tasks are pictures."""
    processes: int = 1
    """How many processes on this machine train together; when one dies, all start again from the
    last checkpoint."""
    coordinator: str | None = None
    """For processes that you start yourself, on many hosts: host:port of the first one, or auto
    where SLURM, Open MPI or Kubernetes knows it."""
    process_count: int | None = None
    """How many such processes there are; known where the coordinator is auto."""
    process_index: int | None = None
    """Which of them this is, from 0; known where the coordinator is auto."""

    checkpoint_seconds: float = 30.0
    """How often the run is saved; what came after the last time is lost when a machine dies."""

    minutes: float | None = None
    """Training ends after so many minutes, with the best learner until then; the same command goes
    on from there."""

    def __post_init__(self):
        above(self, minutes=0)
        at_least(self, devices=1, processes=1, process_count=1, process_index=0)
        if not self.checkpoint_seconds >= 0:  # without end: at the end of training alone
            raise UserError(
                f"--checkpoint-seconds {self.checkpoint_seconds}: it must be at least 0"
            )

    def join(self) -> None:
        """Before anything is computed; see `quickstudy.devices.join`."""
        from quickstudy.devices import join

        join(self.coordinator, self.process_count, self.process_index, self.devices)
