"""What a run is: plain frozen dataclasses, which the command line reads and `config.json` keeps.

Nothing here imports JAX, so that `--help` answers at once; building happens in each learner's
`build` and in `recipes/wiring.py`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from quickstudy.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.likelihood import Likelihood
    from quickstudy.networks import Network


@dataclass(frozen=True)
class TaskSettings:
    """Which tasks to train on, choose on, and test on."""

    tasks: str = "glyphs"
    """glyphs, omniglot, sinusoid, or your own: folder:PATH, npz:PATH, table:PATH."""
    way: int = 5
    """Classes in an episode."""
    shot: int = 1
    """Labelled examples of each class (of a sinusoid: labelled points)."""
    query: int = 15
    """Test examples of each class (of a sinusoid: test points)."""
    train_way: int | None = None
    """Classes in a training episode; by default what suits the learner."""
    train_shot: int | None = None
    """Labelled examples in training; by default as at test."""
    train_query: int | None = None
    """Test examples in training; by default what suits the learner."""
    split: str | None = None
    """Omniglot: vinyals, lake or maml. Your own data: a JSON file with class names under train,
    validation and test; without one, classes are split 64 : 16 : 20 by --split-seed."""
    split_seed: int = 0
    """Which random split of your own classes."""
    rotations: Literal["none", "classes", "episode"] | None = None
    """Right-angled rotations of a class as classes of their own, or one drawn for each class in
    each episode. By default classes on Omniglot, else none."""
    image_size: int = 28
    """Images are brought to this height and width, in pixels."""
    color: bool = False
    """Keep the colours of your own images; by default they become ink on paper, one channel."""
    label_column: str = "label"
    """The column of a table that holds the class."""

    def __post_init__(self):
        least = {"way": 2, "shot": 1, "query": 1, "image_size": 16}
        for name, value in dataclasses.asdict(self).items():
            least_value = least.get(name.removeprefix("train_"))
            if value is not None and least_value is not None and value < least_value:
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag} {value}: it must be at least {least_value}")


@dataclass(frozen=True)
class TrainingSettings:
    """How to meta-train."""

    steps: int | None = None
    """Meta-steps; by default what suits the learner."""
    meta_batch: int | None = None
    """Tasks in a meta-step; by default what suits the learner."""
    tasks_at_once: int | None = None
    """How many tasks of a meta-batch are computed together: fewer take less memory."""
    learning_rate: float = 1e-3
    """The meta-learning rate, of Adam."""
    decay: Literal["none", "halve", "cosine"] | None = None
    """How the meta-learning rate falls: not at all, by half every --halve-every steps, or to
    zero along a cosine. By default what suits the learner."""
    halve_every: int = 2000
    """Steps between halvings."""
    seed: int = 0
    """Everything random in training follows from it."""
    validate_every: int | None = None
    """Steps between looks at the validation classes; by default a twentieth of the steps."""
    validation_episodes: int = 200
    """Episodes in each of those looks."""

    def __post_init__(self):
        least = {
            "steps": 0,
            "meta_batch": 1,
            "tasks_at_once": 1,
            "halve_every": 1,
            "validate_every": 1,
            "validation_episodes": 2,
        }
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag} {value}: it must be at least {smallest}")
        if not self.learning_rate > 0:
            raise UserError(f"--learning-rate {self.learning_rate}: it must be above 0")


@dataclass(frozen=True)
class Problem:
    """What a learner is built for."""

    shape: tuple[int, ...]
    """Of one input."""
    likelihood: Likelihood
    """Of the tasks at test."""
    training_classes: int | None
    """How many classes there are to train on; None where tasks are not classification."""


@dataclass(frozen=True)
class LearnerSettings:
    """The options of one learner, and how to build it from them. One subclass a learner."""

    name: ClassVar[str]
    """What the command line calls it."""
    defaults: ClassVar[dict[str, Any]] = {}
    """Task and training settings that suit it, where the user says nothing."""
    episodic: ClassVar[bool] = True
    """Whether it trains on episodes; if not, on batches of all training classes."""

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        """The untrained learner. Raises `UserError` where it cannot serve the problem."""
        raise NotImplementedError

    def only_classifies(self, problem: Problem) -> None:
        """For learners that cannot regress: raise `UserError` where they should."""
        if problem.training_classes is None:
            raise UserError(
                f"{self.name} classifies; these tasks have real targets: take maml, or other tasks"
            )


NetworkKind = Literal["auto", "conv4", "conv4-stride", "mlp", "mlp-norm"]


@dataclass(frozen=True)
class NetworkSettings:
    """The network inside a learner."""

    network: NetworkKind = "auto"
    """conv4 (pooled), conv4-stride (MAML's form), mlp, mlp-norm (with batch normalisation); auto
    takes a conv4 for images and an mlp for anything else."""
    filters: int = 64
    """Channels of each convolution."""
    hidden: tuple[int, ...] = (40, 40)
    """Widths of an mlp's layers."""

    def build(self, shape: tuple[int, ...], key: PRNGKeyArray, *, auto: str = "conv4") -> Network:
        """`auto` is what kind of network the learner prefers for images."""
        from quickstudy.networks import MLP, Conv4

        kind = self.network
        if kind == "auto":
            kind = auto if len(shape) == 3 else "mlp"
        if kind.startswith("mlp"):
            return MLP(
                shape,
                hidden=self.hidden,
                normalise=kind == "mlp-norm",
                key=key,
            )
        if len(shape) != 3:
            raise UserError(f"--network {kind} needs images; these inputs have shape {shape}")
        stride = 2 if kind == "conv4-stride" else 1
        return Conv4(shape, filters=self.filters, stride=stride, key=key)


Flat = tyro.conf.OmitArgPrefixes
"""Options of nested settings carry no prefix: --way, not --tasks.way."""


@dataclass(frozen=True)
class Pixels(LearnerSettings):
    """Nearest neighbour on raw inputs: nothing is learned."""

    name: ClassVar[str] = "pixels"
    defaults: ClassVar[dict[str, Any]] = {"steps": 0}

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Squared Euclidean distance, or cosine similarity."""
    invert: bool = False
    """Compare 1 - x: makes the paper bright, not the ink, which matters to the cosine."""

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.baseline.nearest import NearestNeighbour

        self.only_classifies(problem)
        return NearestNeighbour(self.distance, self.invert)


@dataclass(frozen=True)
class FineTuning(LearnerSettings):
    """A classifier of all training classes, with a new last layer tuned on each task."""

    name: ClassVar[str] = "finetune"
    defaults: ClassVar[dict[str, Any]] = {"steps": 4000, "train_query": 128}
    episodic: ClassVar[bool] = False

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    head_steps: int = 100
    """Gradient steps on each support set."""
    head_rate: float = 0.5
    """Their learning rate."""
    whole_network: bool = False
    """Tune the whole network on each support set, not the last layer alone."""

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax
        import optax

        from quickstudy.learners.baseline.finetuning import FineTuning
        from quickstudy.networks import WithHead

        self.only_classifies(problem)
        assert problem.training_classes is not None
        for_body, for_head = jax.random.split(key)
        body = self.network.build(problem.shape, for_body)
        classifier = WithHead(body, problem.training_classes, key=for_head)
        return FineTuning(
            classifier, optax.sgd(self.head_rate), self.head_steps, self.whole_network
        )


@dataclass(frozen=True)
class ProtoNet(LearnerSettings):
    """Prototypical networks: the nearest class mean in a learned space."""

    name: ClassVar[str] = "protonet"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 6000,
        "decay": "halve",
        "train_way": 20,
        "train_query": 5,
    }

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Squared Euclidean distance, or cosine similarity with a learned temperature."""
    normalisation: Literal["batch", "support", "running"] = "running"
    """Whose batch statistics normalise queries at test: their own (transductive), the support
    set's, or those of the training tasks."""

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.metric.protonet import ProtoNet

        self.only_classifies(problem)
        network = self.network.build(problem.shape, key)
        return ProtoNet(network, self.distance, self.normalisation)


@dataclass(frozen=True)
class MAML(LearnerSettings):
    """Model-agnostic meta-learning: an initialisation from which few gradient steps suffice."""

    name: ClassVar[str] = "maml"
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 32, "train_query": 5}

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    inner_rate: float | None = None
    """Learning rate of the inner steps; by default 0.4 for classes, 0.02 for real targets."""
    inner_steps: int = 1
    """Inner steps in training."""
    test_steps: int | None = None
    """Inner steps at test; by default 3 for classes, as in training for real targets."""
    inner_optimizer: str = "sgd"
    """Any optimiser that Optax has under this name and that takes a learning rate."""
    first_order: bool = False
    """Take inner gradients as constants: no second derivatives."""
    rematerialise: bool = False
    """Compute inner values twice instead of keeping them: less memory, more time."""
    normalisation: Literal["batch", "support"] = "batch"
    """Whose batch statistics normalise queries: their own (transductive) or the support set's."""

    def __post_init__(self):
        for name in ("inner_steps", "test_steps"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UserError(f"--{name.replace('_', '-')} {value}: it must be at least 0")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.gradient.maml import MAML
        from quickstudy.networks import WithHead

        classify = problem.training_classes is not None
        rate = self.inner_rate or (0.4 if classify else 0.02)
        for_body, for_head = jax.random.split(key)
        body = self.network.build(problem.shape, for_body, auto="conv4-stride")
        return MAML(
            network=WithHead(body, problem.likelihood.size, key=for_head),
            optimizer=optax_optimizer(self.inner_optimizer, rate),
            train_steps=self.inner_steps,
            test_steps=(3 if classify else self.inner_steps)
            if self.test_steps is None
            else self.test_steps,
            first_order=self.first_order,
            rematerialise=self.rematerialise,
            normalisation=self.normalisation,
        )


def optax_optimizer(name: str, learning_rate: float) -> Any:
    """`optax.<name>(learning_rate)`. Raises `UserError` for a name that Optax does not have."""
    import optax

    from quickstudy.errors import nearest

    factory = getattr(optax, name, None)
    try:
        if factory is not None:
            made = factory(learning_rate)
            if isinstance(made, optax.GradientTransformation):
                return made
    except TypeError:
        pass
    common = ["adagrad", "adam", "adamw", "lion", "nadam", "rmsprop", "sgd"]
    raise UserError(f"Optax has no optimiser {name!r} of a learning rate: {nearest(name, common)}")


@dataclass(frozen=True)
class RunSettings:
    """One run: a learner, its tasks, its training."""

    learner: LearnerSettings
    tasks: TaskSettings = field(default_factory=TaskSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    source: str | None = None
    """The file that defines the learner, for one of the user's own."""

    def resolved(self) -> RunSettings:
        """With the learner's defaults wherever nothing was said."""
        tasks, training = self.tasks, self.training
        fill = {"decay": "none", "meta_batch": 1, **self.learner.defaults}
        fill.setdefault("train_way", tasks.way)
        fill["train_shot"] = tasks.shot
        fill.setdefault("train_query", tasks.query)
        steps = fill["steps"] if training.steps is None else training.steps
        fill["steps"] = steps
        fill["validate_every"] = max(1, steps // 20)
        return dataclasses.replace(
            self, tasks=_filled(tasks, fill), training=_filled(training, fill)
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` makes the settings again."""
        learner = {"name": self.learner.name, **dataclasses.asdict(self.learner)}
        return {
            "learner": learner,
            "tasks": dataclasses.asdict(self.tasks),
            "training": dataclasses.asdict(self.training),
            "source": self.source,
        }

    @staticmethod
    def from_json(found: dict[str, Any]) -> RunSettings:
        """The settings in a `config.json`. Raises `UserError` where they are not ours."""
        from quickstudy.recipes.registry import learner_settings

        try:
            options = dict(found["learner"])
            cls = learner_settings(found["source"] or options["name"])
            del options["name"]
            if "network" in options:
                network = options["network"]
                network = {**network, "hidden": tuple(network["hidden"])}
                options["network"] = NetworkSettings(**network)
            return RunSettings(
                cls(**options),
                TaskSettings(**found["tasks"]),
                TrainingSettings(**found["training"]),
                found["source"],
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"the run's config.json is not one of ours: {error}") from error


def _filled(settings: Any, values: dict[str, Any]) -> Any:
    """`settings` with `values` for the fields that are None."""
    missing = {
        f.name: values[f.name]
        for f in dataclasses.fields(settings)
        if getattr(settings, f.name) is None and f.name in values
    }
    return dataclasses.replace(settings, **missing)


def run_file(folder: Path, name: str) -> Path:
    """A file of a run. Raises `UserError` where `folder` is not a finished run."""
    path = folder / name
    if not path.exists():
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} is not a run: train one with --run {folder}")
        raise UserError(f"{folder} is not finished: run its train command again, it goes on")
    return path
