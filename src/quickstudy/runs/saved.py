"""Finished runs, read from their folders or files."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quickstudy import checkpoint
from quickstudy.errors import UserError, nearest
from quickstudy.runs.folders import run_file, seeds_in
from quickstudy.runs.kinds import LEARNER, OPTIMIZER
from quickstudy.runs.problem_json import problem_from_json
from quickstudy.runs.run import Kind
from quickstudy.settings.task_spec import TaskSpec

if TYPE_CHECKING:
    import optax

TRAINED = resources.files("quickstudy") / "learners" / "trained"
"""The learners that the package brings along: of tables, of the kind `in-context`, and of
characters, a `protonet`."""
OPTIMIZERS = resources.files("quickstudy") / "optimizers" / "trained"
"""The optimisers that the package brings along."""


@dataclass(frozen=True, eq=False)
class SavedRun:
    """A finished run: its file is read once, and checked.

    >>> saved = SavedRun.open(Path("runs/omniglot"))
    >>> saved.settings.name, saved.learner(normalisation="support")
    """

    file: Path
    kind: Kind
    header: dict[str, Any]
    """Plain JSON values: settings, problem, provenance, seconds of training."""
    settings: Any
    """The `Run`; of a learner, with the inputs and classes that the run has kept."""
    arrays: list[np.ndarray]
    """The leaves of what was trained, in order."""

    @staticmethod
    def open(path: Path, kind: Kind = LEARNER) -> SavedRun:
        """Open a run by its folder, or by the file of its learner. Of a learner's run that is not
        finished, open the best so far, and say so in one line on standard error.

        Raises `UserError` where `path` is no run, or one without a checkpoint, `DamagedFile` where
        its file is damaged.
        """
        file, found = path if path.is_file() else path / kind.file, None
        if kind is LEARNER and not file.exists():
            from quickstudy.runs.unfinished import best_so_far  # with all that trains

            found = best_so_far(path, kind)
        header, arrays = found or checkpoint.read(run_file(file.parent, file.name))
        return SavedRun(file, kind, header, kind.from_header(file.parent, header), arrays)

    @staticmethod
    def shipped(name: str) -> SavedRun:
        """Open a learner that comes with the package: "tables" or "characters"."""
        with resources.as_file(shipped_learner(name)) as file:
            return SavedRun.open(file)

    @staticmethod
    def find(name: str | Path) -> SavedRun:
        """Open a trained optimiser by its folder or file, or by the name of one that comes with the
        package. Raises `UserError` where there is none."""
        if (path := Path(name)).exists():
            return SavedRun.open(path, OPTIMIZER)
        if str(name) not in shipped_optimizers():
            known = nearest(str(name), shipped_optimizers())
            raise UserError(
                f"there is no trained optimiser {str(name)!r}: {known}, or a run's folder"
            )
        with resources.as_file(OPTIMIZERS / f"{name}.qs") as file:
            return SavedRun.open(file, OPTIMIZER)

    @cached_property
    def problem(self) -> TaskSpec:
        """What the learner was built for."""
        return problem_from_json(self.header["problem"])

    def having(self, **options: Any) -> SavedRun:
        """Give the run with other options of its learner that training does not depend on, such as
        `normalisation` or `test_steps`. Raises `UserError` where the learner has no such option."""
        if not options:
            return self
        known = {f.name for f in dataclasses.fields(self.settings.learner)}
        for name in options:
            if name not in known:
                raise UserError(f"{self.settings.name} has no --{name.replace('_', '-')}")
        changed = dataclasses.replace(self.settings.learner, **options)
        settings = dataclasses.replace(self.settings, learner=changed)
        return dataclasses.replace(self, settings=settings)

    def learner(self, **options: Any) -> Any:
        """Make the trained learner (or optimiser), with options as `having` takes them.

        Raises `UserError` as `having` does, `DamagedFile` where the file does not hold what its
        settings describe.
        """
        like = self.kind.structure(self.having(**options).settings, self.header)
        return checkpoint.fitted(self.file, self.header, self.arrays, like)


def open_seeds(run: Path) -> dict[int, SavedRun]:
    """Open a run by its seed; or all seeds that are trained in a folder of several.

    Raises `UserError` as `SavedRun.open` does, and where they differ in more than the seed.
    """
    seeds = seeds_in(run)
    if not seeds:
        saved = SavedRun.open(run)
        return {saved.settings.training.seed: saved}
    found = {seed: SavedRun.open(path) for seed, path in seeds.items()}
    first = next(iter(found))
    for seed, saved in found.items():
        if saved.settings.with_seed(first) != found[first].settings:
            raise UserError(
                f"{seeds[seed]} differs from {seeds[first]} in more than the seed: "
                "keep them in different folders, and compare those"
            )
    return found


def shipped_learners() -> list[str]:
    """List the names of the learners that come with the package."""
    return _names_in(TRAINED)


def shipped_learner(name: str) -> Traversable:
    """Give the file of a learner that comes with the package."""
    return TRAINED / f"{name}.qs"


def shipped_optimizers() -> list[str]:
    """List the names of the optimisers that come with the package."""
    return _names_in(OPTIMIZERS)


def _names_in(folder: Traversable) -> list[str]:
    names = (Path(str(file)) for file in folder.iterdir())
    return sorted(name.stem for name in names if name.suffix == ".qs")


def load_optimizer(name: str | Path) -> optax.GradientTransformation:
    """Load a trained optimiser as an Optax transformation: by the name of one that comes with the
    package (`lstm`), or by the folder or file of your own.

    The file holds numbers and JSON, checked by a checksum; nothing in it is executed. Raises
    `UserError` where there is none of this name, or the file is damaged.

    >>> import quickstudy
    >>> optimizer = quickstudy.load_optimizer("lstm")
    >>> state = optimizer.init(parameters)
    >>> updates, state = optimizer.update(gradients, state, parameters)
    """
    return SavedRun.find(name).learner().as_optax()
