"""quickstudy predict FILE INPUT …: classify with what adapt has made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.errors import UserError

if TYPE_CHECKING:
    from quickstudy.serving.adapted import Prediction


@dataclass(frozen=True)
class Predict:
    """The most probable class of each image (or of each row of a table), or `unknown`; of a
    function, the mean of the target and the interval that holds it with a probability of 95 %."""

    file: tyro.conf.Positional[Path]
    """What adapt has written."""
    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """Images, or tables."""
    embed: Path | None = None
    """Where the model of the run's features is now, if it has moved since."""
    json: bool = False
    """Print JSON, with the probabilities of all classes and the nearest support examples."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Predict, words, "quickstudy predict")
    if not options.inputs:
        raise UserError("nothing to classify: name images (or tables) after the file")

    from quickstudy.serving.functions import holds_function

    if holds_function(options.file):
        return run_on_function(options)

    from quickstudy.serving.adapted import predict

    rows = predict(options.file, list(options.inputs), embed=options.embed)
    if options.json:
        show.as_json([dataclasses.asdict(row) for row in rows])
        return 0
    columns, cells = ["input", "class", "probability"], [in_short(row) for row in rows]
    if rows[0].nearest:
        columns += ["score", "nearest support example"]
    show.table(str(options.file), columns, cells)
    if (threshold := rows[0].threshold) is not None:
        show.line(
            "score: the share of known inputs that look no more familiar; unknown at "
            f"{threshold:g} or less"
        )
    return 0


def run_on_function(options: Predict) -> int:
    """The command where the file holds a function."""
    from quickstudy.serving.functions import predict

    rows = predict(options.file, list(options.inputs))
    if options.json:
        show.as_json([dataclasses.asdict(row) for row in rows])
        return 0
    cells = []
    for row in rows:
        ends = ["none"] * 2 if row.low is None else [f"{row.low:.5g}", f"{row.high:.5g}"]
        cells.append([row.input, f"{row.mean:.5g}", *ends])
    show.table(str(options.file), ["input", "mean", "95 % from", "to"], cells, figures=True)
    return 0


def in_short(row: Prediction) -> list[str]:
    """One prediction as a row of the table."""
    cells = [row.input, row.name, "" if row.unknown else f"{row.probability:.3f}"]
    if not row.nearest:
        return cells
    score = "" if row.score is None else f"{row.score:.3f}"
    first = row.nearest[0]
    return [*cells, score, f"{first['example']} ({first['class']})"]
