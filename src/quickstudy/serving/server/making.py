"""Models: adapted learners with a name, read from files or made of what requests bring.

A model is never changed: another one takes its place, so an answer is always of one model.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.errors import UserError
from quickstudy.runs import learning
from quickstudy.runs.opponents import free_opponents
from quickstudy.serving import adapted_file
from quickstudy.serving.adapted import Adapted, Kept, learned
from quickstudy.serving.known import LEFT_OUT, chosen
from quickstudy.serving.left_out import measured, temperature
from quickstudy.serving.server import schemas
from quickstudy.serving.server.asking import left_out
from quickstudy.serving.server.learners import ServedLearner, neighbour, noise, trained_by, warm
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.padded import QUERIES, Room, adapted, compare
from quickstudy.serving.server.reading import BadInput, TooMuch, takes
from quickstudy.serving.support_set import SupportSet
from quickstudy.task import Examples
from quickstudy.terminal import warn


class Conflict(UserError):
    """A change that this model cannot have."""


Stamp = tuple[int, ...]


def stamp(path: Path) -> Stamp | None:
    """When a file was changed, how large it is, and which one it is; None where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


@dataclass(frozen=True, eq=False)
class Model:
    """An adapted learner with a name."""

    name: str
    adapted: Adapted
    learner: ServedLearner | None
    """What adapts it again; None where nothing does."""
    file: Path | None = None
    """Where it was read from; None of what requests made."""
    stamp: Stamp | None = None
    """Of the file, before it was read."""
    content: bytes | None = None
    """Of a file that keeps no examples, from which it could be written again."""

    def card(self) -> schemas.Card:
        """Describe it."""
        one, cannot = self.adapted, list(self.learner.cannot if self.learner else ())
        if self.learner is None:
            cannot.append(
                f"{self.name} takes no other classes: its file does not keep its examples"
            )
        return schemas.Card(
            self.name,
            None if self.file is None else self.file.name,
            None if self.learner is None else self.learner.name,
            one.method or one.settings.learner.name,
            [schemas.ClassCount(*each) for each in zip(one.names, one.counts, strict=True)],
            takes(one.inputs),
            None if one.known is None else one.false_alarms,
            None if one.known is None else one.known.words,
            one.temperature,
            one.right,
            [schemas.LeftOutRow(**vars(row)) for row in one.left_out],
            self.learner is not None and self.learner.adapts,
            cannot,
            trained_by(one.settings, one.provenance),
        )


def of_file(name: str, path: Path, limits: Limits) -> Model:
    """Read a model from its file, with its programs compiled. Raises `UserError` where it cannot be
    read, or its predictions depend on each other."""
    before, one = stamp(path), adapted_file.load(path)
    if one.transductive:
        raise UserError(
            f"{path}: {one.settings.learner.name} is transductive, so that each prediction depends "
            "on the other inputs given with it: quickstudy predict is what it is for"
        )
    x = noise(one.problem.shape)
    for count in QUERIES:
        compare(one.predictor, one.seen, x[:count], len(one.names), len(one.examples))
    content = path.read_bytes() if one.kept is None else None
    return Model(name, one, _learner_of(name, one, limits), path, before, content)


def _learner_of(name: str, one: Adapted, limits: Limits) -> ServedLearner | None:
    """What adapts a model from a file again: its own learner, or the free opponent that it is."""
    if one.kept is None:
        return None
    own = one.settings.learner.name
    learner = one.kept.learner if one.method == own else free_opponents(one.problem)[one.method]
    room = Room.of(max(limits.most_examples, len(one.examples)), limits.most_classes)
    known = tuple(one.kept.known or ()) if one.method == own else ()
    return warm(ServedLearner(name, learner, one.settings, one.problem, room, known))


def made(
    name: str,
    learner: ServedLearner,
    support: SupportSet,
    false_alarms: float,
    before: Model | None = None,
) -> Model:
    """Adapt a learner to a support set, and measure it, by programs that are compiled already. A
    model that was there `before` lends what it knows of known inputs. Warns where its answers need
    care. Raises `UserError` where the learner cannot serve the set."""
    ways, room = len(support.names), learner.room
    if ways < 2:
        raise BadInput("there must be two classes at least, to be told apart", support.names[0])
    if (refused := learner.refusal(ways, len(support.x))) is not None:
        raise (TooMuch if learner.adapts else Conflict)(refused)
    y = np.repeat(np.arange(ways, dtype=np.int32), support.counts)
    predictor, seen = adapted(learner.learner, room.padded(support.x, y), room.classes)
    logits = compare(predictor, seen, support.x, ways, len(y)).logits
    if not np.isfinite(logits).all():
        raise UserError(f"adapting {learner.name} to these examples gave no numbers: it diverged")
    spread = np.asarray(seen.appearance)[: len(y)].std(0)
    method = learner.settings.learner.name if before is None else before.adapted.method
    found = {}
    for word, one in ((method, learner), ("nearest neighbour", neighbour(learner))):
        left = left_out(one, support.x, support.counts, spread)
        if left is not None:
            found[word] = left
    left = found.get(method)
    reference = learner.reference(ways, int(np.median(support.counts)))
    if reference is None and before is not None and before.adapted.known is not None:
        known = before.adapted.known
        reference = None if known.words.endswith(LEFT_OUT) else known
    known, said = chosen(reference, "there are no reference inputs", left, false_alarms)
    if said:
        warn(said)
    kept = before.adapted.kept if before is not None else None
    own = kept.learner if kept is not None else learner.learner
    one = Adapted(
        predictor,
        learner.settings,
        learner.problem,
        support.names,
        support.counts,
        int(np.sum(logits.argmax(1) == y)),
        False,
        method,
        measured(found),
        temperature(left) if left is not None else 1.0,
        support.examples,
        seen,
        known,
        false_alarms,
        Kept(own, support.x, None, list(learner.known) or None),
        learner.provenance if before is None else before.adapted.provenance,
    )
    return Model(name, one, learner)


def in_file(model: Model) -> bytes:
    """A model as `adapt` would have written it; one whose file keeps no examples as it was read."""
    if model.content is not None:
        return model.content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.qs"
        adapted_file.save(path, cut(model.adapted))
        return path.read_bytes()


def cut(one: Adapted) -> Adapted:
    """Take the padding away: what `adapt` would have made of the set. Nothing is compiled."""
    assert one.kept is not None
    own, shape = one.settings.learner.name, one.problem.shape
    learner = one.kept.learner if one.method == own else free_opponents(one.problem)[one.method]

    def of_set(learner: Any) -> Any:
        x = learning.zeros(sum(one.counts), shape)
        y = jnp.zeros(sum(one.counts), jnp.int32)
        return learned(learner, Examples(x, y), len(one.counts))

    like, static = eqx.partition(eqx.filter_eval_shape(of_set, learner), _is_shape)
    leaves, shapes = adapted_file.arrays_of([one.predictor, one.seen]), _shapes(like)
    parts = [
        np.asarray(leaf)[tuple(map(slice, shape))]
        for leaf, shape in zip(leaves, shapes, strict=True)
    ]
    structure = eqx.filter(like, _is_shape)
    predictor, seen = eqx.combine(jax.tree.unflatten(jax.tree.structure(structure), parts), static)
    return dataclasses.replace(one, predictor=predictor, seen=seen)


def _is_shape(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(tree)]
