"""An adapted learner as a file, with all that it takes to answer and to adapt again.

    quickstudy adapt runs/omniglot --support new_symbols/ --out symbols.qs
    quickstudy predict symbols.qs image.png

The file holds arrays: of the predictor, its network among them; the features of the support set;
and, for `update`, the support set as the learner takes it and the run's learner. Bytes of pictures
are kept as bytes, and parameters that the predictor has too are kept once. A header has what
rebuilds their structure, what was measured on left-out examples (`left_out.py`), the temperature of
probabilities, and what known inputs are like (`known.py`). It needs neither the run, nor the
support set, nor the training data.
A learner of the user's own needs the Python file that defines it, which runs only where the user
names it: `--learner FILE.py`, or `registry.learner_settings("FILE.py")` in Python.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from quickstudy import checkpoint
from quickstudy.checkpoint import DamagedFile
from quickstudy.errors import UserError
from quickstudy.learner import Learner
from quickstudy.open_set import Reference
from quickstudy.runs import learning
from quickstudy.runs.problem_json import problem_from_json, problem_to_json
from quickstudy.serving.adapted import SEED, Adapted, Kept, learned
from quickstudy.serving.checks import KIND
from quickstudy.serving.left_out import Measured
from quickstudy.settings.run import RunSettings
from quickstudy.task import Examples


def save(path: Path, adapted: Adapted) -> None:
    """Write an adapted learner, in the place of what is there. Raises `UserError` where it cannot
    be written."""
    tree, kept = [adapted.predictor, adapted.seen], {}
    if adapted.kept is not None:
        x, own = as_kept(adapted.kept.x), eqx.filter(adapted.kept.learner, eqx.is_array)
        rest, places = _apart(jax.tree.leaves(own), arrays_of(tree))
        tree += [x, rest]
        kept = {
            "x": str(x.dtype),
            "places": places,
            "best": adapted.kept.best,
            "known": adapted.kept.known,
        }
    checkpoint.save(path, tree, {**_header(adapted), "kept": kept or None})


def load(path: Path) -> Adapted:
    """Read an adapted learner. No data set is read, nothing is unpickled, and no code runs that the
    file names.

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
        _require_whole(header)
        settings = learning.from_header(path, header)
        learner = learning.structure(settings, header)
        like = _blank(settings, learner, header)
        known = Adapted(
            predictor=like[0],
            settings=settings,
            problem=problem_from_json(header["problem"]),
            names=tuple(header["classes"]),
            counts=tuple(header["counts"]),
            right=header["right"],
            transductive=header["transductive"],
            **_measured(header),
        )
    except checkpoint.NO_SENSE as error:
        raise DamagedFile(f"{path} is damaged: its header makes no sense ({error})") from error
    try:
        predictor, *rest = checkpoint.fitted(path, header, arrays, like)
    except DamagedFile as error:
        raise DamagedFile(
            f"{error}; if an earlier quickstudy wrote it, make it again with quickstudy adapt"
        ) from error
    if not known.method:
        return dataclasses.replace(known, predictor=predictor)
    seen, *rest = rest
    kept = None
    if rest:
        x, apart = rest
        words, before = header["kept"], arrays_of([predictor, seen])
        try:
            whole: Any = _together(learner, apart, before, words["places"])
        except checkpoint.NO_SENSE as error:
            raise DamagedFile(f"{path} is damaged: its learner makes no sense ({error})") from error
        kept = Kept(whole, as_taken(np.asarray(x)), words["best"], words["known"])
    return dataclasses.replace(known, predictor=predictor, seen=seen, kept=kept)


def as_kept(x: np.ndarray) -> np.ndarray:
    """Pictures of bytes, which a learner takes as numbers from 0 to 1, as bytes again; everything
    else as it is."""
    if x.dtype != np.float32 or not (x.min() >= 0 and x.max() <= 1):
        return x
    made = np.round(255 * x).astype(np.uint8)
    return made if (as_taken(made) == x).all() else x


def as_taken(x: np.ndarray) -> np.ndarray:
    """The inverse of `as_kept`."""
    return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x


def arrays_of(tree: Any) -> list[Any]:
    """The array leaves, in order."""
    return jax.tree.leaves(eqx.filter(tree, eqx.is_array))


def _apart(leaves: Sequence[Any], before: Sequence[Any]) -> tuple[list[Any], list[int | None]]:
    """The leaves that are not among those `before`, and the place there of each that is, None of
    the others."""

    def key(leaf: Any) -> tuple[Any, ...]:
        return (leaf.shape, str(leaf.dtype), np.asarray(leaf).tobytes())

    known = {key(leaf): i for i, leaf in enumerate(before)}
    places = [known.get(key(leaf)) for leaf in leaves]
    return [leaf for leaf, at in zip(leaves, places, strict=True) if at is None], places


def _together(
    learner: Learner, apart: Sequence[Any], before: Sequence[Any], places: Sequence[int | None]
) -> Learner:
    """The inverse of `_apart`, in the structure of a learner. Raises `IndexError` or `ValueError`
    where the arrays are of another structure."""
    rest, shapes = iter(apart), eqx.partition(learner, _is_shape)
    leaves = [next(rest) if at is None else before[at] for at in places]
    for leaf, shape in zip(leaves, jax.tree.leaves(shapes[0]), strict=True):
        if (leaf.shape, leaf.dtype) != (shape.shape, shape.dtype):
            raise ValueError(f"{leaf.shape} in the place of {shape.shape}")
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(shapes[0]), leaves), shapes[1])


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _header(adapted: Adapted) -> dict[str, Any]:
    """All that `load` needs beside the arrays, as plain JSON values."""
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
        "provenance": adapted.provenance,
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
        "provenance": header.get("provenance"),
    }


def _require_whole(header: dict[str, Any]) -> None:
    """Raise `ValueError` where the parts of a header do not go together."""
    counts = header["counts"]
    if len(header["classes"]) != len(counts) or min(counts) < 1:
        raise ValueError("classes and their counts")
    if "method" not in header:
        return
    if len(header["examples"]) != sum(counts):
        raise ValueError("the names of examples")
    if not (0 < header["temperature"] < math.inf and 0 < header["false_alarms"] < 1):
        raise ValueError("the temperature, or the share of false alarms")


def _blank(settings: RunSettings, own: Any, header: dict[str, Any]) -> list[Any]:
    """The structure of what was written, with shapes for arrays: of a predictor; of what it has
    seen; of the support set, and of what the learner has of its own."""
    counts, problem = header["counts"], problem_from_json(header["problem"])
    method, kept = header.get("method", settings.learner.name), header.get("kept")

    def adapted(learner: Learner) -> Any:
        zeros = learning.zeros(sum(counts), problem.shape)
        support = Examples(zeros, jnp.zeros(sum(counts), jnp.int32))
        return learned(learner, support, len(counts))

    if method == settings.learner.name:
        predictor, seen = eqx.filter_eval_shape(adapted, own)
    else:
        from quickstudy.learners.baseline.logistic import LogisticRegression
        from quickstudy.runs.opponents import free_opponents

        opponents = free_opponents(problem)
        opponents["logistic regression"] = LogisticRegression()  # to predict, without scikit-learn
        predictor, seen = eqx.filter_eval_shape(adapted, opponents[method])
    if "method" not in header:
        return [predictor]
    if kept is None:
        return [predictor, seen]
    x = jax.ShapeDtypeStruct((sum(counts), *problem.shape), np.dtype(kept["x"]))
    leaves = jax.tree.leaves(eqx.filter(own, _is_shape))
    apart = [leaf for leaf, at in zip(leaves, kept["places"], strict=True) if at is None]
    return [predictor, seen, x, apart]
