"""Which data a run is about, as the command line and `config.json` have it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tyro

from quickstudy.data.functions import TableOfTasks
from quickstudy.data.inputs import Inputs
from quickstudy.data.kind import Data
from quickstudy.data.registry import KINDS, kind_of
from quickstudy.datasets.kept import ClassSplit
from quickstudy.errors import UserError
from quickstudy.numbers import at_least


def switched(words: list[str]) -> bool:
    """Read the value of a switch: on, where none is said."""
    if words and words[0] not in ("True", "False"):
        raise ValueError(f"{words[0]} is neither True nor False")
    return words != ["False"]


SWITCH = tyro.constructors.PrimitiveConstructorSpec(
    nargs=(0, 1),
    metavar="[True|False]",
    instance_from_str=switched,
    is_instance=lambda value: isinstance(value, bool),
    str_from_instance=lambda value: [str(value)],
)
"""An option that is on, off, or not said: --distort, --distort False, or nothing."""

TASKS = f"{', '.join(KINDS)}, FILE.py. quickstudy list says what each of them is."


@dataclass(frozen=True)
class DataOptions:
    """Which data tasks are made of, and how it is read and divided."""

    tasks: Annotated[str, tyro.conf.arg(help=TASKS)] = "glyphs"
    split: str | None = None
    """Omniglot: vinyals, lake, koch or maml. Your own data: a JSON file with class names under
    train, validation and test, as a run keeps it in split.json; without one, classes are split
    64 : 16 : 20 by --split-seed."""
    split_seed: int = 0
    """Which random split of your own classes, or of the words of a text."""
    rotations: Literal["none", "classes", "episode"] | None = None
    """Right-angled rotations of a class as classes of their own, or one drawn for each class in
    each episode. By default classes on Omniglot, else none."""
    train_classes: int | None = None
    """Train on only so many of the training classes, a random choice; by default on all."""
    distort: Annotated[bool | None, SWITCH] = None
    """Train on pictures under random affine maps. By default on your own pictures, where there are
    fewer than 50 classes to train on, else not."""
    image_size: int = 28
    """Images are brought to this height and width, in pixels."""
    color: bool = False
    """Keep the colours of your own images; by default they become ink on paper, one channel."""
    ink: Literal["auto", "dark", "light"] = "auto"
    """What is ink in your own images without --color: dark on a light ground, light on a dark
    one, or what most of the images have at their border. A run keeps it for later commands."""
    embed: str | None = None
    """A model, MODEL.onnx with MODEL.json beside it, that makes features of your own pictures or
    texts: the learner is trained on these. A run keeps which model it was."""
    label_column: str = "label"
    """The column of a table that holds the class."""
    task_column: str | None = None
    """Of a table of many small data sets: the column that says which of them a row is of. Each is
    a task, a function to learn from a few rows; they are split as classes are."""
    target: str | None = None
    """With --task-column: the column of the numbers to predict. All other columns are inputs."""
    time_column: str | None = None
    """With --task-column: the column of the time of a row, numbers or dates. An episode then has
    successive rows, and predicts the last of them from the first."""
    text_column: str = "text"
    """The column of a table that holds your own texts."""
    text_length: int = 256
    """The most tokens of a text of your own: longer ones are cut."""
    features: int = 12
    """The most features of a synthetic table."""
    inputs: Annotated[Inputs | None, tyro.conf.Suppress] = field(default=None, compare=False)
    """The inputs that a trained learner takes, to which these tasks' inputs are brought; None to
    leave them as they are. A run keeps it in the file of its learner, not in `config.json`."""
    classes: Annotated[ClassSplit | None, tyro.conf.Suppress] = None
    """The classes that a run has of the user's own data, by name; None where they are chosen by
    `split` and `split_seed`. A run keeps them in `split.json` and in the file of its learner."""
    place: Annotated[tuple[str, str] | None, tyro.conf.Suppress] = field(
        default=None, compare=False
    )
    """The path of the user's own data as a run names it, and its absolute path when the run was
    trained; None of other data. A run keeps it beside its options in `config.json`."""

    def __post_init__(self):
        kind_of(self.tasks)
        self._require_columns()
        at_least(self, train_classes=2, image_size=16, features=1, text_length=1, split_seed=0)
        if self.ink != "auto" and (self.color or not self.tasks.startswith("folder:")):
            raise UserError(
                f"--ink {self.ink} is for --tasks folder:PATH without --color (say it to "
                "quickstudy data where the images are packed)"
            )
        if self.embed is not None:
            self._require_embeddable()

    def _require_embeddable(self) -> None:
        """Raise `UserError` where a model cannot make features of the data, or other options are
        about inputs that the learner does not see."""
        if not kind_of(self.tasks).embeds:
            known = ", ".join(name for name, kind in KINDS.items() if kind.embeds)
            raise UserError(f"--embed makes features of {known}; not of {self.tasks}")
        for word in ("image_size", "color", "ink", "rotations", "distort", "text_length"):
            if getattr(self, word) not in (default(word), "none", False):
                flag = f"--{word.replace('_', '-')}"
                raise UserError(
                    f"--embed reads pictures and texts as the model's .json says: leave out {flag}"
                )

    def _require_columns(self) -> None:
        """Raise `UserError` unless the columns of a table of tasks are all said, or none."""
        named = {"--target": self.target, "--time-column": self.time_column}
        if self.task_column is None:
            for option, name in named.items():
                if name is not None:
                    raise UserError(
                        f"{option} {name}: it goes with --task-column, the column that says which "
                        "task a row is of"
                    )
            return
        if not self.tasks.startswith("table:"):
            raise UserError(f"--task-column {self.task_column} is for --tasks table:PATH")
        if self.target is None:
            raise UserError("--task-column needs --target, the column of the numbers to predict")
        names = [self.task_column, self.target, self.time_column]
        if len(set(names)) < len(names):
            raise UserError("--task-column, --target and --time-column must be different columns")

    @property
    def kind(self) -> type[Data]:
        """The kind of the data."""
        return TableOfTasks if self.task_column is not None else kind_of(self.tasks)

    @property
    def placed(self) -> Self:
        """The same with the absolute path of the user's own data, unless it is kept already."""
        given = str(Path(self.tasks.partition(":")[2]))
        if not self.kind.own or given == "." or (self.place or ("",))[0] == given:
            return self
        return replace(self, place=(given, str(Path(given).absolute())))


def default(word: str) -> Any:
    """Give the default of an option."""
    return next(f.default for f in fields(DataOptions) if f.name == word)


CHOICES = (
    *("tasks", "split", "split_seed", "train_classes", "image_size", "color", "ink"),
    *("label_column", "text_column", "task_column", "target", "time_column", "classes"),
)
"""The options that say which data it is, and which of its classes are in each part."""


def choice(options: DataOptions) -> dict[str, Any]:
    """Give the `CHOICES` of `options`: equal ones mean the same classes in each part."""
    return {word: getattr(options, word) for word in CHOICES}


def data_options(options: DataOptions) -> DataOptions:
    """Give the options of the data alone."""
    return DataOptions(**{f.name: getattr(options, f.name) for f in fields(DataOptions)})
