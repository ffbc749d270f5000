"""The kinds of data that `--tasks` knows by name, and those that a file of the user's defines."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from quickstudy.data.cub import Birds
from quickstudy.data.folder import Folder
from quickstudy.data.gaussian_processes import FixedGaussianProcess, RandomGaussianProcesses
from quickstudy.data.glyphs import EndlessGlyphs
from quickstudy.data.kind import Data
from quickstudy.data.lake_runs import LakeRuns
from quickstudy.data.mnist import Digits
from quickstudy.data.mnist_completion import DigitCompletion
from quickstudy.data.npz import Arrays
from quickstudy.data.omniglot import OmniglotCharacters
from quickstudy.data.packed import Packed
from quickstudy.data.penn_treebank import TreebankWords
from quickstudy.data.sinusoid import SineCurves
from quickstudy.data.synthetic_tables import MadeTables
from quickstudy.data.table import Table
from quickstudy.data.text import Texts
from quickstudy.errors import UserError, nearest
from quickstudy.user_file import class_in_file, named_class

if TYPE_CHECKING:
    from quickstudy.data.inputs import Inputs
    from quickstudy.data.options import DataOptions

ALL: tuple[type[Data], ...] = (
    *(EndlessGlyphs, OmniglotCharacters, TreebankWords, MadeTables),
    *(SineCurves, RandomGaussianProcesses, FixedGaussianProcess, DigitCompletion),
    *(Folder, Arrays, Table, Texts, Packed, Birds),
    *(Digits, LakeRuns),
)
KINDS = {f"{kind.name}:{kind.place}" if kind.place else kind.name: kind for kind in ALL}
"""By the name that `--tasks` takes, with what comes after a colon."""

PAGE = "docs/own-parts.md"


def kind_of(tasks: str) -> type[Data]:
    """Find the kind of data that `--tasks` names. Raises `UserError` for an unknown one, with the
    nearest names, for a path that is missing or too much, and for a file that is not named in
    this process.

    >>> kind_of("glyphs").about
    'procedural characters without end; nothing to download'
    """
    name, colon, place = tasks.partition(":")
    if name.endswith(".py"):
        if (own := named_class(name)) is None or not issubclass(own, Data):
            raise UserError(
                f"--tasks {name} is code of the user's own, which runs only if you name it: add "
                f"--tasks {name} if you trust that file"
            )
        return own
    known = {kind.name: kind for kind in KINDS.values()}
    if name not in known:
        raise UserError(f"there are no tasks {tasks!r}: {nearest(name, list(KINDS))}, or FILE.py")
    kind = known[name]
    if not kind.place and colon:
        raise UserError(f"--tasks {tasks}: nothing comes after {name}: --tasks {name}")
    if kind.place and not place:
        raise UserError(f"--tasks {tasks}: it does not say where your data is: {name}:{kind.place}")
    return kind


def run_file_of_tasks(tasks: str) -> None:
    """Run the file that `--tasks FILE.py` or `--tasks FILE.py:PLACE` names, and know its kind of
    data from now on: the one subclass of `Data` that it defines. Raises `UserError` where it
    defines none or more than one."""
    name = tasks.partition(":")[0]
    if name.endswith(".py"):
        class_in_file(name, Data, PAGE)


def data_of(options: DataOptions) -> Data:
    """Open the data that the options name. One object for equal options: what it has loaded
    stays loaded."""
    return _data_of(options.kind, options, options.inputs, options.place)


@functools.lru_cache(maxsize=4)
def _data_of(
    kind: type[Data], options: DataOptions, inputs: Inputs | None, place: tuple[str, str] | None
) -> Data:
    return kind(options)  # the last two count among the options, and are not compared with them
