"""What is measured, as data.

Pictures are 28 × 28 × 1, from 200 classes of 20 pictures of random bits, held in memory as bytes.
Convolutional networks have four blocks of 64 filters with batch normalisation by the statistics
of the batch; those for MAML have a linear layer on top.
"""

import itertools
from dataclasses import dataclass
from typing import Literal, NamedTuple

Network = Literal["conv4 stride 2", "conv4 pooled", "mlp 2x40"]

Arithmetic = Literal["float32", "tensorfloat32", "bfloat16"]
"""What the factors of matrix products and convolutions are rounded to: not at all; to 10 bits
inside the tensor cores of a GPU, JAX's default there; or to bfloat16 (`--precision bfloat16`, and
PyTorch's autocast). On a processor the first two are the same."""

PICTURE_CLASSES = 200
PICTURES_PER_CLASS = 20
PICTURE = (28, 28, 1)
FILTERS = 64
HIDDEN = (40, 40)

META_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class MAMLStep:
    """A meta-step of MAML: adapt to `tasks` tasks, take the meta-gradient, update with Adam.

    The mlp learns sinusoids, 1-way, with the Gaussian likelihood; the others classify pictures.
    """

    network: Network
    first_order: bool = False
    inner_steps: int = 1
    way: int = 5
    shot: int = 1
    query: int = 15
    tasks: int = 8
    arithmetic: Arithmetic = "float32"

    @property
    def inner_learning_rate(self) -> float:
        """Low for pictures, because five long steps from random weights blow rounding up until two
        programs that do the same no longer agree. Times do not depend on it."""
        return 0.02 if self.network == "mlp 2x40" else 0.01

    @property
    def stride(self) -> int:
        return 2 if self.network == "conv4 stride 2" else 1

    @property
    def name(self) -> str:
        order = "first" if self.first_order else "second"
        return (
            f"MAML {order} order, {self.network}, {counted(self.inner_steps, 'step')}, "
            f"{counted(self.query, 'query', 'queries')}, {counted(self.tasks, 'task')}"
            f"{in_words(self.arithmetic)}"
        )


@dataclass(frozen=True)
class ProtoNetStep:
    """A training step of a prototypical network, conv4 pooled, on one episode, with Adam."""

    way: int = 60
    shot: int = 1
    query: int = 5
    arithmetic: Arithmetic = "float32"

    @property
    def name(self) -> str:
        return (
            f"ProtoNet step, {self.way}-way {self.shot}-shot, {self.query} queries"
            f"{in_words(self.arithmetic)}"
        )


@dataclass(frozen=True)
class Evaluation:
    """A prototypical network's accuracy on `episodes` episodes, which are drawn along the way;
    conv4 pooled, normalised by fixed statistics."""

    episodes: int = 1000
    way: int = 5
    shot: int = 1
    query: int = 5
    arithmetic: Arithmetic = "float32"

    @property
    def name(self) -> str:
        return (
            f"Evaluation of {self.episodes:,} episodes, {self.way}-way {self.shot}-shot, "
            f"{self.query} queries"
        )


@dataclass(frozen=True)
class Sampling:
    """Drawing one episode: labels, and pictures as float32."""

    way: int = 5
    shot: int = 1
    query: int = 15
    arithmetic: Arithmetic = "float32"

    @property
    def name(self) -> str:
        return f"Drawing an episode, {self.way}-way {self.shot}-shot, {self.query} queries"


Case = MAMLStep | ProtoNetStep | Evaluation | Sampling

SINUSOID = MAMLStep("mlp 2x40", way=1, shot=10, query=10, tasks=25)

OTHERS: tuple[Case, ...] = (SINUSOID, ProtoNetStep(), Evaluation(), Sampling())

DEFAULT: tuple[Case, ...] = (
    MAMLStep("conv4 stride 2", inner_steps=1, query=1, tasks=32),
    MAMLStep("conv4 stride 2", inner_steps=1, query=15, tasks=1),
    MAMLStep("conv4 stride 2", inner_steps=1, query=15, tasks=8),
    MAMLStep("conv4 stride 2", inner_steps=5, query=15, tasks=8),
    MAMLStep("conv4 pooled", inner_steps=1, query=1, tasks=8),
    MAMLStep("conv4 pooled", inner_steps=1, query=15, tasks=8),
    MAMLStep("conv4 pooled", inner_steps=5, query=1, tasks=8),
    MAMLStep("conv4 pooled", inner_steps=5, query=15, tasks=1),
    MAMLStep("conv4 stride 2", first_order=True, inner_steps=5, query=15, tasks=8),
    MAMLStep("conv4 pooled", first_order=True, inner_steps=5, query=15, tasks=1),
    *OTHERS,
)
"""What `make benchmark` measures: a quarter of an hour on two cores."""

GRID: tuple[Case, ...] = (
    *(
        MAMLStep(network, first_order, inner_steps, query=query, tasks=tasks)
        for network, first_order, inner_steps, query, tasks in itertools.product(
            ("conv4 stride 2", "conv4 pooled"), (False, True), (1, 5), (1, 15), (1, 8, 32)
        )
    ),
    *OTHERS,
    Evaluation(query=15),
)
"""Everything: an hour or more."""


class Aim(NamedTuple):
    """How many times longer a peer shall take."""

    peer: str
    times: float


def aim(case: Case, on_gpu: bool) -> Aim | None:
    """What the project has set itself; None where it has not."""
    match case:
        case MAMLStep("mlp 2x40"):
            return Aim("higher", 95)
        case MAMLStep(tasks=32) if on_gpu:
            return Aim("PyTorch", 10)
        case MAMLStep(first_order=False) if not on_gpu:
            return Aim("PyTorch", 3 if case.stride == 2 else 2)
        case ProtoNetStep(way=60) if not on_gpu:
            return Aim("PyTorch", 1.5)
    return None


def in_words(arithmetic: Arithmetic) -> str:
    """The end of a case's name."""
    return "" if arithmetic == "float32" else f", {arithmetic}"


def counted(n: int, one: str, many: str | None = None) -> str:
    """`1 task`, `8 tasks`."""
    return f"{n} {one if n == 1 else many or one + 's'}"
