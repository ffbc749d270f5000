"""What the training of an optimiser is: plain frozen dataclasses, as `settings.py` has them for
learners. Nothing here imports JAX.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quickstudy.errors import UserError, nearest
from quickstudy.settings.learner import above, at_least, layers_at_most, widths_at_least_1
from quickstudy.settings.run import TrainingSettings, filled
from quickstudy.user_file import Source, named_class, source_from_json, source_of

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.optimizers import LearnedOptimizer


@dataclass(frozen=True)
class ProblemSettings:
    """Which problems to minimise."""

    tasks: str = "quadratics"
    """quadratics, logistic, ackley, rastrigin, rosenbrock, styblinski; mnist or cifar10: networks
    that classify; several: one of each of five kinds, at once; or FILE.py, which defines your
    own."""
    dimensions: int = 10
    """Of quadratics, logistic regression and test functions."""
    hidden: tuple[int, ...] = (20,)
    """Widths of a network's dense layers."""
    kernels: tuple[int, ...] = ()
    """Kernels in each of a network's convolutional blocks, which come before."""
    activation: tuple[Literal["sigmoid", "tanh", "relu"], ...] = ("sigmoid",)
    """Of a network's units; where there are several, each network draws one."""
    batch: int = 128
    """Images in a minibatch."""
    image_size: int | None = None
    """MNIST is brought to this height and width, in pixels: smaller ones make smaller networks."""

    def __post_init__(self):
        at_least(self, dimensions=2, batch=1, image_size=4)
        if self.image_size is not None and self.tasks == "cifar10":
            raise UserError("--image-size is for mnist; cifar10 stays at 32 × 32")
        widths_at_least_1(self, "hidden", "kernels")
        if not self.activation:
            raise UserError("--activation: name at least one")


@dataclass(frozen=True)
class UnrollSettings:
    """How the optimiser's meta-gradient is estimated."""

    estimator: Literal["backpropagation", "persistent", "evolution"] = "backpropagation"
    """Truncated back-propagation, or evolution strategies, persistent or truncated."""
    unroll: int = 20
    """Steps that a meta-step looks at."""
    horizon: int = 100
    """Steps that a problem is minimised for."""
    shortest: int | None = None
    """The horizon at first: it grows evenly over the first half of training."""
    weights: Literal["uniform", "linear", "final"] = "uniform"
    """How much the loss after each step counts."""
    second_order: bool = False
    """With back-propagation: differentiate the problems' gradients too."""
    pairs: int = 8
    """With evolution strategies: antithetic pairs of perturbations for each problem."""
    deviation: float = 0.01
    """With evolution strategies: σ, the standard deviation of a perturbation."""

    def __post_init__(self):
        at_least(self, unroll=1, horizon=1, shortest=1, pairs=1)
        for name in ("horizon", "shortest"):
            steps = getattr(self, name)
            if steps is not None and steps % self.unroll:
                raise UserError(
                    f"--{name} {steps}: it must be a multiple of --unroll {self.unroll}"
                )
        if self.shortest is not None and self.shortest > self.horizon:
            raise UserError(f"--shortest {self.shortest} is above --horizon {self.horizon}")
        above(self, deviation=0)
        if self.second_order and self.estimator != "backpropagation":
            raise UserError(f"--second-order goes with backpropagation, not {self.estimator}")

    def meta_gradient(self, steps: int) -> Any:
        """For a training of so many meta-steps."""
        from quickstudy.metagradients import (
            PersistentEvolution,
            TruncatedBackpropagation,
            Unrolling,
        )

        unrolling = Unrolling(self.unroll, self.horizon, self.weights, self.shortest, steps // 2)
        if self.estimator == "backpropagation":
            return TruncatedBackpropagation(unrolling, first_order=not self.second_order)
        persistent = self.estimator == "persistent"
        return PersistentEvolution(unrolling, self.pairs, self.deviation, persistent)


@dataclass(frozen=True)
class OptimizerSettings:
    """The options of one learned optimiser, and how to build it. One subclass each."""

    name: ClassVar[str]
    """What the command line calls it."""
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 16}
    """Training settings that suit it."""

    def build(self, key: PRNGKeyArray) -> LearnedOptimizer:
        """The untrained optimiser."""
        raise NotImplementedError


@dataclass(frozen=True)
class MomentumOptimizer(OptimizerSettings):
    """Gradient descent with momentum whose rate and decay are learned."""

    name: ClassVar[str] = "momentum-optimizer"
    defaults: ClassVar[dict[str, Any]] = {"steps": 1000, "meta_batch": 16, "learning_rate": 0.01}

    rate: float = 0.01
    """α at first."""
    momentum: float = 0.9
    """β at first."""

    def __post_init__(self):
        above(self, rate=0)
        if not 0 < self.momentum < 1:
            raise UserError(f"--momentum {self.momentum}: it must be between 0 and 1")

    def build(self, key: PRNGKeyArray) -> LearnedOptimizer:
        from quickstudy.optimizers import LearnedMomentum

        return LearnedMomentum(self.rate, self.momentum)


@dataclass(frozen=True)
class LSTMOptimizer(OptimizerSettings):
    """Coordinatewise LSTM: a small recurrent network for every parameter, one set of weights."""

    name: ClassVar[str] = "lstm-optimizer"

    layers: int = 2
    """LSTM layers."""
    units: int = 20
    """Units of each."""
    scale: float = 0.01
    """What its output is multiplied by."""
    by_kind: bool = False
    """Kernels of convolutions have weights of their own."""

    def __post_init__(self):
        at_least(self, layers=1, units=1)
        layers_at_most(self, "layers")
        above(self, scale=0)

    def build(self, key: PRNGKeyArray) -> LearnedOptimizer:
        import jax

        from quickstudy.optimizers import ByKind, CoordinatewiseLSTM

        options = {"layers": self.layers, "units": self.units, "scale": self.scale}
        if not self.by_kind:
            return CoordinatewiseLSTM(**options, key=key)
        one, other = jax.random.split(key)
        kernels, others = (CoordinatewiseLSTM(**options, key=key) for key in (one, other))
        return ByKind(kernels, others)


@dataclass(frozen=True)
class MLPOptimizer(OptimizerSettings):
    """Small network that every parameter asks, with hand-made features of its gradients."""

    name: ClassVar[str] = "mlp-optimizer"

    units: tuple[int, ...] = (32, 32)
    """Widths of its hidden layers."""
    scale: float = 0.01
    """What its directions are multiplied by."""

    def __post_init__(self):
        widths_at_least_1(self, "units")
        above(self, scale=0)

    def build(self, key: PRNGKeyArray) -> LearnedOptimizer:
        from quickstudy.optimizers import CoordinatewiseMLP

        return CoordinatewiseMLP(hidden=self.units, scale=self.scale, key=key)


@dataclass(frozen=True)
class HierarchicalOptimizer(OptimizerSettings):
    """LSTM for each tensor that writes the weights of a tiny network, after VeLO."""

    name: ClassVar[str] = "hierarchical-optimizer"

    units: int = 32
    """Of the LSTM."""
    tiny: tuple[int, ...] = (8,)
    """Widths of the tiny networks' hidden layers."""
    bank: int = 8
    """How many tiny networks it mixes."""
    scale: float = 0.01
    """The learning rate that it begins at."""

    def __post_init__(self):
        at_least(self, units=1, bank=1)
        widths_at_least_1(self, "tiny")
        above(self, scale=0)

    def build(self, key: PRNGKeyArray) -> LearnedOptimizer:
        from quickstudy.optimizers import HierarchicalLSTM

        return HierarchicalLSTM(
            units=self.units, hidden=self.tiny, bank=self.bank, scale=self.scale, key=key
        )


OPTIMIZERS: dict[str, type[OptimizerSettings]] = {
    settings.name: settings
    for settings in (LSTMOptimizer, MLPOptimizer, HierarchicalOptimizer, MomentumOptimizer)
}
"""Every learned optimiser of the project."""


@dataclass(frozen=True)
class OptimizerRun:
    """One training of an optimiser."""

    optimizer: OptimizerSettings
    problems: ProblemSettings = field(default_factory=ProblemSettings)
    unrolling: UnrollSettings = field(default_factory=UnrollSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    start: OptimizerRun | str | None = None
    """What it begins with, in place of random weights: the end of another training, or a trained
    optimiser by its name, folder or file."""
    source: Source | None = None
    """The file that defines the problems, for ones of the user's own that are named."""

    def __post_init__(self):
        if self.source is None and self.problems.tasks.endswith(".py"):
            object.__setattr__(self, "source", source_of(named_class(self.problems.tasks)))

    @property
    def name(self) -> str:
        """Of the optimiser."""
        return self.optimizer.name

    def resolved(self) -> OptimizerRun:
        """With the optimiser's defaults wherever nothing was said."""
        fill = {
            "decay": "none",
            "meta_optimizer": "adam",
            "learning_rate": 1e-3,
            **self.optimizer.defaults,
        }
        steps = fill["steps"] if self.training.steps is None else self.training.steps
        fill |= {"steps": steps, "validate_every": max(1, steps // 20)}
        start = self.start.resolved() if isinstance(self.start, OptimizerRun) else self.start
        return dataclasses.replace(self, training=filled(self.training, fill), start=start)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` makes the settings again."""
        return {
            "optimizer": {"name": self.name, **dataclasses.asdict(self.optimizer)},
            "problems": dataclasses.asdict(self.problems),
            "unrolling": dataclasses.asdict(self.unrolling),
            "training": dataclasses.asdict(self.training),
            "start": self.start.to_json() if isinstance(self.start, OptimizerRun) else self.start,
            **({"source": dataclasses.asdict(self.source)} if self.source else {}),
        }

    @staticmethod
    def from_json(found: dict[str, Any]) -> OptimizerRun:
        """The settings in a `config.json`. Raises `UserError` where they are not an optimiser's."""
        try:
            options, start = with_tuples(found["optimizer"]), found["start"]
            return OptimizerRun(
                optimizer_settings(options.pop("name"))(**options),
                ProblemSettings(**with_tuples(found["problems"])),
                UnrollSettings(**found["unrolling"]),
                TrainingSettings(**found["training"]),
                OptimizerRun.from_json(start) if isinstance(start, dict) else start,
                source_from_json(found.get("source")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"this is no optimiser's configuration: {error}") from error


def with_tuples(found: dict[str, Any]) -> dict[str, Any]:
    """As dataclasses have them, where JSON has lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}


def optimizer_settings(name: str) -> type[OptimizerSettings]:
    """By name. Raises `UserError` for an unknown one, with the nearest."""
    if name not in OPTIMIZERS:
        raise UserError(f"there is no optimiser {name!r}: {nearest(name, list(OPTIMIZERS))}")
    return OPTIMIZERS[name]
