"""Options of the learners that train on many ways."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from quickstudy.settings.network import NetworkLearnerSettings


@dataclass(frozen=True)
class ManyWaysSettings(NetworkLearnerSettings):
    """Options of a learner that trains on episodes of more classes than at test, one a step."""

    defaults: ClassVar[dict[str, Any]] = {
        "steps": 6000,
        "decay": "halve",
        "train_way": 20,
        "train_query": 5,
    }


@dataclass(frozen=True)
class NormalisedSettings(ManyWaysSettings):
    """The same, for a learner whose batch normalisation is chosen."""

    normalisation: Literal["batch", "support", "running"] = "running"
    """Whose batch statistics normalise queries at test: their own (transductive), the support
    set's, or those of the training tasks."""
