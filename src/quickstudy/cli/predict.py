"""quickstudy predict FILE INPUT …: classify with what adapt has made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from quickstudy.cli import rows, show
from quickstudy.cli.options import read
from quickstudy.errors import UserError

if TYPE_CHECKING:
    from quickstudy.serving.functions import Forecast
    from quickstudy.serving.predicting import Prediction


@dataclass(frozen=True)
class Predict:
    """The most probable class of each image (or of each row of a table), or `unknown`; of a
    function, the mean of the target and the interval that holds it with a probability of 95 %."""

    file: tyro.conf.Positional[Path]
    """What adapt has written."""
    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """Images, folders of images, or tables."""
    embed: Path | None = None
    """Where the model of the run's features is now, if it has moved since."""
    json: bool = False
    """Print JSON, with the probabilities of all classes and the nearest support examples."""
    out: Path | None = None
    """For many inputs: a .csv or .jsonl file to write, a row for each. An input that cannot be
    read has its error in its row, and the exit status is 1."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Predict, words, "quickstudy predict")
    if not options.inputs:
        raise UserError("nothing to classify: name images (or tables) after the file")
    if options.out is not None:
        if options.json:
            raise UserError("take one of --json and --out (FILE.jsonl for JSON)")
        rows.require_out(options.out, options.inputs)

    from quickstudy.serving.functions import holds_function

    if holds_function(options.file):
        return run_on_function(options)

    if options.out is not None:
        return run_on_many(options, options.out)

    from quickstudy.serving.predicting import predict

    found = predict(options.file, list(options.inputs), embed=options.embed)
    if options.json:
        show.as_json([dataclasses.asdict(row) for row in found])
        return 0
    columns, cells = ["input", "class", "probability"], [in_short(row) for row in found]
    if found[0].nearest:
        columns += ["score", "nearest support example"]
    show.table(str(options.file), columns, cells)
    if (threshold := found[0].threshold) is not None:
        show.line(
            "score: the share of known inputs that look no more familiar; unknown at "
            f"{threshold:g} or less"
        )
    return 0


def run_on_many(options: Predict, out: Path) -> int:
    """The command where a file is to be written."""
    from quickstudy.serving.adapted_file import load
    from quickstudy.serving.predicting import Unread, predict_each

    adapted = load(options.file)
    each = predict_each(adapted, list(options.inputs), embed=options.embed)
    columns = ["input", "class", "unknown", "probability", "score", "nearest", "class of nearest"]
    return rows.write(
        out,
        [*columns, *(f"p({name})" for name in adapted.names)],
        (
            rows.unread(found.input, found.error) if isinstance(found, Unread) else in_full(found)
            for found in each
        ),
    )


def run_on_function(options: Predict) -> int:
    """The command where the file holds a function."""
    from quickstudy.serving.functions import predict

    if options.embed is not None:
        raise UserError(
            f"{options.file} holds a function, and --embed is for classes: leave it out"
        )
    if options.out is not None:
        return rows.write(options.out, ["input", "mean", "low", "high"], forecasts(options))
    found = predict(options.file, list(options.inputs))
    if options.json:
        show.as_json([dataclasses.asdict(row) for row in found])
        return 0
    cells = []
    for row in found:
        ends = ["none"] * 2 if row.low is None else [f"{row.low:.5g}", f"{row.high:.5g}"]
        cells.append([row.input, f"{row.mean:.5g}", *ends])
    show.table(str(options.file), ["input", "mean", "95 % from", "to"], cells, figures=True)
    return 0


def forecasts(options: Predict) -> Iterator[rows.Row]:
    """The rows of each table in its turn."""
    from quickstudy.serving.functions import load, predict_table

    adapted = load(options.file)
    for file in options.inputs:
        try:
            found: list[Forecast] = predict_table(adapted, file)
        except UserError as error:
            yield rows.unread(str(file), str(error))
            continue
        for row in found:
            yield rows.Row([row.input, row.mean, row.low, row.high], dataclasses.asdict(row))


def in_short(row: Prediction) -> list[str]:
    """One prediction as a row of the table."""
    cells = [row.input, row.name, "" if row.unknown else f"{row.probability:.3f}"]
    if not row.nearest:
        return cells
    score = "" if row.score is None else f"{row.score:.3f}"
    first = row.nearest[0]
    return [*cells, score, f"{first['example']} ({first['class']})"]


def in_full(row: Prediction) -> rows.Row:
    """One prediction as a row of a file."""
    first = row.nearest[0] if row.nearest else {"example": "", "class": ""}
    said = [row.input, row.name, str(row.unknown).lower(), row.probability, row.score]
    cells = [*said, first["example"], first["class"]]
    return rows.Row([*cells, *row.probabilities.values()], dataclasses.asdict(row))
