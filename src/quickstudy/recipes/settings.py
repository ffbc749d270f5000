"""What a run is: plain frozen dataclasses, which the command line reads and `config.json` keeps.

Nothing here imports JAX, so that `--help` answers at once; building happens in each learner's
`build` and in `recipes/wiring.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import tyro

from quickstudy.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.likelihood import Likelihood
    from quickstudy.networks import Network


def at_least(settings: Any, **least: int) -> None:
    """Raise `UserError` unless each of these options is None or no less than its number."""
    for name, smallest in least.items():
        value = getattr(settings, name)
        if value is not None and value < smallest:
            flag = "--" + name.replace("_", "-")
            raise UserError(f"{flag} {value}: it must be at least {smallest}")


@dataclass(frozen=True)
class TaskSettings:
    """Which tasks to train on, choose on, and test on."""

    tasks: str = "glyphs"
    """glyphs, omniglot, penn-treebank; synthetic-tables; functions: sinusoid, gaussian-processes,
    fixed-gaussian-process, mnist-completion; or your own: folder:PATH, npz:PATH, table:PATH,
    packed:FOLDER, cub:FOLDER. To test on alone: mnist, lake-runs."""
    way: int = 5
    """Classes in an episode; of synthetic tables, the most classes."""
    shot: int = 1
    """Labelled examples of each class (of a function: labelled points; of a Gaussian process or a
    picture: at most so many, a random number; synthetic tables have way × shot labelled rows at
    most)."""
    query: int = 15
    """Test examples of each class (of a function: test points)."""
    train_way: int | None = None
    """Classes in a training episode; by default what suits the learner."""
    train_shot: int | None = None
    """Labelled examples in training; by default as at test."""
    train_query: int | None = None
    """Test examples in training; by default what suits the learner."""
    any_shot: bool = False
    """A training episode has 1 to --train-shot labelled examples of each class, each number as
    often; the others are unlabelled."""
    split: str | None = None
    """Omniglot: vinyals, lake, koch or maml. Your own data: a JSON file with class names under
    train, validation and test; without one, classes are split 64 : 16 : 20 by --split-seed."""
    split_seed: int = 0
    """Which random split of your own classes, or of the words of a text."""
    rotations: Literal["none", "classes", "episode"] | None = None
    """Right-angled rotations of a class as classes of their own, or one drawn for each class in
    each episode. By default classes on Omniglot, else none."""
    fixed_labels: bool = False
    """Each class has the same label in every episode: tasks that can be learned by heart."""
    train_classes: int | None = None
    """Train on only so many of the training classes, a random choice; by default on all."""
    within: bool = False
    """All classes of an episode are of one group, say characters of one alphabet: classes whose
    names begin alike up to a slash."""
    verify: bool = False
    """Validate and test on pairs, whether two pictures are of one class: in an episode way × query
    pairs of one class, and as many of two. For learners that compare."""
    distort: bool = False
    """Train on pictures under random affine maps."""
    labelled: float = 1.0
    """Share of each class's support examples that carry a label; the others are unlabelled."""
    anywhere: bool = False
    """That share of all support examples together, whatever their class: some classes may have no
    label."""
    distractors: int = 0
    """Classes that are not in the episode, of which it has unlabelled examples all the same."""
    image_size: int = 28
    """Images are brought to this height and width, in pixels."""
    color: bool = False
    """Keep the colours of your own images; by default they become ink on paper, one channel."""
    label_column: str = "label"
    """The column of a table that holds the class."""
    features: int = 12
    """The most features of a synthetic table."""
    zero_shot: bool = False
    """A description of each class in place of labelled examples, where classes have one: glyphs
    and cub."""
    sequence: int = 0
    """Validate and test on sequences of so many examples, each predicted before its label is told;
    learners of sequences train on these too. 0: on episodes of support and query sets."""
    letters: bool = False
    """In sequences, classes are called by words of five letters."""

    def __post_init__(self):
        least = {"way": 2, "shot": 1, "query": 1}
        least |= {f"train_{k}": v for k, v in least.items()}
        at_least(
            self, **least, train_classes=2, distractors=0, image_size=16, features=1, sequence=0
        )
        if self.zero_shot and ((self.shot, self.train_shot or 1) != (1, 1) or self.fixed_labels):
            raise UserError(
                "--zero-shot gives no examples of a class: leave out --shot and --fixed-labels"
            )
        if self.within and self.fixed_labels:
            raise UserError("--within and --fixed-labels choose classes in two ways: take one")
        if self.letters and not self.sequence:
            raise UserError("--letters is about sequences: add --sequence 50")
        if not 0 < self.labelled <= 1:
            raise UserError(f"--labelled {self.labelled}: it is a share, above 0 and at most 1")
        if self.anywhere and self.labelled == 1:
            raise UserError("--anywhere is about where labels are missing: add --labelled 0.2")
        partly = self.labelled < 1 or self.distractors
        others = self.within or self.zero_shot or self.verify
        if partly and others:
            raise UserError(
                "--labelled and --distractors do not go with --within, --zero-shot or --verify"
            )
        if self.any_shot and (partly or others or self.sequence):
            raise UserError(
                "--any-shot does not go with --labelled, --distractors, --within, --zero-shot, "
                "--verify or --sequence"
            )
        if self.sequence and (partly or others or self.fixed_labels):
            raise UserError(
                "--sequence does not go with --labelled, --distractors, --within, --zero-shot, "
                "--verify or --fixed-labels"
            )


@dataclass(frozen=True)
class Asking:
    """Labels that are asked for before the support set is learned from."""

    ask: Literal["random", "uncertainty", "learned"]
    """Any unlabelled support example, the one that the learner is least certain of, or the one
    that it has learned to choose."""
    asked: int = 1
    """How many labels, one after the other."""

    def __post_init__(self):
        at_least(self, asked=1)


@dataclass(frozen=True)
class TrainingSettings:
    """How to meta-train."""

    steps: int | None = None
    """Meta-steps; by default what suits the learner."""
    meta_batch: int | None = None
    """Tasks in a meta-step; by default what suits the learner."""
    tasks_at_once: int | None = None
    """How many tasks of a meta-batch are computed together: fewer take less memory."""
    meta_optimizer: str | None = None
    """Any optimiser that Optax has under this name and that takes a learning rate; by default
    what suits the learner: Adam for all but Reptile."""
    learning_rate: float | None = None
    """The meta-learning rate; by default what suits the learner."""
    clip: float | None = None
    """The meta-gradient is shortened to this norm where it is longer."""
    decay: Literal["none", "halve", "cosine", "linear"] | None = None
    """How the meta-learning rate falls: not at all, by half every --halve-every steps, or to
    zero along a cosine or a line. By default what suits the learner."""
    halve_every: int = 2000
    """Steps between halvings."""
    seed: int = 0
    """Everything random in training follows from it."""
    validate_every: int | None = None
    """Steps between looks at the validation classes; by default a twentieth of the steps."""
    validation_episodes: int = 200
    """Episodes in each of those looks."""

    def __post_init__(self):
        at_least(
            self,
            steps=0,
            meta_batch=1,
            tasks_at_once=1,
            halve_every=1,
            validate_every=1,
            validation_episodes=2,
        )
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"--{name.replace('_', '-')} {value}: it must be above 0")


class TokenShape(tuple[int, ...]):
    """The shape of one input that is tokens, integers below `vocabulary`, and not numbers."""

    vocabulary: int

    def __new__(cls, shape: Iterable[int], vocabulary: int):
        made = super().__new__(cls, shape)
        made.vocabulary = vocabulary
        return made


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
    reads_sequences: ClassVar[bool] = False
    """Whether it learns from a sequence as it comes, label by label."""

    @property
    def trains_on(self) -> TrainingTasks:
        """What its `loss` takes: by default episodes."""
        return "episodes"

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        """The untrained learner. Raises `UserError` where it cannot serve the problem."""
        raise NotImplementedError

    def meta_gradient(self) -> Any:
        """How ∂ω is estimated; by default back-propagation."""
        from quickstudy.metagradients import backpropagation

        return backpropagation

    def grouped(self, tasks: Any) -> Any:
        """The training tasks as the meta-objective takes them: by default one at a time, each
        anew."""
        return tasks

    def only_classifies(self, problem: Problem) -> None:
        """For learners that cannot regress: raise `UserError` where they should."""
        if problem.training_classes is None:
            raise UserError(
                f"{self.name} classifies; these tasks have real targets: take maml, or other tasks"
            )


NetworkKind = Literal[
    "auto", "conv4", "conv4-stride", "resnet12", "koch", "mlp", "mlp-norm", "text"
]


@dataclass(frozen=True)
class NetworkSettings:
    """The network inside a learner."""

    network: NetworkKind = "auto"
    """conv4 (pooled), conv4-stride (MAML's form), resnet12, koch (Siamese networks' own, for
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
        stride = 2 if kind == "conv4-stride" else 1
        return Conv4(shape, filters=self.filters, stride=stride, precision=self.precision, key=key)


Flat = tyro.conf.OmitArgPrefixes
"""Options of nested settings carry no prefix: --way, not --tasks.way."""


def optax_optimizer(name: str, learning_rate: Any) -> Any:
    """`optax.<name>(learning_rate)`, of a number or a schedule. Raises `UserError` for a name that
    Optax does not have."""
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

    @property
    def name(self) -> str:
        """Of the learner."""
        return self.learner.name

    def resolved(self) -> RunSettings:
        """With the learner's defaults wherever nothing was said."""
        tasks, training = self.tasks, self.training
        fill = {
            "decay": "none",
            "meta_batch": 1,
            "meta_optimizer": "adam",
            "learning_rate": 1e-3,
            **self.learner.defaults,
        }
        fill.setdefault("train_way", tasks.way)
        fill["train_shot"] = tasks.shot
        fill.setdefault("train_query", tasks.query)
        steps = fill["steps"] if training.steps is None else training.steps
        fill["steps"] = steps
        fill["validate_every"] = max(1, steps // 20)
        return dataclasses.replace(self, tasks=filled(tasks, fill), training=filled(training, fill))

    def with_seed(self, seed: int) -> RunSettings:
        """The same from another seed."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, seed=seed))

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


def filled(settings: Any, values: dict[str, Any]) -> Any:
    """`settings` with `values` for the fields that are None."""
    missing = {
        f.name: values[f.name]
        for f in dataclasses.fields(settings)
        if getattr(settings, f.name) is None and f.name in values
    }
    return dataclasses.replace(settings, **missing)


def seed_folder(folder: Path, seed: int) -> Path:
    """Where one of several seeds is kept: a run like any other."""
    return folder / f"seed-{seed}"


def seeds_in(folder: Path) -> dict[int, Path]:
    """The runs in a folder of several seeds, by seed; none where it is no such folder."""
    if (folder / "config.json").exists():
        return {}
    found = [p for p in folder.glob("seed-*") if p.is_dir() and p.name[5:].isdecimal()]
    return dict(sorted((int(path.name[5:]), path) for path in found))


def run_file(folder: Path, name: str) -> Path:
    """A file of a run. Raises `UserError` where `folder` is not a finished run."""
    path = folder / name
    if not path.exists():
        if seeds := seeds_in(folder):
            one = next(iter(seeds.values()))
            raise UserError(f"{folder} holds {len(seeds)} seeds: name one of them, say {one}")
        if (folder / "optimizer.qs").exists():
            raise UserError(f"{folder} is an optimiser: quickstudy optimize {folder}")
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} is not a run: train one with --run {folder}")
        raise UserError(f"{folder} is not finished: run its train command again, it goes on")
    return path
