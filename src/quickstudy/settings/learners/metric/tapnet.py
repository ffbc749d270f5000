"""Options of TapNet."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings.learners.metric.many_ways import NormalisedSettings


@dataclass(frozen=True)
class TapNetSettings(NormalisedSettings):
    """Learned references, and a projection for each task that turns its classes to them."""

    name: ClassVar[str] = "tapnet"

    references: int | None = None
    """By default as many as there are classes in an episode, in training or at test."""

    def __post_init__(self):
        at_least(self, references=2)

    def following(self, tasks, training):
        assert tasks.train_way is not None
        assert tasks.way is not None
        return {"references": max(tasks.train_way, tasks.way)}

    def build(self, spec, key):
        import jax

        from quickstudy.learners.metric.tapnet import TapNet

        self.only_classifies(spec)
        for_network, rest = jax.random.split(key)
        network = self.network.build(spec.shape, for_network)
        references = self.references
        if references is None:
            references = max(self.defaults["train_way"], spec.likelihood.size)
        if references >= network.outputs:
            raise UserError(
                f"--references {references}: the network has {network.outputs} features, and "
                "it takes more of them than references to project"
            )
        return TapNet(network, references, normalisation=self.normalisation, key=rest)
