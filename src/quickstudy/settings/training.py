"""How a learner or an optimiser is meta-trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from quickstudy.numbers import above, at_least


@dataclass(frozen=True)
class TrainingSettings:
    """How to meta-train."""

    steps: int | None = None
    """Meta-steps; by default what suits the learner."""
    meta_batch: int | None = None
    """Tasks in a meta-step; by default what suits the learner."""
    tasks_at_once: int | None = None
    """How many tasks of a meta-batch are computed together: fewer take less memory."""
    meta_optimizer: str | None = None
    """Any optimiser that Optax has under this name and that takes a learning rate; by default
    what suits the learner: Adam for all but Reptile."""
    learning_rate: float | None = None
    """The meta-learning rate; by default what suits the learner."""
    clip: float | None = None
    """The meta-gradient is shortened to this norm where it is longer."""
    decay: Literal["none", "halve", "cosine", "linear"] | None = None
    """How the meta-learning rate falls: not at all, by half every --halve-every steps, or to
    zero along a cosine or a line. By default what suits the learner."""
    halve_every: int = 2000
    """Steps between halvings."""
    seed: int = 0
    """Everything random in training follows from it."""
    validate_every: int | None = None
    """Steps between looks at the validation classes; by default a twentieth of the steps, and at
    most 100 on your own data."""
    validation_episodes: int = 200
    """Episodes in each of these looks."""
    patience: int | None = None
    """Training ends after so many looks in a row that were no better than the best look before. By
    default 10 on your own data; on other data it takes all its steps."""

    def __post_init__(self):
        at_least(
            self,
            steps=0,
            meta_batch=1,
            tasks_at_once=1,
            halve_every=1,
            validate_every=1,
            validation_episodes=2,
            patience=1,
            seed=0,
        )
        above(self, learning_rate=0, clip=0)


LATER = ("patience",)
"""Options that older runs do not have: see `saved.to_json`."""


def filled(settings: Any, values: dict[str, Any]) -> Any:
    """Replace the fields of `settings` that are None by their `values`, where these name them.

    >>> filled(TrainingSettings(), {"steps": 100}).steps
    100
    """
    missing = {
        f.name: values[f.name]
        for f in dataclasses.fields(settings)
        if getattr(settings, f.name) is None and f.name in values
    }
    return dataclasses.replace(settings, **missing)
