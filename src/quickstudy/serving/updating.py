"""Add classes and examples to an adapted learner, and take classes away, without the old examples.

The file keeps the support set as the learner takes it, and the run's learner. So an update is the
adaptation of the same learner to the changed set, in the same order of classes: what comes out is
what `adapt` would make of all examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quickstudy.data.inputs import Inputs
from quickstudy.errors import UserError, nearest
from quickstudy.serving import adapted_file
from quickstudy.serving.adapted import Adapted
from quickstudy.serving.adapting import Source, adapted_to_set
from quickstudy.serving.checks import may_write
from quickstudy.serving.inputs import example_names, read_queries, read_support
from quickstudy.serving.known import LEFT_OUT
from quickstudy.serving.support_set import SupportSet
from quickstudy.terminal import warn


def update(
    path: Path,
    out: Path | None = None,
    *,
    add: Sequence[Path] = (),
    remove: Sequence[str] = (),
    embed: Path | None = None,
) -> Adapted:
    """Change the classes of the adapted learner in the file `path`, and write it to `out`, or in
    its place. Classes of `remove` go first; then what is in `add` comes to the others.

    Each of `add` is the folder of one class, whose name is the folder's; or a labelled set as
    `adapt` takes it. A class that is there already gets more examples.

    Raises `UserError`, before anything is written, where the file has no support set, a class to
    remove is not there, what to add cannot be read or does not fit, or fewer than two classes
    would be left; and where another process has changed the file that is to be replaced.
    """
    if not (add or remove):
        raise UserError("nothing to change: name a folder with --add, or a class with --remove")
    out = path if out is None else out
    if out != path:
        may_write(out)
    before = _state(path)
    adapted = adapted_file.load(path)
    support = changed(adapted, add, remove, embed)
    made = updated(adapted, support, str(path))
    if out == path and _state(path) != before:
        raise UserError(f"{path} was changed by another process in the meantime: update it again")
    adapted_file.save(out, made)
    return made


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes where a file is replaced; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def updated(adapted: Adapted, support: SupportSet, where: str) -> Adapted:
    """Adapt the learner of an adapted file anew, to another support set. `where` names the file in
    messages. Raises `UserError` where the learner cannot serve the set."""
    kept = adapted.kept
    assert kept is not None
    before = {}
    if adapted.known is not None and not adapted.known.words.endswith(LEFT_OUT):
        before[adapted.method] = adapted.known
    source = Source(
        where,
        kept.learner,
        adapted.settings,
        adapted.problem,
        kept.best,
        adapted.false_alarms,
        kept.known,
        adapted.provenance,
        before,
    )
    return adapted_to_set(source, support, f"{where} as changed")


def changed(
    adapted: Adapted, add: Sequence[Path], remove: Sequence[str], embed: Path | None = None
) -> SupportSet:
    """The support set of an adapted learner without the classes of `remove`, and with what is in
    the files or folders of `add`. Raises `UserError` as `update` does."""
    support, names = adapted.support, list(adapted.names)
    for name in remove:
        if name not in names:
            raise UserError(f"there is no class {name!r} to remove: {nearest(name, names)}")
    added = [_labelled(adapted.inputs.with_model(embed), path) for path in add]
    left = {*set(names) - set(remove), *(name for some in added for name in some.names)}
    if len(left) < 2:
        raise UserError(
            f"{len(left) or 'no'} class would be left, and there must be two: add another in the "
            "same command"
        )
    support = support.without(remove)
    for some, path in zip(added, add, strict=True):
        warn_of_copies(support, some, path)
        support = support.joined(some)
    return support


def warn_of_copies(support: SupportSet, added: SupportSet, path: Path) -> None:
    """Say how many of the added examples are in the support set already."""
    there = {row.tobytes() for row in np.ascontiguousarray(support.x)}
    if copies := sum(row.tobytes() in there for row in np.ascontiguousarray(added.x)):
        warn(
            f"{path}: {copies} of {len(added.x)} examples are in the support set already, and are "
            "now there twice"
        )


def _labelled(inputs: Inputs, path: Path) -> SupportSet:
    """Read a folder of one class, or a labelled set."""
    if path.is_dir() and not any(
        one.is_dir() and not one.name.startswith(".") for one in path.iterdir()
    ):
        examples, x = read_queries(inputs, [path])
        return SupportSet.of(x, [path.resolve().name] * len(x), examples)
    read, found = read_support(inputs, path)
    labels = [str(label) for label in np.repeat(read.names, read.count)]
    return SupportSet.of(read.x, labels, example_names(found, path, read))
