"""quickstudy update FILE --add FOLDER --remove NAME: change the classes of what adapt has made."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import tyro

from quickstudy.cli import show
from quickstudy.cli.adapt import say_adapted, table_of_methods
from quickstudy.cli.options import read
from quickstudy.errors import UserError


@dataclass(frozen=True)
class Update:
    """Add classes and examples to a file of adapt, and take classes away, without the old examples.
    What comes out is what adapt would make of all examples."""

    file: tyro.conf.Positional[Path]
    """What adapt has written."""
    add: tyro.conf.UseAppendAction[tuple[tuple[Path, ...], ...]] = ()
    """Folders of one class each, whose name is the folder's; or a labelled set as adapt takes it. A
    class that is there already gets more examples."""
    remove: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """Names of classes to take away, before others are added."""
    out: Path | None = None
    """The file to write; by default the same."""
    embed: Path | None = None
    """Where the model of the run's features is now, if it has moved since."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Update, words, "quickstudy update")

    from quickstudy.serving.functions import holds_function

    if holds_function(options.file):
        raise UserError(
            f"{options.file} holds a function: adapt the run to all rows anew (update is for "
            "classes)"
        )

    from quickstudy.serving.updating import update

    adapted = update(
        options.file,
        options.out,
        add=[*chain(*options.add)],
        remove=[*chain(*options.remove)],
        embed=options.embed,
    )
    table_of_methods(adapted)
    say_adapted(adapted, best=False)
    out = options.out or options.file
    show.line(f"written: {out}    next: quickstudy predict {out} FILE …")
    return 0
