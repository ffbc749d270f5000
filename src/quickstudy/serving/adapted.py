"""A learner that has learned: one file with all that it takes to answer.

    quickstudy adapt runs/omniglot --support new_symbols/ --out symbols.qs
    quickstudy predict symbols.qs image.png

The file holds the arrays of the predictor, its network among them, and a header with what
rebuilds its structure: it needs neither the run, nor the support set, nor the training data.
A learner of the user's own needs the Python file that defines it, which runs only where the user
names it: `--learner FILE.py`, or `registry.learner_settings("FILE.py")` in Python.

Predictions are for each input by itself. A learner set to normalise queries by each other
(`--normalisation batch`, MAML's default, as in its paper) is adapted with the statistics of the
support set instead: the statistics of a single image would tell nothing about it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy import checkpoint
from quickstudy.checkpoint import DamagedFile
from quickstudy.compilation import enable_compilation_cache
from quickstudy.data.inputs import Inputs, TokenShape
from quickstudy.errors import UserError
from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Categorical
from quickstudy.runs import learning
from quickstudy.runs.kinds import LEARNER
from quickstudy.runs.problem_json import problem_from_json, problem_to_json
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.inputs import read_queries, read_support
from quickstudy.settings.run import RunSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples
from quickstudy.terminal import warn

KIND = "adapted learner"
"""What the header calls such a file."""

AT_ONCE = 32
"""Inputs are predicted in batches of this size, so that one program serves any number."""

SEED = 0


@dataclass(frozen=True)
class Adapted:
    """A predictor of the user's own classes, and what is known of it.

    >>> symbols = load(Path("symbols.qs"))
    >>> symbols.names, symbols.probabilities(x).shape
    (('alpha', 'beta', 'gamma'), (10, 3))
    """

    predictor: Predictor
    settings: RunSettings
    """Of the run; `inputs` in its tasks are those of the support set too."""
    problem: TaskSpec
    names: tuple[str, ...]
    """Of the classes: output k is for names[k]."""
    counts: tuple[int, ...]
    """How many support examples each class had."""
    right: int
    """How many of the support examples it gives their own class."""
    transductive: bool
    """Whether a prediction may depend on the inputs predicted with it: warn before use."""

    @property
    def inputs(self) -> Inputs:
        """What it takes."""
        assert self.settings.tasks.inputs is not None
        return self.settings.tasks.inputs

    def probabilities(self, x: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n classes"]:
        """p(class | input) for inputs as `read_queries` gives them."""
        if self.transductive:
            return np.asarray(_probabilities(self.predictor, jnp.asarray(x)))
        padded = np.pad(x, [(0, -len(x) % AT_ONCE)] + [(0, 0)] * (x.ndim - 1))
        batches = padded.reshape(-1, AT_ONCE, *x.shape[1:])
        parts = [np.asarray(_probabilities(self.predictor, jnp.asarray(b))) for b in batches]
        return np.concatenate([np.empty((0, len(self.names)), np.float32), *parts])[: len(x)]


@dataclass(frozen=True)
class Prediction:
    """What is said of one input."""

    input: str
    """Its path, or its file and row."""
    name: str
    """The most probable class."""
    probability: float
    probabilities: dict[str, float]
    """Of every class, by name."""


@eqx.filter_jit
def _probabilities(predictor: Predictor, x: Array) -> Float[Array, "n classes"]:
    return jax.nn.softmax(predictor(x))


@eqx.filter_jit
def _adapt(learner: Learner, support: Examples, ways: int) -> tuple[Predictor, Array, Array]:
    """The predictor, how many support examples it gets right, and whether it gives numbers."""
    predictor = learner.adapt(support, Categorical(ways), key=jax.random.key(SEED))
    logits = predictor(support.x)
    right = jnp.sum(jnp.argmax(logits, -1) == support.y)
    return predictor, right, jnp.all(jnp.isfinite(jax.nn.softmax(logits)))


def adapt(run: Path, support: Path, out: Path, *, embed: Path | None = None) -> Adapted:
    """Adapt the learner of a run to a labelled set of new classes, and write it to `out`.

    `support` is a folder with a sub-folder for each class, an .npz with x and y, or a table, of
    what the run was trained on; classes may have different numbers of examples. `embed` says where
    the model of its features is now, if it has moved.

    Raises `UserError`, before anything is written, where the run or the support set cannot be
    read or do not fit each other, and where `out` is another file than an adapted learner.
    """
    _may_write(out)
    _is_run(run)
    saved = SavedRun.open(run)
    if saved.header.get("kind") == KIND:
        raise UserError(f"{saved.file} is an adapted learner, not a trained one")
    problem = saved.problem
    settings, learner = _inductive(saved)
    if not isinstance(problem.likelihood, Categorical):
        raise UserError(f"{run} learned regression: adapt and predict are for classes")
    if problem.description is not None:
        raise UserError(f"{run} learns classes from descriptions: adapt takes examples")
    served = _served(settings, problem).with_model(embed)
    read, inputs = read_support(served, support)
    if read.ink is not None:
        warn(f"{support} is read as {read.ink}")
    if read.classes < 2:
        raise UserError(f"{support} has one class, {read.names[0]!r}: add another to tell it from")
    enable_compilation_cache()
    y = np.repeat(np.arange(read.classes, dtype=np.int32), read.count)
    examples = Examples(jnp.asarray(read.x), jnp.asarray(y))
    try:
        predictor, right, finite = _adapt(learner, examples, read.classes)
    except ValueError as error:
        raise _unfit(run, settings, problem, support, read.classes, error) from error
    if not finite:
        raise UserError(f"adapting {run} to {support} gave no numbers: it diverged")
    adapted = Adapted(
        predictor,
        dataclasses.replace(settings, tasks=dataclasses.replace(settings.tasks, inputs=inputs)),
        problem,
        read.names,
        tuple(map(int, read.count)),
        int(right),
        learner.transductive,
    )
    checkpoint.save(out, predictor, _header(adapted))
    return adapted


def load(path: Path) -> Adapted:
    """An adapted learner. No data set is read, nothing is unpickled, and no code runs that the file
    names.

    Raises `UserError` where there is no such file or it is of another kind, `DamagedFile` where
    it does not hold what was written.
    """
    header, arrays = ({}, []) if path.is_dir() else checkpoint.read(path)
    if header.get("kind") != KIND:
        if path.is_dir():
            what = f"{path} is a folder"
        else:
            what = f"{path} is {'a trained learner' if 'problem' in header else 'something else'}"
        raise UserError(
            f"{what}, not an adapted one: make one with quickstudy adapt RUN --support FOLDER "
            "--out FILE"
        )
    try:
        settings = learning.from_header(path, header)
        known = Adapted(
            predictor=_blank(settings, header),
            settings=settings,
            problem=problem_from_json(header["problem"]),
            names=tuple(header["classes"]),
            counts=tuple(header["counts"]),
            right=header["right"],
            transductive=header["transductive"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(f"{path} is damaged: its header makes no sense ({error})") from error
    try:
        predictor = checkpoint.fitted(path, header, arrays, known.predictor)
    except DamagedFile as error:
        raise DamagedFile(
            f"{error}; if an earlier quickstudy wrote it, make it again with quickstudy adapt"
        ) from error
    return dataclasses.replace(known, predictor=predictor)


def predict(path: Path, inputs: Sequence[Path], *, embed: Path | None = None) -> list[Prediction]:
    """What the adapted learner in the file `path` says of images, folders of images, .npz files
    with x, or tables; in the order given. `embed` says where the model of its features is now, if
    it has moved.

    Raises `UserError` where one of them cannot be read or does not fit.

    >>> predict(Path("symbols.qs"), [Path("image.png")])[0].name
    'beta'
    """
    adapted = load(path)
    names, x = read_queries(adapted.inputs.with_model(embed), inputs)
    if adapted.transductive:
        warn(
            f"{adapted.settings.learner.name} is transductive: each of these predictions depends "
            "on the other inputs given with it"
        )
    enable_compilation_cache()
    rows = []
    for name, p in zip(names, adapted.probabilities(x), strict=True):
        k = int(np.argmax(p))
        everything = dict(zip(adapted.names, map(float, p), strict=True))
        rows.append(Prediction(name, adapted.names[k], float(p[k]), everything))
    return rows


def _header(adapted: Adapted) -> dict[str, Any]:
    """All that `load` needs, as plain JSON values."""
    return {
        "kind": KIND,
        "configuration": adapted.settings.to_json(),
        "problem": problem_to_json(adapted.problem),
        "inputs": adapted.inputs.to_json(),
        "classes": list(adapted.names),
        "counts": list(adapted.counts),
        "right": adapted.right,
        "transductive": adapted.transductive,
        "seed": SEED,
    }


def _blank(settings: RunSettings, header: dict[str, Any]) -> Any:
    """The structure of a predictor, with shapes for arrays."""
    counts, shape = header["counts"], problem_from_json(header["problem"]).shape

    def adapted(learner: Learner) -> Predictor:
        support = Examples(learning.zeros(sum(counts), shape), jnp.zeros(sum(counts), jnp.int32))
        return learner.adapt(support, Categorical(len(counts)), key=jax.random.key(SEED))

    return eqx.filter_eval_shape(adapted, learning.structure(settings, header))


def _served(settings: RunSettings, problem: TaskSpec) -> Inputs:
    """The inputs of a run. Raises `UserError` where no file can be brought to them."""
    inputs = settings.tasks.inputs
    assert inputs is not None
    if isinstance(problem.shape, TokenShape) and inputs.tokenizer is None:
        raise UserError(
            "a learner of words around a blank adapts to no files: evaluate is what it is for"
        )
    if len(problem.shape) == 1 and inputs.scaling is None and inputs.tokenizer is None:
        raise UserError(
            "the run does not say how its features were scaled (an older quickstudy trained "
            "it): train it again"
        )
    return inputs


def _inductive(saved: SavedRun) -> tuple[RunSettings, Learner]:
    """The settings and the learner of a run, with the option that makes predictions independent of
    each other where there is one."""
    learner = saved.learner()
    if learner.normalised_by == "batch" and "normalisation" in vars(saved.settings.learner):
        saved = saved.having(normalisation="support")
        return saved.settings, saved.learner()
    return saved.settings, learner


def _may_write(out: Path) -> None:
    """Raise `UserError` unless `out` is free, or an adapted learner to be replaced."""
    if not out.exists():
        return
    try:
        ours = checkpoint.read_header(out).get("kind") == KIND
    except UserError:
        ours = False
    if not ours:
        raise UserError(f"{out} exists and is not an adapted learner: choose another --out")


def _is_run(run: Path) -> None:
    """Raise `UserError` where `run` is a file, with what to give instead."""
    if not run.is_file():
        return
    if run.name == LEARNER.file:
        raise UserError(f"{run} is a file of a run: give the folder, {run.parent}")
    raise UserError(f"{run} is a file: give the folder of a run (to use an adapted one: predict)")


def _unfit(
    run: Path, settings: RunSettings, problem: TaskSpec, support: Path, ways: int, error: ValueError
) -> UserError:
    """What to say when the learner cannot serve the support set."""
    trained = problem.likelihood.size
    if ways == trained:
        return UserError(f"{run} cannot adapt to {support}: {error}")
    return UserError(
        f"{support} has {ways} classes, but the {settings.learner.name} in {run} was trained for "
        f"{trained} and takes no other number: give it {trained}, train one with --way {ways}, or "
        "take protonet, which takes any"
    )
