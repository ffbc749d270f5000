"""Options of TADAM."""

from dataclasses import dataclass, replace
from typing import ClassVar

from quickstudy.data.inputs import TokenShape
from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings.learners.metric.many_ways import NormalisedSettings

MOST_CLASSES = 5000
"""Glyphs are endless; TADAM learns to tell this many of the training classes apart."""


def twentieth(steps: int) -> int:
    """T / 20, after which TADAM trains less often on all classes; at least one step."""
    return max(1, steps // 20)


@dataclass(frozen=True)
class TADAMSettings(NormalisedSettings):
    """Prototypical networks that read the task first, and turn their network for it."""

    name: ClassVar[str] = "tadam"

    batch: int = 64
    """Examples in each step of classification of all training classes."""
    anneal_every: int | None = None
    """Steps until the probability of such a step falls by a tenth, from 0.9 on; by default a
    twentieth of all, as in the paper."""

    def __post_init__(self):
        at_least(self, batch=1, anneal_every=1)

    def following(self, tasks, training):
        assert training.steps is not None
        return {"anneal_every": twentieth(training.steps)}

    def grouped(self, tasks):
        from quickstudy.tasks.cotraining import CoTraining, OfClasses

        if not isinstance(tasks, OfClasses):
            raise UserError(
                f"{self.name} learns to tell all training classes apart beside episodes, and "
                f"{tasks.protocol()['data']} is not cut out of classes: take protonet"
            )
        return CoTraining(tasks, self.batch, self.classified(tasks.source.classes))

    def classified(self, training_classes: int) -> int:
        """Count the training classes that it learns to tell apart."""
        return min(training_classes, MOST_CLASSES)

    def build(self, spec, key):
        import jax

        from quickstudy.learners.metric.tadam import TADAM

        classes = self.classified(self.classes_to_tell_apart(spec))
        network = self.network
        tokens = isinstance(spec.shape, TokenShape)
        if network.network == "auto" and len(spec.shape) != 3 and not tokens:
            network = replace(network, network="mlp-norm")  # TADAM conditions its normalised layers
        for_network, rest = jax.random.split(key)
        return TADAM(
            network.build(spec.shape, for_network),
            classes,
            every=twentieth(self.defaults["steps"])
            if self.anneal_every is None
            else self.anneal_every,
            normalisation=self.normalisation,
            key=rest,
        )
