"""The options of the network inside a learner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from quickstudy.data.inputs import TokenShape
from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings.learner import LearnerSettings

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.networks import Network

Flat = tyro.conf.OmitArgPrefixes
"""Options of nested settings carry no prefix: --way, not --tasks.way."""

SMALLEST_HALVED = 16
"""Side of the smallest picture that can be halved four times."""

NetworkKind = Literal[
    "auto",
    "conv4",
    "conv4-stride",
    "conv4-flat",
    "resnet12",
    "koch",
    "mlp",
    "mlp-norm",
    "residual",
    "text",
]


@dataclass(frozen=True)
class NetworkSettings:
    """The network inside a learner."""

    network: NetworkKind = "auto"
    """conv4 (pooled), conv4-stride (MAML's form), conv4-flat (Reptile's: strides, and every place
    that is left is a feature), resnet12, koch (Siamese networks' own, for
    --image-size 105), mlp, mlp-norm (with batch normalisation), residual (begins as
    the inputs themselves), text (embeds tokens: your own texts as weighted counts of tokens, words
    around a blank by their places); auto takes a conv4 for images, text for tokens, residual for
    your own features where the learner compares them, an mlp for anything else."""
    filters: int = 64
    """Channels of each convolution; of a resnet12's first block, and 2, 4 and 8 times as many of
    the next ones."""
    hidden: tuple[int, ...] = (40, 40)
    """Widths of an mlp's layers."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What matrix products and convolutions are computed in; bfloat16 is faster where the hardware
    has it. Parameters, normalisation, losses and the optimiser stay float32."""

    def __post_init__(self):
        at_least(self, filters=1, hidden=1)

    def build(self, shape: tuple[int, ...], key: PRNGKeyArray, *, auto: str = "conv4") -> Network:
        """Make the untrained network for inputs of `shape`; `auto` is the kind that the learner
        prefers for images. Raises `UserError` where the network does not take such inputs."""
        from quickstudy.networks import MLP, BagOfWords, Conv4, Residual, ResNet12, Text

        kind = self.network
        tokens = isinstance(shape, TokenShape)
        if kind == "auto":
            kind = "text" if tokens else auto if len(shape) == 3 else "mlp"
        if tokens != (kind == "text"):
            takes = "tokens: take --network text" if tokens else "numbers, not tokens"
            raise UserError(f"--network {kind}: these inputs are {takes}")
        if isinstance(shape, TokenShape) and shape.idf is not None:
            return BagOfWords(shape.idf, precision=self.precision, key=key)
        if isinstance(shape, TokenShape):
            return Text(shape, shape.vocabulary, precision=self.precision, key=key)
        if kind == "residual":
            return Residual(shape, precision=self.precision, key=key)
        if kind.startswith("mlp"):
            return MLP(
                shape,
                hidden=self.hidden,
                normalise=kind == "mlp-norm",
                precision=self.precision,
                key=key,
            )
        if len(shape) != 3:
            raise UserError(f"--network {kind} needs images; these inputs have shape {shape}")
        if kind != "koch" and min(shape[:2]) < SMALLEST_HALVED:
            raise UserError(
                f"--network {kind} halves its input four times and needs pictures of "
                f"{SMALLEST_HALVED} × {SMALLEST_HALVED} pixels or more; these are {shape[0]} × "
                f"{shape[1]}: take --network mlp, or larger pictures"
            )
        if kind == "resnet12":
            return ResNet12(shape, filters=self.filters, precision=self.precision, key=key)
        if kind == "koch":
            from quickstudy.networks.koch import SMALLEST, Koch

            if min(shape[:2]) < SMALLEST:
                raise UserError(
                    f"--network koch needs pictures of {SMALLEST} × {SMALLEST} pixels or more: "
                    "--image-size 105 is what it was made for"
                )
            return Koch(shape, precision=self.precision, key=key)
        return Conv4(
            shape,
            filters=self.filters,
            stride=1 if kind == "conv4" else 2,
            flat=kind == "conv4-flat",
            precision=self.precision,
            key=key,
        )


@dataclass(frozen=True)
class NetworkLearnerSettings(LearnerSettings):
    """Options of a learner with a network inside."""

    compares_features: ClassVar[bool] = False
    """Whether it is a nearest mean or neighbour in the space of its network's outputs."""

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
