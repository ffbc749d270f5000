"""The folder of a run: its configuration, its figures, its checkpoints."""

import contextlib
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from quickstudy import checkpoint
from quickstudy.checkpoint import DamagedFile
from quickstudy.errors import UserError
from quickstudy.files import (
    LOCK,
    as_json,
    only_process,
    read_json,
    remove_partials,
    write_atomically,
)
from quickstudy.terminal import warn

METRICS = "metrics.jsonl"
CONFIG_FILE = "config.json"
BESIDE = ("place",)
"""What a configuration says beside its options: where the user's own data lay. Another place is no
other configuration."""
ANOTHER_FOLDER = "choose another --run folder"


class Record:
    """The files of a run: `config.json`, `metrics.jsonl`, `checkpoints/`. Without a folder it
    keeps nothing.

    Raises `UserError` where the folder belongs to a run with another configuration.
    """

    def __init__(self, folder: Path | None, configuration: dict[str, Any]):
        self.folder = folder
        self.configuration = json.loads(json.dumps(configuration))
        if folder is None:
            return
        self.metrics = folder / METRICS
        self.checkpoints = folder / "checkpoints"
        written = folder / CONFIG_FILE
        if written.exists():
            self._compare()
        else:
            if folder.exists() and not (folder.is_dir() and _is_unused(folder)):
                raise UserError(
                    f"{folder} exists and is not a run of quickstudy: choose another --run folder"
                )
            write_atomically(written, json.dumps(self.configuration, indent=2).encode() + b"\n")

    @contextlib.contextmanager
    def only_writer(self) -> Iterator[None]:
        """Hold the folder while a run is trained in it, and remove what a killed process had
        written of a file. Raises `UserError` where another process trains there."""
        if self.folder is None:
            yield
            return
        with only_process(self.folder, "trains", "--run"):
            self._compare()  # two processes may have found it empty
            for folder in (self.folder, self.checkpoints):
                remove_partials(folder)
            yield

    def _compare(self) -> None:
        assert self.folder is not None
        written = self.folder / CONFIG_FILE
        found, now = (
            {word: value for word, value in one.items() if word not in BESIDE}
            for one in (read_json(written, ANOTHER_FOLDER), self.configuration)
        )
        if found != now:
            differ = differences(found, now)
            raise UserError(
                f"{written.parent} belongs to another configuration ({'; '.join(differ)}): "
                "choose another --run folder"
            )

    def steps(self) -> set[int]:
        """The steps that `resume` can go back to: those of the two checkpoints that are kept, or
        the start while there are fewer."""
        if self.folder is None:
            return {0}
        found = [step_of(path) for path in checkpoints_in(self.folder)]
        return set(found) if len(found) > 1 else {0, *found}

    def resume(self, state: Any, newest: int | None = None) -> Any:
        """The `newest_checkpoint` of a state (a pytree with a leaf `step`), of no later step than
        `newest`; or `state` where there is none. Figures of later steps are forgotten."""
        if self.folder is None:
            return state
        found = newest_checkpoint(self.folder, state, newest)
        self._cut_metrics(-1 if found is None else int(found.step))
        return state if found is None else found

    def _cut_metrics(self, step: int) -> None:
        """Forget the figures of steps that will be taken again."""
        if self.metrics.exists():
            kept = [row for row in read_metrics(self.metrics) if row["step"] <= step]
            write_atomically(self.metrics, _lines(kept).encode())

    def save(self, state: Any) -> None:
        """Write a checkpoint and keep the one before it. Any of later steps are those that
        `resume` has passed over."""
        if self.folder is None:
            return
        path = self.checkpoints / f"step-{int(state.step):09d}.qs"
        header = {"step": int(state.step), "configuration": self.configuration}
        checkpoint.save(path, state, {**header, "jax": jax.__version__})
        written = checkpoints_in(self.folder)
        place = written.index(path)
        for other in written[: max(place - 1, 0)] + written[place + 1 :]:
            other.unlink(missing_ok=True)

    def log(
        self,
        start: int,
        metrics: dict[str, Float[np.ndarray, " n"]],
        every: int,
        seconds: float,
    ) -> None:
        """One line for each `every` steps: the means over them, and the time that they took."""
        count = len(metrics["loss"])
        blocks = [slice(i, min(i + every, count)) for i in range(0, count, every)]
        self._append(
            {
                "step": start + block.stop,
                **{k: float(np.mean(v[block])) for k, v in metrics.items()},
                "seconds": round(seconds * (block.stop - block.start) / count, 6),
            }
            for block in blocks
        )

    def log_compiling(self, step: int, seconds: float) -> None:
        """One line with the time until the first step could start: compiling, or finding the
        program in the compiler's cache."""
        self._append([{"step": step, "seconds compiling": round(seconds, 6)}])

    def seconds(self) -> float:
        """Time spent on steps, compiling and validation not included."""
        if self.folder is None:
            return 0.0
        return sum(row.get("seconds", 0.0) for row in read_metrics(self.metrics))

    def log_validation(self, step: int, metric: str, score: float) -> None:
        """One line with the validation figure."""
        self._append([{"step": step, f"validation {metric}": score}])

    def _append(self, rows: Iterable[dict[str, float]]) -> None:
        if self.folder is None:
            return
        try:
            with open(self.metrics, "a") as file:
                file.write(_lines(rows))
        except OSError as error:
            raise UserError(
                f"cannot write {self.metrics}: {error.strerror}; free some space and run the same "
                "command again: it goes on from the last checkpoint"
            ) from error


def checkpoints_in(folder: Path) -> list[Path]:
    """List the checkpoints of the run in `folder`, oldest first."""
    return sorted((folder / "checkpoints").glob("step-*.qs"))


def step_of(path: Path) -> int:
    """Read the step of a checkpoint from its name."""
    return int(path.stem.removeprefix("step-"))


def newest_checkpoint(folder: Path, like: Any, newest: int | None = None) -> Any | None:
    """Load the newest whole checkpoint of a run, of no later step than `newest`, into the structure
    of `like`; None where there is none. A damaged one is passed over for the one before it, and
    said so on standard error."""
    for path in reversed(checkpoints_in(folder)):
        if newest is not None and step_of(path) > newest:
            continue
        try:
            return checkpoint.load(path, like)[0]
        except DamagedFile as error:
            warn(f"{error}; falling back to the checkpoint before it")
    return None


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a `metrics.jsonl`; none where there is no file. Damaged lines are passed over,
    and said so on standard error: they hold figures, and training does not depend on them."""
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")  # a last line without its end was being written
    rows = [row for line in lines if (row := _row(line)) is not None]
    if (damaged := len(lines) - len(rows)) > 0:
        warn(f"{path}: {damaged} damaged line{'s' * (damaged > 1)} passed over")
    return rows


def _row(line: bytes) -> dict[str, float] | None:
    """The figures in one line, `null` being NaN; None where it is damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    row = {name: math.nan if value is None else value for name, value in row.items()}
    return row if all(type(value) in (int, float) for value in row.values()) else None


def _lines(rows: Iterable[dict[str, float]]) -> str:
    return "".join(as_json(row) + "\n" for row in rows)


def _is_unused(folder: Path) -> bool:
    """Whether it holds nothing but what a run left that was killed in its first moment."""
    left = (LOCK, ".config.json.*.partial")
    return all(any(map(path.match, left)) for path in folder.iterdir())


def differences(there: dict[str, Any], now: dict[str, Any], flag: str = "") -> list[str]:
    """Name what differs between two configurations, whose inner dictionaries hold options. Where
    the names of what has the options differ, these alone: another learner has other options.

    >>> differences({"tasks": {"way": 5, "shot": 1}}, {"tasks": {"way": 20, "shot": 1}})
    ['--way 5 there, --way 20 now']
    """
    if there.get("name") != now.get("name"):
        return [f"{there.get('name')} there, {now.get('name')} now"]
    found = []
    for word in sorted(there.keys() | now.keys()):
        a, b = there.get(word), now.get(word)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, flag="--")
        elif a != b:
            option = flag + word.replace("_", "-")
            found.append(f"{said(option, a)} there, {said(option, b)} now")
    return found


def said(option: str, value: Any) -> str:
    """An option with its value, as on the command line.

    >>> said("--hidden", [40, 40]), said("--within", False)
    ('--hidden 40 40', 'no --within')
    """
    if value is None or value is False:
        return f"no {option}"
    if value is True:
        return option
    return " ".join([option, *map(str, value if isinstance(value, list) else [value])])
