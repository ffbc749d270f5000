"""Adapt a run's learner, or the best method beside it, and write what comes out: see `adapted.py`
for the file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy import checkpoint
from quickstudy.compilation import enable_compilation_cache
from quickstudy.errors import UserError
from quickstudy.likelihood import Categorical
from quickstudy.numbers import FALSE_ALARMS
from quickstudy.runs.opponents import free_opponents
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.adapted import SEED, Adapted, adapted_to, header_of
from quickstudy.serving.checks import KIND, inductive, is_run, may_write, served, unfit
from quickstudy.serving.inputs import example_names, read_support
from quickstudy.serving.known import known_for
from quickstudy.serving.left_out import best_of, leave_out, measured, temperature
from quickstudy.task import Examples
from quickstudy.terminal import warn

CHARACTERS = "characters"


def adapt(
    run: Path,
    support: Path,
    out: Path,
    *,
    embed: Path | None = None,
    best: bool = False,
    false_alarms: float = FALSE_ALARMS,
) -> Adapted:
    """Adapt the learner of a run to a labelled set of new classes, and write it to `out`.

    `support` is a folder with a sub-folder for each class, an .npz with x and y, or a table, of
    what the run was trained on; classes may have different numbers of examples. `embed` says
    where the model of its features is now, if it has moved. The learner and
    the free opponents are measured on left-out examples; with `best`, the best of them is written,
    the learner where it is as good as any. `false_alarms` is the share of inputs of the classes
    that may be called unknown.

    Raises `UserError`, before anything is written, where the run or the support set cannot be
    read or do not fit each other, and where `out` is another file than an adapted learner.
    """
    may_write(out)
    saved = learner_of(run)
    problem, (settings, learner) = saved.problem, inductive(saved)
    read, inputs = read_support(served(settings, problem).with_model(embed), support)
    if read.ink is not None:
        warn(f"{support} is read as {read.ink}")
    if read.classes < 2:
        raise UserError(f"{support} has one class, {read.names[0]!r}: add another to tell it from")
    enable_compilation_cache()
    counts = tuple(map(int, read.count))
    y = np.repeat(np.arange(read.classes, dtype=np.int32), counts)
    examples = Examples(jnp.asarray(read.x), jnp.asarray(y))
    own = settings.learner.name
    methods = {own: learner, **free_opponents(problem)}
    try:
        predictor, seen, right, finite = adapted_to(learner, examples, read.classes)
    except ValueError as error:
        raise unfit(run, settings, problem, support, read.classes, error) from error
    if not finite:
        raise UserError(f"adapting {run} to {support} gave no numbers: it diverged")
    left = leave_out(methods, examples, read.count, jax.random.key(SEED))
    table = measured(left)
    method = best_of(table) if best and table else own
    if method != own:
        predictor, seen, right, _ = adapted_to(methods[method], examples, read.classes)
    found = left.get(method)
    known, said = known_for(saved, methods[method], counts, found, false_alarms, method == own)
    if said:
        warn(said)
    adapted = Adapted(
        predictor,
        dataclasses.replace(settings, tasks=dataclasses.replace(settings.tasks, inputs=inputs)),
        problem,
        read.names,
        counts,
        int(right),
        methods[method].transductive,
        method,
        table,
        temperature(found) if found else 1.0,
        example_names(inputs, support, read),
        seen,
        known,
        false_alarms,
    )
    checkpoint.save(out, (predictor, seen), header_of(adapted))
    return adapted


def learner_of(run: Path) -> SavedRun:
    """Open the run of a learner of classes; or the learner of characters that comes with the
    package, where `run` is `CHARACTERS` and there is no such folder. Raises `UserError` where it is
    something else."""
    is_run(run)
    shipped = str(run) == CHARACTERS and not run.exists()
    saved = SavedRun.shipped(CHARACTERS) if shipped else SavedRun.open(run)
    if saved.header.get("kind") == KIND:
        raise UserError(f"{saved.file} is an adapted learner, not a trained one")
    if not isinstance(saved.problem.likelihood, Categorical):
        raise UserError(f"{run} learned regression: adapt and predict are for classes")
    if saved.problem.description is not None:
        raise UserError(f"{run} learns classes from descriptions: adapt takes examples")
    return saved
