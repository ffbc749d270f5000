"""A learner that has learned: one file with all that it takes to answer.

    quickstudy adapt runs/omniglot --support new_symbols/ --out symbols.qs
    quickstudy predict symbols.qs image.png

The file holds the arrays of the predictor, its network among them, the features of the support
set, and a header with what rebuilds their structure: it needs neither the run, nor the support set,
nor the training data. The header also has what was measured on left-out examples (`left_out.py`),
the temperature of probabilities, and what known inputs are like (`known.py`).
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
from jaxtyping import Array, Float, Int

from quickstudy import checkpoint
from quickstudy.checkpoint import DamagedFile
from quickstudy.compilation import enable_compilation_cache
from quickstudy.data.inputs import Inputs
from quickstudy.errors import UserError
from quickstudy.learner import Learner, Predictor
from quickstudy.learners.baseline.logistic import LogisticRegression
from quickstudy.likelihood import Categorical
from quickstudy.numbers import FALSE_ALARMS
from quickstudy.open_set import Reference, Seen
from quickstudy.runs import learning
from quickstudy.runs.opponents import free_opponents
from quickstudy.runs.problem_json import problem_from_json, problem_to_json
from quickstudy.serving.checks import KIND
from quickstudy.serving.inputs import read_queries
from quickstudy.serving.left_out import Measured
from quickstudy.settings.run import RunSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples
from quickstudy.terminal import warn

NEAREST = 3
"""Support examples that are named beside a prediction."""

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
    """Its outputs are logits at temperature 1."""
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
    method: str = ""
    """What adapted: the run's learner or a free opponent; nothing in files of an older
    quickstudy, which have none of what follows either."""
    left_out: tuple[Measured, ...] = ()
    """What was measured on left-out examples; nothing where each class has one example."""
    temperature: float = 1.0
    examples: tuple[str, ...] = ()
    """The names of the support examples."""
    seen: Seen | None = None
    """The support set, as its features."""
    known: Reference | None = None
    """What known inputs are like; None where no input is called unknown."""
    false_alarms: float = FALSE_ALARMS
    """The share of known inputs that may be called unknown: the threshold of the score."""

    @property
    def inputs(self) -> Inputs:
        """What it takes."""
        assert self.settings.tasks.inputs is not None
        return self.settings.tasks.inputs

    def probabilities(self, x: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n classes"]:
        """p(class | input) for inputs as `read_queries` gives them."""
        return self.answers(x)[0]

    def answers(
        self, x: Float[np.ndarray, "n ..."]
    ) -> tuple[
        Float[np.ndarray, "n classes"], Float[np.ndarray, " n"], Int[np.ndarray, "n nearest"]
    ]:
        """p(class | input); the score of each input (`open_set.py`), NaN where there is none; and
        the places of the support examples that are nearest."""
        size = max(1, len(x)) if self.transductive else AT_ONCE
        padded = np.pad(x, [(0, max(size - len(x), -len(x) % size))] + [(0, 0)] * (x.ndim - 1))
        temperature, parts = jnp.asarray(self.temperature), []
        for batch in padded.reshape(-1, size, *x.shape[1:]):
            found = _answers(self.predictor, self.seen, self.known, temperature, jnp.asarray(batch))
            parts.append(map(np.asarray, found))
        p, score, nearest = (np.concatenate(each)[: len(x)] for each in zip(*parts, strict=True))
        return p, score, nearest


@dataclass(frozen=True)
class Prediction:
    """What is said of one input."""

    input: str
    """Its path, or its file and row."""
    name: str
    """The most probable class; `unknown` where the input is of none."""
    probability: float
    """Of the most probable class, if it is of one of the classes."""
    probabilities: dict[str, float]
    """Of every class, by name."""
    unknown: bool = False
    score: float | None = None
    """The share of known inputs that look no more familiar; None where that is not known."""
    threshold: float | None = None
    nearest: tuple[dict[str, str], ...] = ()
    """The support examples that are nearest, and their classes."""


@eqx.filter_jit
def _answers(
    predictor: Predictor, seen: Seen | None, known: Reference | None, temperature: Array, x: Array
) -> tuple[Array, Array, Array]:
    p = jax.nn.softmax(predictor(x) / temperature)
    score, nearest = jnp.full(len(x), jnp.nan), jnp.zeros((len(x), 0), int)
    if seen is not None:
        nearest = seen.nearest(predictor, x)[:, :NEAREST]
        if known is not None:
            score = known.score(*seen.distances(predictor, x))
    return p, score, nearest


@eqx.filter_jit
def adapted_to(
    learner: Learner, support: Examples, ways: int
) -> tuple[Predictor, Seen, Array, Array]:
    """The predictor, what it has seen, how many support examples it gets right, and whether it
    gives numbers."""
    predictor = learner.adapt(support, Categorical(ways), key=jax.random.key(SEED))
    logits = predictor(support.x)
    right = jnp.sum(jnp.argmax(logits, -1) == support.y)
    finite = jnp.all(jnp.isfinite(jax.nn.softmax(logits)))
    return predictor, Seen.of(predictor, support, ways), right, finite


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
            **_measured(header),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(f"{path} is damaged: its header makes no sense ({error})") from error
    try:
        whole: Any = checkpoint.fitted(path, header, arrays, known.predictor)
    except DamagedFile as error:
        raise DamagedFile(
            f"{error}; if an earlier quickstudy wrote it, make it again with quickstudy adapt"
        ) from error
    if not known.method:
        return dataclasses.replace(known, predictor=whole)
    predictor, seen = whole
    return dataclasses.replace(known, predictor=predictor, seen=seen)


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
    found = zip(names, *adapted.answers(x), strict=True)
    return [_prediction(adapted, *each) for each in found]


def _prediction(
    adapted: Adapted, name: str, p: np.ndarray, score: float, nearest: np.ndarray
) -> Prediction:
    k, classes = int(np.argmax(p)), np.repeat(adapted.names, adapted.counts)
    unknown = bool(score <= adapted.false_alarms)
    return Prediction(
        name,
        "unknown" if unknown else adapted.names[k],
        float(p[k]),
        dict(zip(adapted.names, map(float, p), strict=True)),
        unknown,
        None if np.isnan(score) else float(score),
        None if adapted.known is None else adapted.false_alarms,
        tuple({"example": adapted.examples[i], "class": str(classes[i])} for i in nearest),
    )


def header_of(adapted: Adapted) -> dict[str, Any]:
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
        **{word: getattr(adapted, word) for word in ("method", "temperature", "false_alarms")},
        "left_out": [dataclasses.asdict(each) for each in adapted.left_out],
        "examples": list(adapted.examples),
        "known": adapted.known and adapted.known.to_json(),
    }


def _measured(header: dict[str, Any]) -> dict[str, Any]:
    """What an older quickstudy did not write: nothing of its files."""
    if "method" not in header:
        return {}
    return {
        **{word: header[word] for word in ("method", "temperature", "false_alarms")},
        "left_out": tuple(Measured(**each) for each in header["left_out"]),
        "examples": tuple(header["examples"]),
        "known": header["known"] and Reference.from_json(header["known"]),
    }


def _blank(settings: RunSettings, header: dict[str, Any]) -> Any:
    """The structure of what was written, with shapes for arrays: of a predictor, and of what it
    has seen."""
    counts, shape = header["counts"], problem_from_json(header["problem"]).shape
    method = header.get("method", settings.learner.name)

    def adapted(learner: Learner) -> Any:
        support = Examples(learning.zeros(sum(counts), shape), jnp.zeros(sum(counts), jnp.int32))
        predictor, seen, _, _ = adapted_to(learner, support, len(counts))
        return (predictor, seen) if "method" in header else predictor

    if method == settings.learner.name:
        return eqx.filter_eval_shape(adapted, learning.structure(settings, header))
    opponents = free_opponents(problem_from_json(header["problem"]))
    opponents["logistic regression"] = LogisticRegression()  # to predict, it needs no scikit-learn
    return eqx.filter_eval_shape(adapted, opponents[method])
