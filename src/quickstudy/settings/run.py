"""What a run is: plain frozen dataclasses, which the command line reads and `config.json` keeps.

Nothing here imports JAX, so that `--help` answers at once; the room `runs/` makes of it what
runs. A learner's own options are in `settings/learners/`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from quickstudy.data.kind import Data
from quickstudy.data.modes import OPTIONS, Described, Mode, mode_of
from quickstudy.data.options import DataOptions, data_options
from quickstudy.data.registry import data_of
from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings import saved
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.training import LATER as LATER_IN_TRAINING
from quickstudy.settings.training import TrainingSettings, filled
from quickstudy.user_file import class_from, source_of

PRINTED_PRESENTATIONS = (1, 2, 3, 4, 5, 10)
"""Of sequences: the presentations of a class at which tables print the accuracy."""
WAYS = 5
"""Classes in an episode where nothing is said …"""
QUERIES = 15
"""… and test examples of each class."""


@dataclass(frozen=True)
class TaskSettings(DataOptions):
    """Which tasks to train on, choose on, and test on: the data, and the episodes cut out of it."""

    way: int | None = None
    """Classes in an episode; of synthetic tables, the most classes. By default 5, or as many as
    there are to validate and to test on where these are fewer."""
    shot: int = 1
    """Labelled examples of each class (of a function: labelled points; of a Gaussian process or a
    picture: at most so many, a random number; synthetic tables have way × shot labelled rows at
    most)."""
    query: int | None = None
    """Test examples of each class (of a function: test points). By default 15, or as many as the
    smallest class to validate and to test on has beside --shot where these are fewer."""
    train_way: int | None = None
    """Classes in a training episode; by default what suits the learner, or as many as there are
    to train on."""
    train_shot: int | None = None
    """Labelled examples in training; by default as at test."""
    train_query: int | None = None
    """Test examples in training; by default what suits the learner, or as many as the smallest
    class to train on has beside --train-shot."""
    skip_small_classes: bool = False
    """Leave out the classes of your own data that have fewer examples than an episode takes: --shot
    and --query together, and --train-shot and --train-query."""
    any_shot: bool = False
    """A training episode has 1 to --train-shot labelled examples of each class, each number as
    often; the others are unlabelled."""
    fixed_labels: bool = False
    """Each class has the same label in every episode: tasks that can be learned by heart."""
    proportional: bool = False
    """Classes of an episode have the shares that they have in the data: of way × shot labelled
    examples and way × query test examples each class has one at least, and the rest are divided in
    proportion."""
    within: bool = False
    """All classes of an episode are of one group, say characters of one alphabet: classes whose
    names begin alike up to a slash."""
    verify: bool = False
    """Validate and test on pairs, whether two pictures are of one class: in an episode way × query
    pairs of one class, and as many of two. For learners that compare."""
    labelled: float = 1.0
    """Share of each class's support examples that carry a label; the others are unlabelled."""
    anywhere: bool = False
    """That share of all support examples together, whatever their class: some classes may have no
    label."""
    distractors: int = 0
    """Classes that are not in the episode, of which it has unlabelled examples all the same."""
    zero_shot: bool = False
    """A description of each class in place of labelled examples, where classes have one: glyphs
    and cub."""
    sequence: int = 0
    """Validate and test on sequences of so many examples, each predicted before its label is told;
    learners of sequences train on these too. 0: on episodes of support and query sets."""
    letters: bool = False
    """In sequences, classes are called by words of five letters."""

    def __post_init__(self):
        super().__post_init__()
        least = {"way": 2, "shot": 1, "query": 1}
        least |= {f"train_{k}": v for k, v in least.items()}
        at_least(self, **least, distractors=0, sequence=0)
        if self.skip_small_classes and not (self.kind.own and self.kind.has_classes):
            raise UserError(f"--skip-small-classes is for your own data, not for {self.tasks}")
        mode = self.mode  # refuses options that do not go together
        if isinstance(mode, Described) and (self.shot, self.train_shot or 1) != (1, 1):
            raise UserError("--zero-shot gives no examples of a class: leave out --shot")

    @property
    def mode(self) -> Mode:
        """What episodes are like."""
        return mode_of(self)

    @property
    def data(self) -> Data:
        """What episodes are made of. Raises `UserError` where it cannot be had."""
        return data_of(data_options(self))


LATER = (
    *("ink", "embed", "text_column", "text_length"),
    *("task_column", "target", "time_column", "skip_small_classes", "proportional"),
)
"""Options of tasks that older runs do not have: see `saved.to_json`."""
OF_CLASSES = ("split", "split_seed", "rotations", "train_classes", "distort", "color")


def defaults_of_classes() -> dict[str, Any]:
    """The options that are about the classes that episodes are cut out of, each with its
    default."""
    names = (*OPTIONS, *OF_CLASSES, "label_column", "text_column", "text_length")
    return {f.name: f.default for f in dataclasses.fields(TaskSettings) if f.name in names}


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
class RunSettings:
    """One run: a learner, its tasks, its training."""

    learner: LearnerSettings
    tasks: TaskSettings = field(default_factory=TaskSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    @property
    def name(self) -> str:
        """Of the learner."""
        return self.learner.name

    @property
    def start(self) -> None:
        """A learner begins with random weights."""
        return None

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
        fill["way"] = WAYS if tasks.way is None else tasks.way
        fill["query"] = QUERIES if tasks.query is None else tasks.query
        fill.setdefault("train_way", fill["way"])
        fill["train_shot"] = tasks.shot
        fill["distort"] = False
        fill.setdefault("train_query", fill["query"])
        steps = fill["steps"] if training.steps is None else training.steps
        fill["steps"] = steps
        fill["validate_every"] = max(1, steps // 20)
        if not tasks.kind.has_ways and tasks.train_way not in (None, fill["train_way"]):
            raise UserError(f"--train-way is about classes, and {tasks.tasks} has none")
        if "tasks_at_once" in fill:
            meta_batch = fill["meta_batch"] if training.meta_batch is None else training.meta_batch
            if meta_batch > fill["tasks_at_once"]:  # groups must divide it
                fill["tasks_at_once"] = math.gcd(fill["tasks_at_once"], meta_batch)
        tasks, training = filled(tasks, fill), filled(training, fill)
        learner = filled(self.learner, self.learner.following(tasks, training))
        return dataclasses.replace(self, learner=learner, tasks=tasks, training=training)

    def with_seed(self, seed: int) -> RunSettings:
        """The same from another seed."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, seed=seed))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` makes the settings again."""
        source = source_of(type(self.learner))
        tasks = saved.to_json(self.tasks, LATER)
        del tasks["inputs"], tasks["classes"], tasks["place"]
        own = source_of(self.tasks.kind)
        return {
            **({"tasks_source": saved.to_json(own)} if own else {}),
            **self._model_of_features(),
            **({"place": list(self.tasks.place)} if self.tasks.place else {}),
            "learner": saved.to_json(self.learner),
            "tasks": tasks,
            "training": saved.to_json(self.training, LATER_IN_TRAINING),
            "source": source and saved.to_json(source),
        }

    def _model_of_features(self) -> dict[str, Any]:
        """Which model `--embed` names, so that a training does not go on with another one."""
        embed, inputs = self.tasks.embed, self.tasks.inputs
        if embed is None:
            return {}
        file = inputs and inputs.embedding
        if file is None:
            from quickstudy.datasets.embedding import open_model

            file = open_model(embed).file
        words = f"SHA-256 {file.sha256}, of its preprocessing {file.preprocessing}"
        return {"embedding": {"embed": words}}

    @staticmethod
    def from_json(found: dict[str, Any]) -> RunSettings:
        """The settings in a `config.json`. No code runs that they name.

        Raises `UserError` where they are not ours, and for a learner or data of the user's own
        whose file is not named or has changed (see `registry.saved_learner_settings`).
        """
        from quickstudy.settings.registry import saved_learner_settings

        try:
            name = saved.name_in(found, "learner")
            kind = saved_learner_settings(name, saved.source_in(found, "source"))
            if (own := saved.source_in(found, "tasks_source")) is not None:
                class_from(own, "--tasks")  # refuses a file that is not named, or has changed
            tasks = saved.from_json(found, "tasks", TaskSettings)
            if "place" in found:
                place = saved.from_json(found, "place", tuple[str, str])
                tasks = dataclasses.replace(tasks, place=place)
            return RunSettings(
                saved.from_json(found, "learner", kind),
                tasks,
                saved.from_json(found, "training", TrainingSettings),
            )
        except ValueError as error:
            raise UserError(f"the run's config.json is not one of ours: {error}") from error
