"""What every kind of run has in common, so that all are trained, saved and loaded by one code.

Here and in `learning.py` and `optimizing.py`, what trains is imported where training begins: a
command that only reads a run starts without it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from quickstudy.datasets.kept import ClassSplit
from quickstudy.settings.optax_optimizer import optax_optimizer
from quickstudy.settings.training import TrainingSettings

if TYPE_CHECKING:
    import optax

    from quickstudy.learner import Learnable, Learner
    from quickstudy.metagradients import MetaGradient
    from quickstudy.task import TaskDistribution
    from quickstudy.training import Validation


class Run(Protocol):
    """One training as plain settings: of a learner, of an optimiser, or an experiment's own."""

    @property
    def name(self) -> str:
        """The name of the method. Folders of kept trainings begin with it."""
        ...

    @property
    def training(self) -> TrainingSettings:
        """How to meta-train."""
        ...

    @property
    def start(self) -> Any:
        """What the training begins with: another `Run`, which is trained first; a saved run by its
        name, folder or file; or None."""
        ...

    def resolved(self) -> Self:
        """Return the settings with a value for every option that has a default."""
        ...

    def with_seed(self, seed: int) -> Self:
        """Return the settings with another seed of training."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Describe the settings in plain JSON values, as `config.json` keeps them."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A run whose data is known."""

    settings: Any
    """Resolved `Run`: with the classes that the run has kept, and ways for as many as there are."""
    split: ClassSplit | None = None
    """The names of the user's own classes, which the run keeps."""
    notes: tuple[str, ...] = ()
    """What to say before the first step, a line each."""


@dataclass(frozen=True)
class Training:
    """What `training.meta_train_seeds` is given for a run."""

    build: Callable[[int], Learnable]
    """Makes the untrained learner or optimiser from a seed."""
    tasks: TaskDistribution[Any]
    optimizer: optax.GradientTransformation
    meta_gradient: MetaGradient[Any]
    validation: Validation | None
    header: dict[str, Any]
    """What the file of the trained learner keeps beside the settings (plain JSON values)."""
    notes: tuple[str, ...] = ()
    """What to say before the first step, a line each."""
    opponents: Mapping[str, Learner] = field(default_factory=dict)
    """What needs no training and is measured beside it on the validation tasks, by name."""


class Start(NamedTuple):
    """What a training begins with."""

    settings: Any
    """The `Run` that was trained before."""
    learned: Any
    """The learner or optimiser that it gave."""


def without_data(settings: Run, folders: Collection[Path]) -> Prepared:
    """Resolve the settings of a run that keeps no data of the user's own."""
    return Prepared(settings.resolved())


@dataclass(frozen=True)
class Kind:
    """How runs of one kind are trained, saved and loaded."""

    file: str
    """The name of the file that holds what was trained."""
    sizes: str
    """The options that decide how much memory a training needs."""
    training: Callable[[Prepared, Start | None], Training]
    """Puts together what is trained. Raises `UserError` for what the user can put right."""
    from_header: Callable[[Path, dict[str, Any]], Any]
    """Reads the settings from a file's header; the path names the run in messages."""
    structure: Callable[[Any, dict[str, Any]], Any]
    """Gives the structure of what was trained, with shapes for arrays, from settings and header."""
    prepared: Callable[[Any, Collection[Path]], Prepared] = without_data
    """Resolves settings for a training in these folders."""


def outer_optimizer(training: TrainingSettings) -> optax.GradientTransformation:
    """Make the optimiser of meta-steps, with its decay and clipping."""
    import optax

    assert training.learning_rate is not None
    assert training.meta_optimizer is not None
    rate: float | optax.Schedule = training.learning_rate
    steps = training.steps or 1
    if training.decay == "halve":
        rate = optax.exponential_decay(rate, training.halve_every, 0.5, staircase=True)
    elif training.decay == "cosine":
        rate = optax.cosine_decay_schedule(rate, steps)
    elif training.decay == "linear":
        rate = optax.linear_schedule(rate, 0.0, steps)
    optimizer = optax_optimizer(training.meta_optimizer, rate)
    if training.clip is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(training.clip), optimizer)
