"""Classes from settings: which data, and which of its classes to train, choose and test on. Every
kind of data is known here.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.datasets import arrays, cub, folder, mnist, omniglot, packed, penn_treebank, table
from quickstudy.datasets.grouped import SPLITS, Grouped, read_split, split, standardise
from quickstudy.datasets.images import ImageFormat, Ink, resized
from quickstudy.errors import UserError
from quickstudy.recipes.inputs import Inputs
from quickstudy.recipes.learner_settings import TokenShape
from quickstudy.recipes.settings import TaskSettings
from quickstudy.recipes.task_kinds import OWN, TEST_ONLY, WITHOUT_CLASSES
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


def grouped(tasks: TaskSettings) -> dict[str, Grouped]:
    """Real data by split; of the user's own, brought to `tasks.inputs`."""
    chosen = (tasks.tasks, tasks.split, tasks.split_seed, tasks.image_size, tasks.color, tasks.ink)
    parts = _grouped(*chosen, tasks.label_column, tasks.inputs)
    if tasks.train_classes is None:
        return parts
    train, wanted = parts["train"], tasks.train_classes
    if wanted > train.classes:
        raise UserError(f"--train-classes {wanted}: there are {train.classes} to train on")
    some = np.random.default_rng(0).permutation(train.classes)[:wanted]
    return {**parts, "train": train.select(np.sort(some))}


@functools.lru_cache(maxsize=4)
def _grouped(*chosen: Any) -> dict[str, Grouped]:
    """`grouped`, read once for each choice."""
    words = ("tasks", "split", "split_seed", "image_size", "color", "ink", "label_column", "inputs")
    tasks = TaskSettings(**dict(zip(words, chosen, strict=True)))
    kind, _, path = tasks.tasks.partition(":")
    if kind == "omniglot":
        return omniglot.load(tasks.image_size).split(tasks.split or "vinyals")
    if kind == "mnist":
        digits = mnist.load()
        pictures = resized(digits.test_x, tasks.image_size)
        return {"test": Grouped.from_labels(pictures, digits.test_y)}
    inputs = tasks.inputs
    if inputs is not None and kind == "folder" and not tasks.color:
        tasks = dataclasses.replace(tasks, ink=inputs.ink or "auto")
    everything = read_own(tasks, kind, Path(path))
    if inputs is not None:
        x = inputs.brought(tasks.tasks, everything.x, everything.columns)
        everything = dataclasses.replace(everything, x=x, scaling=inputs.scaling)
    return split_own(everything, tasks)


def split_own(everything: Grouped, tasks: TaskSettings) -> dict[str, Grouped]:
    """The user's own classes by split; features standardised, unless they are already."""
    if tasks.split is None:
        parts = split(everything, seed=tasks.split_seed)
    else:
        parts = read_split(everything, Path(tasks.split))
    return standardise(parts) if everything.x.ndim == 2 and not everything.scaling else parts


def training_inputs(tasks: TaskSettings, shape: tuple[int, ...]) -> Inputs:
    """What is trained on: inputs of that shape."""
    own = tasks.tasks.partition(":")[0] in OWN
    return Inputs.of(tasks, shape, grouped(tasks)["train"] if own else None)


def how_read(tasks: TaskSettings) -> Ink | None:
    """What is taken for ink in a folder of the user's own images; None of other tasks."""
    own = tasks.tasks.startswith("folder:")
    return grouped(tasks)["train"].ink if own else None


@functools.lru_cache(maxsize=2)
def treebank_words(seed: int) -> tuple[dict[str, BlankedWords], dict[str, list[str]]]:
    """Words to blank out in each part of Penn Treebank, and their names by label."""
    text = penn_treebank.load()
    tokens = cloze.vocabulary(text.values())
    words = cloze.divided(tokens, HELD_OUT_WORDS, seed)
    made, names = {}, {}
    for part in SPLITS:
        said = {"data": "penn-treebank", "split": f"random, seed {seed}", "part": part}
        made[part], names[part] = blanked_words(text[part], words[part], tokens, said)
    return made, names


def seen_in_training(trained: TaskSettings, tested: TaskSettings) -> int:
    """How many characters of Lake's runs, if these are what is tested on, were trained on."""
    if (trained.tasks, tested.tasks) != ("omniglot", "lake-runs"):
        return 0
    names = omniglot.load(trained.image_size).grouped.names
    tested_on = {names[row // omniglot.DRAWINGS] for row in omniglot.lake_runs().test.ravel()}
    return len(tested_on.intersection(grouped(trained)["train"].names))


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


def sources(tasks: TaskSettings) -> dict[str, ClassSource] | None:
    """Training, validation and test classes; None for tasks that are not cut out of classes."""
    kind, _, path = tasks.tasks.partition(":")
    if kind in WITHOUT_CLASSES:
        return None
    if kind == "glyphs":
        made: dict[str, ClassSource] = {**glyph_splits(tasks.image_size)}
        if tasks.train_classes is not None:
            made["train"] = dataclasses.replace(made["train"], classes=tasks.train_classes)
    elif kind == "penn-treebank":
        made = {**treebank_words(tasks.split_seed)[0]}
    else:
        named = {"omniglot": "vinyals", "mnist": "its own"}.get(
            kind, f"random, seed {tasks.split_seed}"
        )
        made = {
            part: source_of(g, {"data": tasks.tasks, "split": tasks.split or named, "part": part})
            for part, g in grouped(tasks).items()
        }
        if kind == "cub" and tasks.zero_shot:
            described = split_own(cub.attributes(Path(path)), tasks)
            made = {part: Described(source, described[part].x) for part, source in made.items()}
    rotations = rotation_mode(tasks)
    shape = input_shape(made["test"])
    if rotations != "none" and (len(shape) != 3 or shape[0] != shape[1]):
        raise UserError(f"--rotations turns square images; these inputs are {shape}")
    return {part: rotated(source, rotations) for part, source in made.items()}


def classes_of(tasks: TaskSettings, part: str) -> ClassSource | None:
    """The classes of one part; None for tasks that are not cut out of classes. Raises `UserError`
    as `sources` does, and where there is nothing to train on."""
    if tasks.tasks in TEST_ONLY and part != "test":
        raise UserError(
            f"--tasks {tasks.tasks} is there to test on: train on --tasks omniglot --split koch, "
            f"then quickstudy evaluate --tasks {tasks.tasks}"
        )
    made = sources(tasks)
    return None if made is None else made[part]


def class_names(tasks: TaskSettings, part: str) -> Callable[[int], str]:
    """The name of each class of a split, by its label in the (rotated) source."""
    kind = tasks.tasks.partition(":")[0]
    if kind == "glyphs":
        first = glyph_splits()[part].first  # pyright: ignore[reportArgumentType]
        return lambda label: f"glyph {int(first) + label}"
    if kind == "penn-treebank":
        words = treebank_words(tasks.split_seed)[1][part]
        return lambda label: words[label]
    names = grouped(tasks)[part].names
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


def division(tasks: TaskSettings, part: str, way: int) -> Division:
    """The groups that the (rotated) classes of a split are in, if they have as many as `way`.
    Raises `UserError` where there are none."""
    ungrouped = {"glyphs": ("glyph 0",), "penn-treebank": ("a word",)}
    names = ungrouped.get(tasks.tasks) or grouped(tasks)[part].names
    for name in names:
        if "/" not in name:
            raise UserError(
                f"--within needs classes with names like group/class; {tasks.tasks} has {name!r}"
            )
    turns = range(4 if rotation_mode(tasks) == "classes" else 1)
    try:
        return Division.of([f"{n.partition('/')[0]}/{turn}" for n in names for turn in turns], way)
    except ValueError as error:
        raise UserError(f"{tasks.tasks} ({part}), --within: {error}") from error
