"""Adapt a run's learner, or the best method beside it, and write what comes out: see
`adapted_file.py` for the file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.compilation import enable_compilation_cache
from quickstudy.errors import UserError
from quickstudy.learner import Learner
from quickstudy.likelihood import Categorical
from quickstudy.numbers import FALSE_ALARMS
from quickstudy.open_set import Reference
from quickstudy.runs.opponents import free_opponents
from quickstudy.runs.saved import SavedRun
from quickstudy.serving import adapted_file
from quickstudy.serving.adapted import SEED, Adapted, Kept, adapted_to
from quickstudy.serving.checks import KIND, inductive, is_run, may_write, served, unfit
from quickstudy.serving.inputs import example_names, read_support
from quickstudy.serving.known import known_for
from quickstudy.serving.left_out import best_of, leave_out, measured, temperature
from quickstudy.serving.support_set import SupportSet
from quickstudy.settings.run import RunSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples
from quickstudy.terminal import warn

CHARACTERS = "characters"


@dataclass(frozen=True, eq=False)
class Source:
    """A trained learner, and how it is asked to adapt."""

    name: str
    """Of the run or the file that it comes from, for messages."""
    learner: Learner
    settings: RunSettings
    """Of the run, with what the support set adds to its inputs."""
    problem: TaskSpec
    best: dict[str, float] | None
    """To take the best method: the accuracy of each on the run's validation tasks, if the run keeps
    it (`left_out.best_of`). None to take the learner."""
    false_alarms: float
    """The share of inputs of the classes that may be called unknown."""
    known: list[dict[str, Any]] | None
    """What the run's file says of known inputs (`runs.known.known_in`)."""
    provenance: dict[str, Any] | None = None
    """Of the run."""
    before: dict[str, Reference] = dataclasses.field(default_factory=dict)
    """What known inputs were like before an update, by the method; if the run's data told it."""


def adapt(
    run: Path,
    support: Path,
    out: Path,
    *,
    embed: Path | None = None,
    best: bool = False,
    false_alarms: float = FALSE_ALARMS,
    forget: bool = False,
) -> Adapted:
    """Adapt the learner of a run to a labelled set of new classes, and write it to `out`.

    `support` is a folder with a sub-folder for each class, an .npz with x and y, or a table, of
    what the run was trained on; classes may have different numbers of examples. `embed` says
    where the model of its features is now, if it has moved. The learner and
    the free opponents are measured on left-out examples; with `best`, the best of them is written,
    the learner where it is as good as any. `false_alarms` is the share of inputs of the classes
    that may be called unknown. With `forget`, the file is written without what `update` needs.

    Raises `UserError`, before anything is written, where the run or the support set cannot be
    read or do not fit each other, and where `out` is another file than an adapted learner.
    """
    may_write(out)
    saved = learner_of(run)
    problem, (settings, learner) = saved.problem, inductive(saved)
    read, inputs = read_support(served(settings, problem).with_model(embed), support)
    if read.ink is not None:
        warn(f"{support} is read as {read.ink}")
    settings = dataclasses.replace(
        settings, tasks=dataclasses.replace(settings.tasks, inputs=inputs)
    )
    known, provenance = saved.header.get("known"), saved.header.get("provenance")
    stood = on_validation(saved) if best else None
    source = Source(str(run), learner, settings, problem, stood, false_alarms, known, provenance)
    labels = [str(label) for label in np.repeat(read.names, read.count)]
    examples = SupportSet.of(read.x, labels, example_names(inputs, support, read))
    adapted = adapted_to_set(source, examples, str(support))
    if forget:
        adapted = dataclasses.replace(adapted, kept=None)
    adapted_file.save(out, adapted)
    return adapted


def adapted_to_set(source: Source, support: SupportSet, where: str) -> Adapted:
    """Adapt to a support set, which is called `where` in messages, and measure it.

    Raises `UserError` where the learner cannot serve the set, or diverges.
    """
    ways = len(support.names)
    if ways < 2:
        raise UserError(f"{where} has one class, {support.names[0]!r}: add another to tell it from")
    enable_compilation_cache()
    count = np.asarray(support.counts)
    y = np.repeat(np.arange(ways, dtype=np.int32), count)
    examples = Examples(jnp.asarray(support.x), jnp.asarray(y))
    own = source.settings.learner.name
    methods = {own: source.learner, **free_opponents(source.problem)}
    try:
        predictor, seen, right, finite = adapted_to(source.learner, examples, ways)
    except ValueError as error:
        raise unfit(source.name, source.settings, source.problem, where, ways, error) from error
    if not finite:
        raise UserError(f"adapting {source.name} to {where} gave no numbers: it diverged")
    left = leave_out(methods, examples, count, jax.random.key(SEED))
    table = measured(left)
    method = own if source.best is None or not table else best_of(table, source.best)
    if method != own:
        predictor, seen, right, _ = adapted_to(methods[method], examples, ways)
    found = left.get(method)
    known, said = known_for(source, method, methods[method], support.counts, found)
    if said:
        warn(said)
    return Adapted(
        predictor,
        source.settings,
        source.problem,
        support.names,
        support.counts,
        int(right),
        methods[method].transductive,
        method,
        table,
        temperature(found) if found else 1.0,
        support.examples,
        seen,
        known,
        source.false_alarms,
        Kept(source.learner, support.x, source.best, source.known),
        source.provenance,
    )


def on_validation(saved: SavedRun) -> dict[str, float]:
    """Give the accuracy of a run's learner and of each free opponent on its validation tasks, where
    its file keeps them."""
    found = saved.header.get("validation")
    if not found or found["metric"] != "accuracy":
        return {}
    figures = {saved.settings.learner.name: found["learner"], **found["opponents"]}
    return {name: figure["mean"] for name, figure in figures.items()}


def learner_of(run: Path) -> SavedRun:
    """Open the run of a learner of classes, as `trained` does. Raises `UserError` where it is
    something else."""
    saved = trained(run)
    if not isinstance(saved.problem.likelihood, Categorical):
        raise UserError(
            f"{run} learned regression: adapt takes learners of classes, and of functions from a "
            "table (--task-column)"
        )
    if saved.problem.description is not None:
        raise UserError(f"{run} learns classes from descriptions: adapt takes examples")
    return saved


def trained(run: Path) -> SavedRun:
    """Open a run; or the learner of characters that comes with the package, where `run` is
    `CHARACTERS` and there is no such folder. Raises `UserError` where it is a file, or not
    trained."""
    is_run(run)
    shipped = str(run) == CHARACTERS and not run.exists()
    saved = SavedRun.shipped(CHARACTERS) if shipped else SavedRun.open(run)
    if saved.header.get("kind") == KIND:
        raise UserError(f"{saved.file} is an adapted learner, not a trained one")
    return saved
