"""Classes from settings: which data, and which of its classes to train, choose and test on. Every
kind of data is known here.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.data.inputs import Inputs
from quickstudy.datasets import arrays, cub, folder, mnist, omniglot, packed, penn_treebank, table
from quickstudy.datasets.grouped import Grouped, standardise
from quickstudy.datasets.images import ImageFormat, Ink, resized
from quickstudy.datasets.kept import (
    NOT_KEPT,
    SPLITS,
    ClassSplit,
    by_hash,
    random_split,
    read_split,
    shuffled,
)
from quickstudy.devices import is_first_process
from quickstudy.errors import UserError
from quickstudy.settings.learner import TokenShape
from quickstudy.settings.run import TaskSettings, chosen
from quickstudy.settings.task_kinds import OWN, TEST_ONLY, WITHOUT_CLASSES
from quickstudy.tasks import cloze
from quickstudy.tasks.cloze import BlankedWords, blanked_words
from quickstudy.tasks.few_shot import (
    ArraySource,
    RotationMode,
    rotated,
)
from quickstudy.tasks.glyphs import glyph_splits
from quickstudy.tasks.mapped import MappedSource
from quickstudy.tasks.source import ClassSource, DescribedSource
from quickstudy.tasks.within import Division
from quickstudy.tasks.zero_shot import Described
from quickstudy.terminal import say_once, warn

KEEPING = (*OWN, "penn-treebank")
"""Data whose classes are divided at random or by the user: a run keeps their names."""

CLASSES_OF_A_CLASSIFIER = 200
"""Glyphs are endless; a classifier of all training classes gets this many."""

HELD_OUT_WORDS = (1000, 1000)
"""Words to validate and to test on, of some ten thousand (Vinyals et al. 2016, section 4.1.3)."""


# Data


def image_format(tasks: TaskSettings) -> ImageFormat:
    """What the user's own images become."""
    if tasks.color:
        return ImageFormat(tasks.image_size, 3, ink=None)
    return ImageFormat(tasks.image_size, 1, ink=tasks.ink)


def read_own(tasks: TaskSettings, kind: str, path: Path) -> Grouped:
    """The user's own examples: a folder of images, packed or not, an npz archive, or a table."""
    if kind == "folder":
        return folder.load(path, image_format(tasks))
    if kind == "table":
        return table.load(path, tasks.label_column)
    return {"npz": arrays, "packed": packed, "cub": cub}[kind].load(path)


@dataclass(frozen=True, eq=False)
class Data:
    """Real data, divided by class."""

    parts: dict[str, Grouped]
    """Without those of which a class has gone."""
    split: ClassSplit | None = None
    """The names of the classes, of the user's own data."""
    gone: dict[str, str] = field(default_factory=dict)
    """By part, what to say of classes of the run that the data no longer has."""


def grouped(tasks: TaskSettings, part: str) -> Grouped:
    """The classes of one part of real data; of the user's own, brought to `tasks.inputs`. Raises
    `UserError` where the data no longer has a class that the run has in this part."""
    data = _data(chosen(tasks), tasks.inputs)
    if part in data.gone:
        raise UserError(data.gone[part])
    return data.parts[part]


@functools.lru_cache(maxsize=4)
def _data(tasks: TaskSettings, inputs: Inputs | None) -> Data:
    """All parts of real data, read once for each choice. Says in one line on standard error which
    classes of the user's own data the run does not know."""
    kind, _, path = tasks.tasks.partition(":")
    if kind == "mnist":
        digits = mnist.load()
        pictures = resized(digits.test_x, tasks.image_size)
        return Data({"test": Grouped.from_labels(pictures, digits.test_y)})
    if kind == "omniglot":
        parts = omniglot.load(tasks.image_size).split(tasks.split or "vinyals")
        some = fewer(parts["train"].names, tasks.train_classes)
        return Data({**parts, "train": parts["train"].named(some)})
    if inputs is not None and kind == "folder" and not tasks.color:
        tasks = dataclasses.replace(tasks, ink=inputs.ink or "auto")
    everything = read_own(tasks, kind, Path(path))
    if is_first_process() and (said := what_is_new(everything.names, tasks)):
        say_once(said)
    if inputs is not None:
        x = inputs.brought(tasks.tasks, everything.x, everything.columns)
        everything = dataclasses.replace(everything, x=x, scaling=inputs.scaling)
    return own_data(everything, tasks)


def own_data(everything: Grouped, tasks: TaskSettings) -> Data:
    """The user's own classes by part; features standardised by the training classes, unless they
    are already."""
    split = own_split(everything.names, tasks)
    gone = {part: _gone(everything.names, split, part, tasks.tasks) for part in SPLITS}
    gone = {part: said for part, said in gone.items() if said}
    parts = {part: everything.named(split.part(part)) for part in SPLITS if part not in gone}
    if everything.x.ndim == 2 and not everything.scaling:
        if "train" in gone:
            raise UserError(gone["train"])
        parts = standardise(parts)
    return Data(parts, split, gone)


def own_split(names: Sequence[str], tasks: TaskSettings) -> ClassSplit:
    """Which of the user's own classes are in which part: as a run has kept it, as a file says, or
    at random."""
    kept = tasks.classes
    if kept is not None and kept != NOT_KEPT:
        return kept
    if tasks.split is not None:
        split = read_split(Path(tasks.split), names)
    else:
        order = by_hash if kept is None else shuffled
        split = random_split(names, tasks.split_seed, tasks.tasks, order)
    train = fewer(split.train, tasks.train_classes)
    validation = train if split.validates_on_training_classes else split.validation
    return ClassSplit.of(train, validation, split.test, names)


def fewer(names: tuple[str, ...], wanted: int | None) -> tuple[str, ...]:
    """A random choice of `wanted` training classes, in their order; by default all."""
    if wanted is None:
        return names
    if wanted > len(names):
        raise UserError(f"--train-classes {wanted}: there are {len(names)} to train on")
    some = np.random.default_rng(0).permutation(len(names))[:wanted]
    return tuple(names[i] for i in np.sort(some))


def what_is_new(names: Sequence[str], tasks: TaskSettings) -> str:
    """What to say where the data has classes that the run does not know, or the run has not kept
    its classes; else nothing."""
    if tasks.classes is None:
        return ""
    if tasks.classes == NOT_KEPT:
        if tasks.split is not None and tasks.train_classes is None:
            return ""
        return (
            "the run kept no names of its classes (an older quickstudy trained it), so they are "
            f"chosen anew by --split-seed {tasks.split_seed}: if classes of {tasks.tasks} were "
            "added, renamed or taken away since, test classes may have been trained on"
        )
    if not (new := tasks.classes.unknown(names)):
        return ""
    return (
        f"{tasks.tasks} has {counted(new)} that the run does not know, {listed(new)}: left out "
        "(to take new classes in, add them to a copy of the run's split.json and give --split that)"
    )


def _gone(names: Sequence[str], split: ClassSplit, part: str, data: str) -> str:
    """What to say of classes of a part that are not among `names`; nothing where all are."""
    there = set(names)
    gone = [name for name in split.part(part) if name not in there]
    if not gone:
        return ""
    new = split.unknown(names)
    renamed = f" (it has {listed(new)} instead: a class is known by its name)" if new else ""
    return (
        f"{data} no longer has {listed(gone)}, of the {part} classes of the run{renamed}: put "
        "back what is missing, or say with --split FILE which classes to take"
    )


def counted(names: Sequence[str]) -> str:
    """How many classes they are."""
    return f"{len(names)} {'class' if len(names) == 1 else 'classes'}"


def listed(names: Sequence[str]) -> str:
    """The first few of some names.

    >>> listed(["ant", "bee", "cat", "dog"])
    "'ant', 'bee', 'cat' …"
    """
    return ", ".join(map(repr, names[:3])) + (" …" if len(names) > 3 else "")


def training_inputs(tasks: TaskSettings, shape: tuple[int, ...]) -> Inputs:
    """What is trained on: inputs of that shape."""
    own = tasks.tasks.partition(":")[0] in OWN
    return Inputs.of(tasks, shape, grouped(tasks, "train") if own else None)


def how_read(tasks: TaskSettings, part: str) -> Ink | None:
    """What is taken for ink in a folder of the user's own images; None of other tasks."""
    own = tasks.tasks.startswith("folder:")
    return grouped(tasks, part).ink if own else None


@functools.lru_cache(maxsize=2)
def treebank_words(
    seed: int, kept: ClassSplit | None = None
) -> tuple[dict[str, BlankedWords], dict[str, list[str]]]:
    """Words to blank out in each part of Penn Treebank, and their names by label: those that a run
    has kept, or a random choice."""
    text = penn_treebank.load()
    tokens = cloze.vocabulary(text.values())
    if kept is None or kept == NOT_KEPT:
        words = cloze.divided(tokens, HELD_OUT_WORDS, seed)
    else:
        words = {part: list(kept.part(part)) for part in SPLITS}
    made, names = {}, {}
    for part in SPLITS:
        said = {"data": "penn-treebank", "split": f"random, seed {seed}", "part": part}
        made[part], names[part] = blanked_words(text[part], words[part], tokens, said)
    return made, names


def split_of(tasks: TaskSettings) -> ClassSplit | None:
    """The names that a run keeps of its classes; None where they follow from the settings alone,
    as those of Omniglot do."""
    kind = tasks.tasks.partition(":")[0]
    if kind == "penn-treebank":
        words = treebank_words(tasks.split_seed, tasks.classes)[1]
        return ClassSplit(*(tuple(words[part]) for part in SPLITS))
    return _data(chosen(tasks), tasks.inputs).split if kind in OWN else None


# Classes trained on and tested on


def names_of(tasks: TaskSettings, part: str) -> Sequence[str]:
    """The names of the classes of one part, before rotations; of no data, none."""
    kind = tasks.tasks.partition(":")[0]
    if tasks.classes is not None and tasks.classes != NOT_KEPT:
        return tasks.classes.part(part)
    if kind == "penn-treebank":
        return treebank_words(tasks.split_seed)[1][part]
    if kind == "lake-runs":
        names = omniglot.load(tasks.image_size).grouped.names
        rows = omniglot.lake_runs().test.ravel()
        return sorted({names[row // omniglot.DRAWINGS] for row in rows})
    return grouped(tasks, part).names if kind in ("omniglot", *OWN) else ()


def seen_in_training(
    trained: TaskSettings, tested: TaskSettings, part: str = "test"
) -> tuple[Sequence[str], Sequence[str]]:
    """The classes of the part that is tested on, and those of them whose names are among the
    training classes; none of the names are compared where data are of different kinds, or where
    training classes are what is asked for."""

    def kind(tasks: TaskSettings) -> str:
        found = tasks.tasks.partition(":")[0]
        return {"lake-runs": "omniglot", **dict.fromkeys(OWN, "own")}.get(found, found)

    same = chosen(trained) == chosen(tested)
    if kind(trained) != kind(tested) or (same and part == "train"):
        return (), ()
    if same and trained.classes in (None, NOT_KEPT):
        return (), ()  # parts without a class in common
    names, known = names_of(tested, part), set(names_of(trained, "train"))
    return names, [name for name in names if name in known]


@functools.lru_cache
def warn_of_seen_classes(
    trained: TaskSettings, tested: TaskSettings, part: str, run: str = "the run"
) -> None:
    """Say in one line on standard error, once, where classes to test on were trained on. `run` is
    what to call the run."""
    own = tested.tasks.partition(":")[0] in OWN
    other = chosen(trained) != chosen(tested)
    if trained.classes == NOT_KEPT and trained.tasks.partition(":")[0] in OWN and other:
        if own:
            warn(
                f"{run} kept no names of its classes (an older quickstudy trained it): whether it "
                f"was trained on classes of {tested.tasks} is not known"
            )
        return
    names, seen = seen_in_training(trained, tested, part)
    if not seen:
        return
    if tested.tasks == "lake-runs":
        advice = "; for new ones train on --split koch or lake"
    elif own and other:
        advice = "; the run's split.json, given to --split, has classes that it was not trained on"
    else:
        advice = ""
    warn(
        f"{run} was trained on {len(seen)} of the {len(names)} {part} classes of {tested.tasks}, "
        f"going by their names ({listed(seen)}): the figures are no evidence for new "
        f"classes{advice}"
    )


# Classes


def rotation_mode(tasks: TaskSettings) -> RotationMode:
    """What was asked for; by default rotations are classes of their own on Omniglot alone."""
    return tasks.rotations or ("classes" if tasks.tasks == "omniglot" else "none")


def source_of(examples: Grouped, words: dict[str, Any]) -> ClassSource:
    """Examples to draw, from memory or from the file that they lie in."""
    x, first, count = examples.x, examples.first, examples.count
    if isinstance(x, np.memmap):
        return MappedSource(x, first, count, words)
    return ArraySource(x, first, count, words)


def classes_of(tasks: TaskSettings, part: str) -> ClassSource | None:
    """The classes of one part; None for tasks that are not cut out of classes. Raises `UserError`
    where there is nothing to train on."""
    if tasks.tasks in TEST_ONLY and part != "test":
        raise UserError(
            f"--tasks {tasks.tasks} is there to test on: train on --tasks omniglot --split koch, "
            f"then quickstudy evaluate --tasks {tasks.tasks}"
        )
    kind, _, path = tasks.tasks.partition(":")
    if kind in WITHOUT_CLASSES:
        return None
    made: ClassSource
    if kind == "glyphs":
        made = glyph_splits(tasks.image_size)[part]  # pyright: ignore[reportArgumentType]
        if part == "train" and tasks.train_classes is not None:
            made = dataclasses.replace(made, classes=tasks.train_classes)
    elif kind == "penn-treebank":
        made = treebank_words(tasks.split_seed, tasks.classes)[0][part]
    else:
        named = {"omniglot": "vinyals", "mnist": "its own"}.get(
            kind, f"random, seed {tasks.split_seed}"
        )
        words = {"data": tasks.tasks, "split": tasks.split or named, "part": part}
        made = source_of(grouped(tasks, part), words)
        if kind == "cub" and tasks.zero_shot:
            described = own_data(cub.attributes(Path(path)), tasks).parts[part]
            made = Described(made, described.x)
    rotations = rotation_mode(tasks)
    shape = input_shape(made)
    if rotations != "none" and (len(shape) != 3 or shape[0] != shape[1]):
        raise UserError(f"--rotations turns square images; these inputs are {shape}")
    return rotated(made, rotations)


def class_names(tasks: TaskSettings, part: str) -> Callable[[int], str]:
    """The name of each class of a split, by its label in the (rotated) source."""
    kind = tasks.tasks.partition(":")[0]
    if kind == "glyphs":
        first = glyph_splits()[part].first  # pyright: ignore[reportArgumentType]
        return lambda label: f"glyph {int(first) + label}"
    if kind == "penn-treebank":
        words = treebank_words(tasks.split_seed, tasks.classes)[1][part]
        return lambda label: words[label]
    names = grouped(tasks, part).names
    if rotation_mode(tasks) == "classes":
        return lambda label: f"{names[label // 4]} turned {label % 4 * 90}°"
    return lambda label: names[label]


def input_shape(source: ClassSource) -> tuple[int, ...]:
    """Of one example."""
    drawn = jax.eval_shape(lambda key: source.draw(key, jnp.asarray(0), 1), jax.random.key(0))
    if isinstance(source, BlankedWords):
        return TokenShape(drawn.shape[1:], source.vocabulary)
    return drawn.shape[1:]


def describing(tasks: TaskSettings, source: ClassSource) -> DescribedSource:
    """A source whose classes have descriptions. Raises `UserError` where they have none."""
    if not isinstance(source, DescribedSource):
        turned = " once they are rotated" if rotation_mode(tasks) != "none" else ""
        raise UserError(
            f"the classes of {tasks.tasks} have no descriptions{turned}: --zero-shot is for "
            "glyphs and cub:FOLDER, without --rotations"
        )
    return source


def description_shape(tasks: TaskSettings, source: ClassSource) -> tuple[int, ...] | None:
    """Of the description of one class; None where support sets hold examples."""
    if not tasks.zero_shot:
        return None
    described = describing(tasks, source)
    return jax.eval_shape(lambda: described.describe(jnp.asarray(0))).shape


def division(tasks: TaskSettings, part: str, way: int, flag: str = "--way") -> Division:
    """The groups that the (rotated) classes of a split are in, if they have as many as `way`.
    Raises `UserError` where there are none, with the option that asks for as many."""
    ungrouped = {"glyphs": ("glyph 0",), "penn-treebank": ("a word",)}
    names = ungrouped.get(tasks.tasks) or grouped(tasks, part).names
    for name in names:
        if "/" not in name:
            raise UserError(
                f"--within needs classes with names like group/class; {tasks.tasks} has {name!r}"
            )
    turns = range(4 if rotation_mode(tasks) == "classes" else 1)
    try:
        return Division.of([f"{n.partition('/')[0]}/{turn}" for n in names for turn in turns], way)
    except ValueError as error:
        raise UserError(
            f"{tasks.tasks} ({part}), --within: {error}: ask for fewer with {flag}, or add classes"
        ) from error
