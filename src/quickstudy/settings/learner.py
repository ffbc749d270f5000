"""What a learner is built from: its options, its network's, and what it is built for.

Nothing here imports JAX, so that `--help` answers at once; building does.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import tyro

from quickstudy.data.inputs import TokenShape
from quickstudy.errors import UserError
from quickstudy.numbers import above as above
from quickstudy.numbers import at_least as at_least
from quickstudy.numbers import layers_at_most as layers_at_most
from quickstudy.numbers import require_number as require_number
from quickstudy.numbers import widths_at_least_1 as widths_at_least_1

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.likelihood import Likelihood
    from quickstudy.networks import Network
    from quickstudy.settings.run import TaskSettings, TrainingSettings
    from quickstudy.task import Episode, TaskDistribution

Flat = tyro.conf.OmitArgPrefixes
"""Options of nested settings carry no prefix: --way, not --tasks.way."""


@dataclass(frozen=True)
class Problem:
    """What a learner is built for."""

    shape: tuple[int, ...]
    """Of one input."""
    likelihood: Likelihood
    """Of the tasks at test."""
    training_classes: int | None
    """How many classes there are to train on; None where tasks are not classification."""
    description: tuple[int, ...] | None = None
    """The shape of a description of a class, where tasks have these in the support set."""

    @property
    def classifies(self) -> bool:
        """Whether targets are classes."""
        return self.training_classes is not None


TrainingTasks = Literal["episodes", "batches", "pairs"]
"""Episodes; batches of all training classes; or pairs of examples, of one class or of two."""


@dataclass(frozen=True)
class LearnerSettings:
    """The options of one learner, and how to build it from them. One subclass a learner."""

    name: ClassVar[str]
    """What the command line calls it."""
    defaults: ClassVar[dict[str, Any]] = {}
    """Task and training settings that suit it, where the user says nothing."""
    reads_descriptions: ClassVar[bool] = False
    """Whether its support sets hold descriptions of classes in place of examples."""
    compares: ClassVar[bool] = False
    """Whether it tells of two inputs if they are of one class."""
    reads_any_table: ClassVar[bool] = False
    """Whether it takes any number of features, in units of their own."""
    reads_sequences: ClassVar[bool] = False
    """Whether it learns from a sequence as it comes, label by label."""

    @property
    def trains_on(self) -> TrainingTasks:
        """What its `loss` takes: by default episodes."""
        return "episodes"

    def following(self, tasks: TaskSettings, training: TrainingSettings) -> dict[str, Any]:
        """Derive the options that follow from the tasks and the training, in both of which nothing
        is None that has a default. A run takes them for options that are None."""
        return {}

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        """The untrained learner. Raises `UserError` where it cannot serve the problem."""
        raise NotImplementedError

    def meta_gradient(self) -> Any:
        """How ∂ω is estimated; by default back-propagation."""
        from quickstudy.metagradients import Backpropagation

        return Backpropagation()

    def grouped(self, tasks: TaskDistribution[Episode]) -> TaskDistribution[Any]:
        """The training tasks as the meta-objective takes them: by default one at a time, each
        anew. Raises `UserError` where they cannot be taken so."""
        return tasks

    def only_classifies(self, problem: Problem) -> None:
        """For learners that cannot regress: raise `UserError` where they should."""
        if problem.training_classes is None:
            raise UserError(
                f"{self.name} classifies; these tasks have real targets: take maml, or other tasks"
            )

    def only_reads_numbers(self, problem: Problem) -> None:
        """For learners that take inputs as they are: raise `UserError` where these are tokens."""
        if isinstance(problem.shape, TokenShape):
            raise UserError(f"{self.name} reads numbers; these inputs are tokens: take protonet")


SMALLEST_HALVED = 16
"""Side of the smallest picture that can be halved four times."""

NetworkKind = Literal[
    "auto", "conv4", "conv4-stride", "conv4-flat", "resnet12", "koch", "mlp", "mlp-norm", "text"
]


@dataclass(frozen=True)
class NetworkSettings:
    """The network inside a learner."""

    network: NetworkKind = "auto"
    """conv4 (pooled), conv4-stride (MAML's form), conv4-flat (Reptile's: strides, and every place
    that is left is a feature), resnet12, koch (Siamese networks' own, for
    --image-size 105), mlp, mlp-norm (with batch normalisation), text (embeds tokens); auto takes a
    conv4 for images, text for tokens, an mlp for
    anything else."""
    filters: int = 64
    """Channels of each convolution; of a resnet12's first block, and 2, 4 and 8 times as many of
    the next ones."""
    hidden: tuple[int, ...] = (40, 40)
    """Widths of an mlp's layers."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What matrix products and convolutions are computed in; bfloat16 is faster where the hardware
    has it. Parameters, normalisation, losses and the optimiser stay float32."""

    def __post_init__(self):
        at_least(self, filters=1)
        widths_at_least_1(self, "hidden")

    def build(self, shape: tuple[int, ...], key: PRNGKeyArray, *, auto: str = "conv4") -> Network:
        """`auto` is what kind of network the learner prefers for images."""
        from quickstudy.networks import MLP, Conv4, ResNet12, Text

        kind = self.network
        tokens = isinstance(shape, TokenShape)
        if kind == "auto":
            kind = "text" if tokens else auto if len(shape) == 3 else "mlp"
        if tokens != (kind == "text"):
            takes = "tokens: take --network text" if tokens else "numbers, not tokens"
            raise UserError(f"--network {kind}: these inputs are {takes}")
        if isinstance(shape, TokenShape):
            return Text(shape, shape.vocabulary, precision=self.precision, key=key)
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


def optax_optimizer(name: str, learning_rate: Any) -> Any:
    """Make `optax.<name>(learning_rate)`, of a number or a schedule. Raises `UserError` for a name
    that is no optimiser of a learning rate in Optax.

    >>> optax_optimizer("adam", 1e-3).update(gradient, state, parameters)
    """
    import optax

    from quickstudy.errors import nearest

    scheduled = callable(learning_rate)
    if scheduled and descends(name, scheduled=False) and not descends(name, scheduled=True):
        raise UserError(f"Optax's {name} takes no learning rate that changes: add --decay none")
    if not descends(name, scheduled=scheduled):
        common = ["adagrad", "adam", "adamw", "lion", "nadam", "rmsprop", "sgd"]
        raise UserError(
            f"Optax has no optimiser {name!r} of a learning rate: {nearest(name, common)}"
        )
    return getattr(optax, name)(learning_rate)


@functools.cache
def descends(name: str, *, scheduled: bool) -> bool:
    """Tell whether `optax.<name>` of a learning rate, or of a schedule of it, goes down a slope
    that is given to it as gradients alone: (1, 1) by a few steps from (1, 1)."""
    import jax
    import jax.numpy as jnp
    import optax

    rate = 0.1
    with jax.ensure_compile_time_eval():  # the answer is a value, also while JAX traces
        start = slope = jnp.ones(2)
        try:
            optimizer = getattr(optax, name)(optax.constant_schedule(rate) if scheduled else rate)
            if not isinstance(optimizer, optax.GradientTransformation):
                return False
            state = optimizer.init(start)
            parameters: Any = start
            for _ in range(PROBED_STEPS):
                updates, state = optimizer.update(slope, state, parameters)
                parameters = optax.apply_updates(parameters, updates)
            return bool(jnp.all(parameters < start))
        except Exception:  # what a function of Optax raises that wants other things has many names
            return False


PROBED_STEPS = 10
"""Some optimisers do not move in their first steps."""
