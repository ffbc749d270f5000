"""All models of a server, by name.

What requests make lies in memory, and with `keep` in a folder too, as files that every command
takes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quickstudy.errors import UserError
from quickstudy.files import require_place
from quickstudy.serving import adapted_file
from quickstudy.serving.server.learners import ServedLearner
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.making import Conflict, Model, cut, made, of_file
from quickstudy.serving.server.reading import BadInput, TooMuch
from quickstudy.serving.server.work import require_wanted
from quickstudy.serving.support_set import SupportSet

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Missing(UserError):
    """There is no such model, learner or class."""


class Models:
    """All models of a server."""

    def __init__(self, limits: Limits, keep: Path | None = None):
        self.limits, self.keep = limits, keep
        self.by_name: dict[str, Model] = {}
        if keep is not None:
            require_place(keep / "x.qs", "choose another --keep folder")
            keep.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> Model:
        """The model of this name. Raises `Missing` where there is none."""
        if (found := self.by_name.get(name)) is None:
            known = ", ".join(list(self.by_name)[:20]) or "none"
            raise Missing(f"there is no model {name!r}; there are: {known}")
        return found

    def read(self, name: str, path: Path) -> None:
        """Serve the model in a file."""
        self.by_name[name] = of_file(name, path, self.limits)

    def replaced(self, model: Model) -> None:
        """Serve a model whose file was replaced, in the place of the one before and of what
        requests changed in it."""
        require_wanted()
        if self.keep is not None:
            (self.keep / f"{model.name}.qs").unlink(missing_ok=True)
        self.by_name[model.name] = model

    def read_kept(self) -> list[str]:
        """Serve what was kept, also in the place of a file: where that one is replaced later, it is
        served. Gives a line for each file that cannot be read."""
        said = []
        for path in sorted(self.keep.glob("*.qs")) if self.keep else ():
            if not NAME.fullmatch(path.stem):
                said.append(f"{path}: {path.stem!r} is no name for addresses: rename it")
                continue
            try:
                kept = of_file(path.stem, path, self.limits)
                self.by_name[path.stem] = _in_place_of(self.by_name.get(path.stem), kept)
            except UserError as error:
                said.append(str(error))
        return said

    def put(
        self, name: str, learner: ServedLearner, support: SupportSet, false_alarms: float
    ) -> Model:
        """Make a model. Raises `UserError` where it cannot be made, or there are too many, or one
        of this name comes from a file."""
        if not NAME.fullmatch(name):
            raise BadInput(
                f"{name!r} is no name for a model: give letters, digits, '.', '_' and '-', 64 at "
                "most, a letter or digit first",
                name,
            )
        there = self.by_name.get(name)
        if there is not None and there.file is not None:
            raise Conflict(f"{name} comes from a file: choose another name")
        count = sum(one.file is None for one in self.by_name.values())
        if there is None and count >= self.limits.most_models:
            raise TooMuch(f"there are {count} models: remove one first")
        return self._replace(made(name, learner, support, false_alarms), there)

    def add(
        self,
        name: str,
        before: Model,
        x: np.ndarray,
        labels: Sequence[str],
        examples: Sequence[str],
    ) -> Model:
        """Add examples to a model, of its classes or of others."""
        learner = self._changeable(before)
        added = SupportSet.of(x, labels, examples)
        support = before.adapted.support.joined(added)
        after = made(name, learner, support, before.adapted.false_alarms, before)
        return self._replace(after, before)

    def remove_class(self, name: str, label: str) -> Model:
        """Take a class away from a model."""
        before = self.get(name)
        learner = self._changeable(before)
        if label not in before.adapted.names:
            raise Missing(f"{name} has no class {label!r}")
        if len(before.adapted.names) < 3:
            raise Conflict(f"{name} would have one class left: there must be two at least")
        support = before.adapted.support.without([label])
        after = made(name, learner, support, before.adapted.false_alarms, before)
        return self._replace(after, before)

    def remove(self, name: str) -> None:
        """Forget a model that requests made."""
        if self.get(name).file is not None:
            raise Conflict(f"{name} comes from a file: take it from the command line")
        require_wanted()
        if self.keep is not None:
            (self.keep / f"{name}.qs").unlink(missing_ok=True)
        del self.by_name[name]

    def _changeable(self, model: Model) -> ServedLearner:
        if model.learner is None or not model.learner.adapts:
            raise Conflict(model.card().cannot[0])
        return model.learner

    def _replace(self, after: Model, before: Model | None) -> Model:
        """Put a model in the place of another, once it is kept. Raises `Busy` where nobody waits
        for it any more."""
        after = _in_place_of(before, after)
        require_wanted()
        if self.keep is not None:
            adapted_file.save(self.keep / f"{after.name}.qs", cut(after.adapted))
        self.by_name[after.name] = after
        return after


def _in_place_of(before: Model | None, after: Model) -> Model:
    """A model that requests made, or changed in one from a file."""
    file, stamp = (None, None) if before is None else (before.file, before.stamp)
    return dataclasses.replace(after, file=file, stamp=stamp)
