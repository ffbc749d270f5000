"""Options of ProtoNet."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from quickstudy.settings.learners.metric.many_ways import NormalisedSettings


@dataclass(frozen=True)
class ProtoNetSettings(NormalisedSettings):
    """Prototypical networks: the nearest class mean in a learned space."""

    name: ClassVar[str] = "protonet"
    compares_features: ClassVar[bool] = True

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Squared Euclidean distance, or cosine similarity with a learned temperature."""

    def build(self, spec, key):
        from quickstudy.learners.metric.protonet import ProtoNet

        self.only_classifies(spec)
        network = self.network.build(spec.shape, key)
        return ProtoNet(network, self.distance, self.normalisation)
