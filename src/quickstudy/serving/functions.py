"""A learner of functions that has learned one: a file that predicts a real target with an interval.

    quickstudy adapt runs/shops --support new_shop.csv --out shop.qs
    quickstudy predict shop.qs rows.csv

Inputs and targets are in the user's units. The file needs neither the run nor the support set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy import checkpoint
from quickstudy.checkpoint import DamagedFile
from quickstudy.compilation import enable_compilation_cache
from quickstudy.data.inputs import Inputs
from quickstudy.datasets import functions
from quickstudy.errors import UserError
from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Gaussian, RealTargets
from quickstudy.runs import learning
from quickstudy.runs.opponents import free_opponents
from quickstudy.runs.problem_json import problem_from_json, problem_to_json
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.adapted import AT_LEAST
from quickstudy.serving.checks import may_write
from quickstudy.serving.left_out_rows import SEED, left_out_rmse, settled_opponents
from quickstudy.serving.table_rows import brought, read_rows, rows_of
from quickstudy.serving.values import table_of
from quickstudy.settings.run import RunSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples
from quickstudy.terminal import warn

KIND = "adapted function"
"""What the header calls such a file."""
NORMAL_95 = 1.959964
"""Standard deviations to either side of the mean that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class AdaptedFunction:
    """A predictor of one function, and what is known of it."""

    predictor: Predictor
    method: str
    """What adapted: the run's learner, or a free opponent."""
    settings: RunSettings
    problem: TaskSpec
    rows: int
    """In the support set."""
    start: float
    """The time of its first row, from which time is counted; 0 where there is no time."""
    intervals: bool
    """Whether the method says how sure of a prediction it is."""

    @property
    def inputs(self) -> Inputs:
        """What it takes."""
        assert self.settings.tasks.inputs is not None
        return self.settings.tasks.inputs

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean of the target for each row of `X`, in its units; with `return_std`, also its
        standard deviation. `X` is a data frame, a list of mappings, rows, or the path of a table.
        Raises `UserError` where rows do not fit, or the learner does not say how sure it is."""
        mean, deviation = self._moments_of(X)
        if return_std and not self.intervals:
            raise UserError(f"{self.method} gives no standard deviation")
        return (mean, deviation) if return_std else mean

    def predict_interval(
        self, X: Any, level: float = 0.95
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The ends of the interval that holds each target with a probability of `level`. Raises as
        `predict` does."""
        if not 0 < level < 1:
            raise UserError(f"level is {level}: an interval's probability lies between 0 and 1")
        mean, deviation = self.predict(X, return_std=True)
        half = NormalDist().inv_cdf(0.5 + level / 2) * deviation
        return mean - half, mean + half

    def _moments_of(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Moments for rows in any form, in their order."""
        path = Path(X if isinstance(X, str | Path) else "X")
        if isinstance(X, str | Path):
            return self.moments_of_rows(path, read_rows(self.settings, path, targets=False))
        if (cells := table_of(self.inputs, X)) is None:
            raise UserError("X is no table: give a data frame, a list of mappings, or a path")
        return self.moments_of_rows(path, rows_of(self.settings, path, cells, targets=False))

    def moments_of_rows(
        self, where: Path, rows: functions.Rows
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """`moments` of the rows of a table, in the order of their numbers."""
        enable_compilation_cache(AT_LEAST)
        mean, deviation = self.moments(brought(self.inputs, where, rows, self.start))
        order = np.argsort(rows.numbers)
        return mean[order], deviation[order]

    def moments(
        self, x: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Means and standard deviations of the targets, in their units: float64, for large ones."""
        found = self._standardised(jnp.asarray(x))
        return self._in_units(*(np.asarray(each, np.float64) for each in found))

    def moments_of(self, x: Float[Array, "n d"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """`moments`, as JAX traces them, float32."""
        return self._in_units(*self._standardised(x))

    def _standardised(self, x: Array) -> tuple[Array, ...]:
        answers = _answers(self.settings, self.problem, self.method)
        return tuple(each[:, 0] for each in answers.moments(_predict(self.predictor, x)))

    def _in_units(self, mean: Any, deviation: Any) -> tuple[Any, Any]:
        unit, middle = self.inputs.target_deviation, self.inputs.target_mean
        return middle + unit * mean, unit * deviation


@dataclass(frozen=True)
class Forecast:
    """What is said of one row."""

    input: str
    """Its file and row."""
    mean: float
    low: float | None
    """The lower end of the interval of 95 %; None where the method gives no interval."""
    high: float | None


@eqx.filter_jit
def _predict(predictor: Predictor, x: Array) -> Array:
    return predictor(x)


@eqx.filter_jit
def _adapt(learner: Learner, support: Examples, likelihood: RealTargets) -> Predictor:
    return learner.adapt(support, likelihood, key=jax.random.key(SEED))


def learns_functions(run: Path) -> bool:
    """Whether this is the run of a learner of functions from a table of the user's own."""
    file = run / "learner.qs"
    return file.is_file() and "target" in (checkpoint.read_header(file).get("inputs") or {})


def holds_function(file: Path) -> bool:
    """Whether this is the file of an adapted function."""
    try:
        return file.is_file() and checkpoint.read_header(file).get("kind") == KIND
    except UserError:
        return False


def adapt(
    run: Path, support: Path, out: Path, *, best: bool = False
) -> tuple[AdaptedFunction, dict[str, float]]:
    """Adapt the learner of a run to the rows of one new task, and write it to `out`. `support` is a
    table with the inputs and the target of the run's. Also gives the root of the mean squared error
    of left-out rows, in units of the target, of the learner and of its free opponents; nothing for
    a single row. With `best`, the method with the least error is written, the learner where none
    has less.

    Raises `UserError`, before anything is written, where the run or the table cannot be read or do
    not fit each other, and where `out` is another file than an adapted function.
    """
    may_write(out, KIND)
    saved = SavedRun.open(run)
    settings, problem, learner = saved.settings, saved.problem, saved.learner()
    inputs: Inputs = settings.tasks.inputs
    assert inputs.target is not None
    if learner.transductive:
        raise UserError(
            f"{run} predicts a row with the help of the others (--normalisation batch): train it "
            "with --normalisation support"
        )
    rows = read_rows(settings, support, targets=True)
    if (tasks := len(set(map(str, rows.tasks or ())))) > 1:
        raise UserError(
            f"{support} has rows of {tasks} tasks (column {settings.tasks.task_column!r}): give "
            "the rows of one"
        )
    time = inputs.time_column
    start = 0.0 if time is None else float(rows.x[0, functions.place_of(time, rows)])
    x, y = brought(inputs, support, rows, start), rows.y
    assert y is not None
    enable_compilation_cache()
    examples = Examples(jnp.asarray(x), jnp.asarray(inputs.standardised(y)))
    likelihood = problem.likelihood
    assert isinstance(likelihood, RealTargets)
    own = settings.learner.name
    opponents, said = settled_opponents(saved)
    if said:
        warn(said)
    methods = {own: learner, **opponents}
    errors = left_out_rmse(methods, examples, likelihood)
    method = min(errors, key=errors.__getitem__) if best and errors else own
    predictor = _adapt(methods[method], examples, likelihood)
    intervals = not isinstance(methods[method].answers(likelihood), Gaussian)
    adapted = AdaptedFunction(predictor, method, settings, problem, len(y), start, intervals)
    if not np.isfinite(adapted.moments(x)).all():
        raise UserError(f"adapting {run} to {support} gave no numbers: it diverged")
    checkpoint.save(out, predictor, _header(adapted))
    return adapted, {name: inputs.target_deviation * e for name, e in errors.items()}


def load(path: Path) -> AdaptedFunction:
    """An adapted function. Nothing is unpickled, and no code runs that the file names.

    Raises `UserError` where it is another file, `DamagedFile` where it does not hold what was
    written.
    """
    header, arrays = checkpoint.read(path)
    if header.get("kind") != KIND:
        raise UserError(f"{path} is not an adapted function: make one with quickstudy adapt")
    try:
        settings = learning.from_header(path, header)
        rows, problem = header["rows"], problem_from_json(header["problem"])
        start, intervals = float(header["start"]), bool(header["intervals"])
        method = str(header.get("method", settings.learner.name))  # older files are the learner's
        like = _blank(settings, header, problem, rows, method)
    except checkpoint.NO_SENSE as error:
        raise DamagedFile(f"{path} is damaged: its header makes no sense ({error})") from error
    predictor: Any = checkpoint.fitted(path, header, arrays, like)
    return AdaptedFunction(predictor, method, settings, problem, rows, start, intervals)


def predict(path: Path, tables: Sequence[Path]) -> list[Forecast]:
    """What the adapted function in the file `path` says of the rows of tables, in the order in
    which they stand; a column of targets is not read. Raises `UserError` where one of them cannot
    be read or does not fit."""
    adapted = load(path)
    return [row for file in tables for row in predict_table(adapted, file)]


def predict_table(adapted: AdaptedFunction, file: Path) -> list[Forecast]:
    """`predict` the rows of one table."""
    rows, found = read_rows(adapted.settings, file, targets=False), []
    mean, deviation = adapted.moments_of_rows(file, rows)
    for number, m, half in zip(sorted(rows.numbers), mean, NORMAL_95 * deviation, strict=True):
        ends = (float(m - half), float(m + half)) if adapted.intervals else (None, None)
        found.append(Forecast(f"{file}, row {number}", float(m), *ends))
    return found


def _answers(settings: RunSettings, problem: TaskSpec, method: str) -> RealTargets:
    """How predictions of a method are read."""

    def built() -> Any:
        if method == settings.learner.name:
            return settings.learner.build(problem, jax.random.key(SEED))
        return free_opponents(problem)[method]

    answers = eqx.filter_eval_shape(built).answers(problem.likelihood)
    assert isinstance(answers, RealTargets)
    return answers


def _header(adapted: AdaptedFunction) -> dict[str, Any]:
    """All that `load` needs, as plain JSON values."""
    return {
        "kind": KIND,
        "method": adapted.method,
        "configuration": adapted.settings.to_json(),
        "problem": problem_to_json(adapted.problem),
        "inputs": adapted.inputs.to_json(),
        "rows": adapted.rows,
        "start": adapted.start,
        "intervals": adapted.intervals,
        "seed": SEED,
    }


def _blank(
    settings: RunSettings, header: dict[str, Any], problem: TaskSpec, rows: int, method: str
) -> Any:
    """The structure of a predictor, with shapes for arrays."""
    likelihood = problem.likelihood
    if not isinstance(likelihood, RealTargets):
        raise ValueError("its targets are not numbers")

    def adapted(learner: Learner) -> Predictor:
        support = Examples(jnp.zeros((rows, *problem.shape)), jnp.zeros((rows, likelihood.targets)))
        return learner.adapt(support, likelihood, key=jax.random.key(SEED))

    own = method == settings.learner.name
    learner = learning.structure(settings, header) if own else free_opponents(problem)[method]
    return eqx.filter_eval_shape(adapted, learner)
