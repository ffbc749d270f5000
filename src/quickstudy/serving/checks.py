"""What adapt asks of a run, a support set and a place to write to, before it computes anything."""

from __future__ import annotations

from pathlib import Path

from quickstudy import checkpoint
from quickstudy.data.inputs import Inputs, TokenShape
from quickstudy.errors import UserError
from quickstudy.files import require_place
from quickstudy.learner import Learner
from quickstudy.runs.kinds import LEARNER
from quickstudy.runs.saved import SavedRun
from quickstudy.settings.run import RunSettings
from quickstudy.settings.task_spec import TaskSpec

KIND = "adapted learner"
"""What the header calls an adapted file."""


def served(settings: RunSettings, problem: TaskSpec) -> Inputs:
    """The inputs of a run. Raises `UserError` where no file can be brought to them."""
    inputs = settings.tasks.inputs
    assert inputs is not None
    if isinstance(problem.shape, TokenShape) and inputs.tokenizer is None:
        raise UserError(
            "a learner of words around a blank adapts to no files: evaluate is what it is for"
        )
    if len(problem.shape) == 1 and inputs.scaling is None and inputs.tokenizer is None:
        raise UserError(
            "the run does not say how its features were scaled (an older quickstudy trained "
            "it): train it again"
        )
    return inputs


def inductive(saved: SavedRun) -> tuple[RunSettings, Learner]:
    """The settings and the learner of a run, with the option that makes predictions independent of
    each other where there is one."""
    learner = saved.learner()
    if learner.normalised_by == "batch" and "normalisation" in vars(saved.settings.learner):
        saved = saved.having(normalisation="support")
        return saved.settings, saved.learner()
    return saved.settings, learner


def may_write(out: Path, kind: str = KIND) -> None:
    """Raise `UserError` unless `out` is free, or a file of this kind to be replaced."""
    if not out.exists():
        require_place(out, "choose another --out")
        return
    try:
        ours = checkpoint.read_header(out).get("kind") == kind
    except UserError:
        ours = False
    if not ours:
        raise UserError(f"{out} exists and is not an {kind}: choose another --out")


def is_run(run: Path) -> None:
    """Raise `UserError` where `run` is a file, with what to give instead."""
    if not run.is_file():
        return
    if run.name == LEARNER.file:
        raise UserError(f"{run} is a file of a run: give the folder, {run.parent}")
    raise UserError(f"{run} is a file: give the folder of a run (to use an adapted one: predict)")


def unfit(
    run: str, settings: RunSettings, problem: TaskSpec, support: str, ways: int, error: ValueError
) -> UserError:
    """What to say when the learner cannot serve the support set."""
    trained = problem.likelihood.size
    if ways == trained:
        return UserError(f"{run} cannot adapt to {support}: {error}")
    return UserError(
        f"{support} has {ways} classes, but the {settings.learner.name} in {run} was trained for "
        f"{trained} and takes no other number: give it {trained}, train one with --way {ways}, or "
        "take protonet, which takes any"
    )
