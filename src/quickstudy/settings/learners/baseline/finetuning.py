"""Options of FineTuning."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings.learner import TrainingTasks
from quickstudy.settings.network import NetworkLearnerSettings


@dataclass(frozen=True)
class FineTuningSettings(NetworkLearnerSettings):
    """A classifier of all training classes, with a new last layer tuned on each task, or whose
    features are compared."""

    name: ClassVar[str] = "finetune"
    defaults: ClassVar[dict[str, Any]] = {"steps": 4000, "train_query": 128}

    match: Literal["softmax", "cosine", "euclidean"] = "softmax"
    """What says the class: the new last layer, or the nearest support example by the cosine or
    the Euclidean distance of features, as they were trained or tuned with --whole-network."""
    head_steps: int = 100
    """Gradient steps on each support set."""
    head_rate: float = 0.5
    """Their learning rate."""
    whole_network: bool = False
    """Tune the whole network on each support set, not the last layer alone."""
    layer_decay: float = 1.0
    """With --whole-network: each earlier layer's learning rate is this much of the next one's."""
    unfreeze_every: int = 0
    """With --whole-network: steps until the next layer below moves as well; 0 moves all at once."""
    slanted: bool = False
    """Let the learning rate rise over the first tenth of the steps, and fall to nearly nothing."""

    def __post_init__(self):
        at_least(self, head_steps=0, head_rate=0, layer_decay=0, unfreeze_every=0)
        layered = self.layer_decay != 1 or self.unfreeze_every
        if layered and not self.whole_network:
            raise UserError(
                "--layer-decay and --unfreeze-every are about earlier layers: add --whole-network"
            )

    @property
    def trains_on(self) -> TrainingTasks:
        return "batches"

    def build(self, spec, key):
        import jax
        import optax

        from quickstudy.learners.baseline.deep_nearest import DeepNearestNeighbour
        from quickstudy.learners.baseline.finetuning import FineTuning
        from quickstudy.learners.baseline.transfer import by_layer, slanted_triangle
        from quickstudy.networks import WithHead

        classes = self.classes_to_tell_apart(spec)
        for_body, for_head = jax.random.split(key)
        body = self.network.build(spec.shape, for_body)
        classifier = WithHead(body, classes, key=for_head)
        rate = self.head_rate
        optimizer = optax.sgd(slanted_triangle(rate, self.head_steps) if self.slanted else rate)
        if self.layer_decay != 1 or self.unfreeze_every:
            optimizer = optax.chain(optimizer, by_layer(self.layer_decay, self.unfreeze_every))
        if self.match == "softmax":
            return FineTuning(classifier, optimizer, self.head_steps, self.whole_network)
        steps = self.head_steps if self.whole_network else 0
        return DeepNearestNeighbour(classifier, optimizer, steps, self.match)
