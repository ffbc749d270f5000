"""quickstudy search RUN --OPTION VALUE VALUE …: options of a trained run, chosen on validation
classes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.errors import UserError
from quickstudy.files import read_json
from quickstudy.numbers import at_least
from quickstudy.runs.folders import run_file, seeds_in
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.run import RunSettings

USAGE = """usage: quickstudy search RUN --OPTION VALUE VALUE … [--OPTION VALUE …] [--episodes 200]

Try options of a trained learner that matter at test alone, such as fine-tuning's --head-rate or
MAML's --test-steps: every combination, on the validation classes of the run. Nothing is trained,
and no test class is looked at. The figures go to RUN/search.json; quickstudy evaluate RUN
--searched takes the best.

quickstudy search RUN --help for the options of a run's learner, for example
  quickstudy search runs/gentle --head-rate 0.1 0.5 --layer-decay 1.0 0.4"""


def arguments_of(learner: LearnerSettings) -> Any:
    """The options of `search` for one trained learner, as a dataclass type: several values for
    each of its own."""
    kinds = get_type_hints(type(learner))
    tried = [
        (
            field.name,
            Annotated[
                tuple[kinds[field.name], ...],
                tyro.conf.arg(help=f"Values to try; trained with {getattr(learner, field.name)}."),
            ],
            (),
        )
        for field in dataclasses.fields(learner)
        if field.name != "network"
    ]
    episodes = Annotated[int, tyro.conf.arg(help="How many validation episodes.")]
    as_json = Annotated[bool, tyro.conf.arg(help="Print JSON.")]
    own = [("episodes", episodes, 200), ("json", as_json, False)]
    return dataclasses.make_dataclass("Search", [*own, *tried], frozen=True)


def run(words: list[str]) -> int:
    """The command."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if words[0].startswith("-"):
        raise UserError("which run? quickstudy search RUN --OPTION VALUE VALUE …")
    folder = Path(words[0])
    one = next(iter(seeds_in(folder).values()), folder)
    run_file(one, "learner.qs")
    learner = RunSettings.from_json(read_json(one / "config.json", "train anew")).learner
    options = read(
        arguments_of(learner), words[1:], f"quickstudy search {folder}", description=USAGE
    )
    values = {
        f.name: getattr(options, f.name) for f in dataclasses.fields(learner) if f.name != "network"
    }
    grid = {name: tried for name, tried in values.items() if tried}
    if not grid:
        names = ", ".join("--" + name.replace("_", "-") for name in values)
        raise UserError(f"which options? {learner.name} has {names or 'none'}")
    at_least(options, episodes=2)

    from quickstudy.runs.search import SEARCH_FILE, search

    found = search(folder, grid, episodes=options.episodes, show_progress=not options.json)
    if options.json:
        print((folder / SEARCH_FILE).read_text(), end="")
        return 0
    first = found.candidates[0][1]
    columns = ["options", show.unit(first.headline), *show.RESULT_COLUMNS[2:]]
    rows = [show.result_row(words_of(tried), result) for tried, result in found.candidates]
    show.table(f"{folder}, validation classes", columns, rows, figures=True)
    show.intervals({words_of(o): result.estimate().covers for o, result in found.candidates})
    show.protocol(first.protocol)
    show.line(f"best: {words_of(found.best)}    next: quickstudy evaluate {folder} --searched")
    return 0


def words_of(options: dict[str, Any]) -> str:
    """As they would be said on the command line."""
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
