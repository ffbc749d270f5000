"""The host's loop of training: how many steps to ask for, and what to do with their figures.

The device takes many steps at a time. After each call the host logs figures, validates and saves
where it is time to, and stops after a signal.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, PyTree

from quickstudy.devices import is_first_process, largest_of_all, replicate
from quickstudy.errors import UserError
from quickstudy.evaluation import Result, evaluate
from quickstudy.progress import Reporter, progress
from quickstudy.record import Record
from quickstudy.signals import Signals
from quickstudy.task import TaskDistribution
from quickstudy.tasks.mapped import Fetch, read_ahead
from quickstudy.training.program import STEPS_PER_CALL, Fixed, Program, State, Updated
from quickstudy.training.seeds import SeedRun, key_of_task, unstack

SECONDS_PER_CALL = 1.0
"""About how long the host waits for the device: how fresh the progress is."""

VALIDATION_SEED = 1_000_003

Watched = dict[str, Float[np.ndarray, "steps runs"]]


@dataclass(frozen=True)
class Validation:
    """How the best of a run is chosen: on tasks from validation classes, before the first step,
    every so many steps, and at the end."""

    tasks: TaskDistribution
    every: int
    episodes: int = 200
    patience: int | None = None
    """Training ends after so many looks in a row that were no better than the best before."""
    beside: str = ""
    """What progress shows beside the figures of validation, such as an opponent's."""

    def waited(self, step: int, best: int) -> bool:
        """Whether patience is over at a step, where the best of validation was at step `best`.

        >>> Validation(tasks, every=100, patience=3).waited(step=450, best=100)
        True
        """
        looks = step // self.every - best // self.every
        return self.patience is not None and looks >= self.patience


class TrainingStopped(Exception):
    """A signal ended the run after a whole step; its checkpoint is written."""

    def __init__(self, step: int, signum: int):
        super().__init__(f"stopped at step {step}; the same command goes on from there")
        self.signum = signum


class NoRoomTogether(Exception):
    """The memory does not hold these runs trained together."""


@dataclass
class Underway:
    """One of the runs, its files, and how far it is."""

    of: SeedRun
    record: Record
    state: State
    validated: str = ""
    """The newest figure of validation, for progress."""
    best: Result | None = None
    """What validation found where it was best; None where an earlier process looked."""


class Pace:
    """How many steps to ask for: as many as take `SECONDS_PER_CALL`, in whole lines of figures."""

    def __init__(self, every: int):
        self.every = self.steps = every

    def stop(self, done: int) -> int:
        """Return the step to stop at when `done` steps are taken."""
        return done - done % self.every + self.steps

    def measured(self, steps: int, seconds: float) -> None:
        """Adapt to the time that so many steps took."""
        fitting = int(SECONDS_PER_CALL * steps / seconds) // self.every * self.every
        most = STEPS_PER_CALL // self.every * self.every
        self.steps = max(self.every, min(fitting, most))


@dataclass
class Loop:
    """Trains `runs` to the last step with one program."""

    program: Program
    runs: Sequence[Underway]
    steps: int
    validation: Validation | None
    checkpoint_seconds: float
    signals: Signals
    show_progress: bool
    seconds: float | None = None
    """A training ends after the call in which so many seconds have passed."""
    compiled: dict[int, jax.stages.Compiled] = field(default_factory=dict)
    """The program for each number of runs together."""

    def __post_init__(self):
        arrays = eqx.filter(self.program.tasks, eqx.is_array)
        self.task_arrays = replicate(arrays, self.program.mesh)
        self.log_every = max(1, min(self.steps // 500, 100))

    def trained(self, group: Sequence[Underway]) -> Iterator[Underway]:
        """Train runs that stand at one step; yield each once it has taken the last step. They
        train one after the other where the memory does not hold them together."""
        alone: Sequence[Underway] = ()
        try:
            self.train(group)
        except NoRoomTogether:
            alone = group
        else:
            yield from group
        for run in alone:
            yield from self.trained([run])

    def train(self, group: Sequence[Underway]) -> None:
        """Train runs together, and show progress. Raises `NoRoomTogether`."""
        done, seeds = int(group[0].state.step), [run.of.seed for run in group]
        title = "training"
        if len(self.runs) > 1:  # which of them
            title += f" seed {', '.join(map(str, seeds))}"
        show = self.show_progress and is_first_process()
        keys = key_of_task(seeds, self.program.meta_batch)
        with (
            progress(title, self.steps, done=done, show=show) as reporter,
            read_ahead(self.program.tasks, keys) as fetch,
        ):
            if done < self.steps and not self.waited(group):
                self.advance(group, reporter, fetch)

    def waited(self, group: Sequence[Underway]) -> bool:
        """Whether patience is over for all of these runs."""
        steps = [(int(run.state.step), int(run.state.best_step)) for run in group]
        return self.validation is not None and all(self.validation.waited(*of) for of in steps)

    def advance(self, group: Sequence[Underway], reporter: Reporter, fetch: Fetch) -> None:
        """Take the steps that are left until patience or time is over, and do after each call what
        is due."""
        count, done, began = len(group), int(group[0].state.step), time.monotonic()
        updated, fixed = self.program.on_devices(
            [run.of for run in group], [run.state for run in group]
        )
        saved, pace = time.monotonic(), Pace(self.log_every)
        if done == 0:  # what is not trained may be the best
            for run in group:
                self.validate(run)
        advance = self.compiled_for(group, updated, fixed)
        ended = False
        while not ended:
            stop = min(self.boundary(done), pace.stop(done))
            tasks = self.program.meta_batch * count
            fetch(done * tasks, min(self.steps, 2 * stop - done) * tasks)
            started = time.monotonic()
            updated, seen = advance(
                updated, fixed, self.task_arrays, np.int32(done), np.int32(stop)
            )
            figures: Watched = {
                k: np.asarray(v)[: stop - done].reshape(-1, count)
                for k, v in jax.device_get(seen).items()
            }
            now = time.monotonic()
            seconds, unsaved, spent, signum = largest_of_all(
                now - started, now - saved, now - began, max(self.signals.received, default=0)
            )
            late = self.seconds is not None and spent >= self.seconds
            pace.measured(stop - done, seconds)
            self.require_finite(figures["loss"], done, group)
            for place, (run, own) in enumerate(zip(group, unstack(updated, count), strict=True)):
                of_run = {k: v[:, place] for k, v in figures.items()}
                run.record.log(done, of_run, self.log_every, float(seconds) / count)
                run.state = run.state._replace(step=np.asarray(stop), **own._asdict())
                self.validate(run, last=late or stop == self.steps)
            ended = late or stop == self.steps or self.waited(group)
            if unsaved >= self.checkpoint_seconds or signum or ended:
                for run in group:
                    run.record.save(run.state)
                saved = time.monotonic()
            done = stop
            if signum and not ended:
                raise TrainingStopped(done, int(signum))
            words = [f"{k} {float(np.mean(v)):.3f}" for k, v in figures.items()]
            reporter.at(done, "  ".join([*words, *(run.validated for run in group)]))

    def compiled_for(
        self, group: Sequence[Underway], updated: Updated, fixed: Fixed
    ) -> jax.stages.Compiled:
        """Compile the program for so many runs, if it is not yet. Raises `NoRoomTogether`, or
        `UserError` where the memory does not even hold one run."""
        count, started = len(group), time.monotonic()
        if count not in self.compiled:
            try:
                program = self.program.compiled(updated, fixed, self.task_arrays)
            except UserError as error:
                if count == 1:
                    raise
                raise NoRoomTogether from error
            self.compiled[count] = program
            for run in group:
                seconds = (time.monotonic() - started) / count
                run.record.log_compiling(int(run.state.step), seconds)
        return self.compiled[count]

    def boundary(self, done: int) -> int:
        """Return the next step after which the host validates, or the last one."""
        if self.validation is None:
            return self.steps
        return min(self.steps, (done // self.validation.every + 1) * self.validation.every)

    def require_finite(
        self, loss: Float[np.ndarray, "steps runs"], done: int, group: Sequence[Underway]
    ) -> None:
        """Raise `UserError` that names the step after `done` (and the seed, where there are
        several) at which the loss is not a number."""
        if np.isfinite(loss).all():
            return
        at, place = np.argwhere(~np.isfinite(loss))[0]
        whose = f" of seed {group[place].of.seed}" if len(self.runs) > 1 else ""
        raise UserError(
            f"the loss{whose} is not a number at step {done + at + 1}: "
            "try a smaller learning rate (--learning-rate)"
        )

    def validate(self, run: Underway, last: bool = False) -> None:
        """Measure a run where it is time to, and keep its ω as the best, if it is; not of one that
        only goes on because runs beside it do."""
        validation, state = self.validation, run.state
        step, best = int(state.step), int(state.best_step)
        if validation is None or (step % validation.every and not last):
            return
        if validation.waited(step - validation.every, best):
            return
        result = evaluate(
            self.program.settled(run.of, state.trained),
            validation.tasks,
            episodes=validation.episodes,
            seed=VALIDATION_SEED,
        )
        score = result.estimate().mean
        sign = 1 if result.higher_is_better else -1
        if np.isnan(state.best_score) or sign * score > sign * float(state.best_score):
            run.state = state = state._replace(
                best=state.trained, best_score=np.asarray(score), best_step=state.step
            )
            run.best = result
        run.record.log_validation(step, result.headline, score)
        best_words = f"{float(state.best_score):.3f} at {int(state.best_step)}"
        beside = f"; {validation.beside}" if validation.beside else ""
        run.validated = f"validation {result.headline} {score:.3f} (best {best_words}{beside})"

    def result(self, run: Underway) -> PyTree:
        """Return ω where validation was best, or the last ω without validation."""
        return run.state.trained if self.validation is None else run.state.best
