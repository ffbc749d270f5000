"""Meta-training: the loop that is written once, for any learner.

A step samples a meta-batch of tasks, takes the meta-gradient on each, and updates the
meta-parameters. Steps run many at a time inside one compiled program, which samples its tasks on
the device; the host sees figures now and then.

Randomness is a function of (seed, step, index of the task in the meta-batch). So a run that was
interrupted and resumed ends in the same bits as one that was not.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy import checkpoint
from quickstudy.checkpoint import DamagedFile
from quickstudy.compilation import enable_compilation_cache
from quickstudy.errors import UserError
from quickstudy.evaluation import evaluate
from quickstudy.learner import Learner, Metrics
from quickstudy.metagradients import backpropagation
from quickstudy.progress import progress
from quickstudy.task import Task, TaskDistribution

SECONDS_PER_CALL = 1.0
"""About how long the host waits for the device: how fresh the progress is."""

SECONDS_PER_CHECKPOINT = 30.0

STEPS_PER_CALL = 4096
"""At most: the room for figures on the device."""

VALIDATION_SEED = 1_000_003
SETTLING_SEED = 1_000_033

MetaGradient = Callable[[Learner, Any, PRNGKeyArray], tuple[Learner, Metrics]]
"""(learner, task, key) -> (gradient with the learner's structure, metrics with `loss`)."""


@dataclass(frozen=True)
class Validation:
    """How the best of a run is chosen: on tasks from validation classes, every so many steps."""

    tasks: TaskDistribution
    every: int
    episodes: int = 200


class State(NamedTuple):
    """All that a run carries from step to step."""

    step: np.ndarray
    trained: PyTree
    """The meta-parameters ω: the learner's floating-point leaves."""
    optimizer: PyTree
    best: PyTree
    """ω where validation was best."""
    best_score: np.ndarray
    best_step: np.ndarray


class TrainingStopped(Exception):
    """A signal ended the run after a whole step; its checkpoint is written."""

    def __init__(self, step: int, signum: int):
        super().__init__(f"stopped at step {step}; the same command goes on from there")
        self.signum = signum


def meta_train(
    learner: Learner,
    tasks: TaskDistribution[Task],
    optimizer: optax.GradientTransformation,
    *,
    steps: int,
    meta_batch: int = 1,
    tasks_at_once: int | None = None,
    seed: int = 0,
    validation: Validation | None = None,
    meta_gradient: MetaGradient = backpropagation,
    folder: Path | None = None,
    configuration: dict[str, Any] | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    show_progress: bool = False,
) -> Learner:
    """Train ω for `steps` steps of `meta_batch` tasks each; returns the settled learner that
    was best on validation, or the last one without validation.

    The tasks of a meta-batch run `tasks_at_once` together: less memory and, on a CPU, more
    speed when few. With a `folder`, figures go to `metrics.jsonl` there and the state to
    `checkpoints/`, and a run that finds a checkpoint there goes on from it, bit for bit as if
    it had never stopped. `configuration` is kept beside it (plain JSON values).

    Raises `UserError` where the folder belongs to another configuration, or the loss is no
    longer a number; `TrainingStopped` after SIGINT or SIGTERM.

    >>> trained = meta_train(learner, tasks, optax.adam(1e-3), steps=1000)
    """
    enable_compilation_cache()
    at_once = tasks_at_once or default_tasks_at_once(tasks, meta_batch)
    if meta_batch % at_once:
        raise ValueError(f"a meta-batch of {meta_batch} does not divide into groups of {at_once}")
    trained, fixed = eqx.partition(learner, eqx.is_inexact_array)
    task_arrays, task_rest = eqx.partition(tasks, eqx.is_array)

    def gradient(trained: PyTree, tasks: TaskDistribution, key: PRNGKeyArray):
        """The mean meta-gradient of the meta-batch that `key` stands for."""
        learner = eqx.combine(trained, fixed)

        def of_task(index: Int[Array, ""]):
            for_task, for_learner = jax.random.split(jax.random.fold_in(key, index))
            gradient, metrics = meta_gradient(learner, tasks.sample(for_task), for_learner)
            return eqx.filter(gradient, eqx.is_inexact_array), metrics

        def of_group(indices: Int[Array, " at_once"]):
            if at_once == 1:
                return of_task(indices[0])
            return jax.tree.map(lambda x: jnp.mean(x, 0), jax.vmap(of_task)(indices))

        def add_group(total, indices):
            return jax.tree.map(jnp.add, total, of_group(indices)), None

        groups = jnp.arange(meta_batch).reshape(-1, at_once)
        if len(groups) == 1:
            return of_group(groups[0])
        zero = jax.tree.map(
            lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(of_group, groups[0])
        )
        total, _ = jax.lax.scan(add_group, zero, groups)
        return jax.tree.map(lambda x: x / len(groups), total)

    def step(trained: PyTree, state: PyTree, tasks: TaskDistribution, number: Int[Array, ""]):
        key = jax.random.fold_in(jax.random.key(seed), number)
        direction, metrics = gradient(trained, tasks, key)
        updates, state = optimizer.update(direction, state, trained)
        return optax.apply_updates(trained, updates), state, metrics

    @jax.jit
    def advance(trained, state, task_arrays, start, stop):
        """Steps start … stop - 1, and their metrics in the first places of the arrays."""
        tasks = eqx.combine(task_arrays, task_rest)
        shapes = jax.eval_shape(lambda: step(trained, state, tasks, start)[2])
        room = jax.tree.map(lambda s: jnp.zeros((STEPS_PER_CALL, *s.shape), s.dtype), shapes)

        def body(number, carry):
            trained, state, seen = carry
            trained, state, metrics = step(trained, state, tasks, number)
            seen = jax.tree.map(lambda s, m: s.at[number - start].set(m), seen, metrics)
            return trained, state, seen

        return jax.lax.fori_loop(start, stop, body, (trained, state, room))

    @eqx.filter_jit
    def settled(trained: PyTree, tasks: TaskDistribution) -> Learner:
        learner = eqx.combine(trained, fixed)
        return learner.settle(tasks, key=jax.random.key(SETTLING_SEED))

    state = State(
        step=np.asarray(0),
        trained=trained,
        optimizer=optimizer.init(trained),
        best=trained,
        best_score=np.asarray(np.nan),
        best_step=np.asarray(0),
    )
    log_every = max(1, min(steps // 500, 100))
    record = Record(folder, configuration or {})
    state = record.resume(state)
    done = int(state.step)
    last_checkpoint = time.monotonic()
    per_call, compiled = log_every, False

    with (
        listen_for_signals() as signals,
        progress("training", steps, done=done, show=show_progress) as reporter,
    ):
        while done < steps:
            boundary = steps
            if validation is not None:
                boundary = min(steps, (done // validation.every + 1) * validation.every)
            stop = min(boundary, done - done % log_every + per_call)
            started = time.monotonic()
            trained, optimizer_state, seen = advance(
                state.trained, state.optimizer, task_arrays, done, stop
            )
            metrics = {k: np.asarray(v)[: stop - done] for k, v in jax.device_get(seen).items()}
            if compiled:
                seconds = (time.monotonic() - started) / (stop - done)
                fitting = int(SECONDS_PER_CALL / seconds) // log_every * log_every
                per_call = max(log_every, min(fitting, STEPS_PER_CALL // log_every * log_every))
            compiled = True
            state = state._replace(
                step=np.asarray(stop), trained=trained, optimizer=optimizer_state
            )
            finite = np.isfinite(metrics["loss"])
            if not finite.all():
                raise UserError(
                    f"the loss is not a number at step {done + int(np.argmin(finite)) + 1}: "
                    "try a smaller learning rate (--learning-rate)"
                )
            record.log(done, metrics, log_every, time.monotonic() - started)
            done = stop
            if validation is not None and (done % validation.every == 0 or done == steps):
                result = evaluate(
                    settled(trained, tasks),
                    validation.tasks,
                    episodes=validation.episodes,
                    seed=VALIDATION_SEED,
                )
                score = result.estimate().mean
                sign = 1 if result.higher_is_better else -1
                if np.isnan(state.best_score) or sign * score > sign * float(state.best_score):
                    state = state._replace(
                        best=trained, best_score=np.asarray(score), best_step=np.asarray(done)
                    )
                record.log_validation(done, result.headline, score)
            due = time.monotonic() - last_checkpoint >= checkpoint_seconds
            if due or signals.received or done == steps:
                record.save(state)
                last_checkpoint = time.monotonic()
            if signals.received and done < steps:
                raise TrainingStopped(done, signals.received[0])
            note = "  ".join(f"{k} {float(np.mean(v)):.3f}" for k, v in metrics.items())
            reporter.at(done, note)
    return settled(state.best if validation is not None else state.trained, tasks)


def default_tasks_at_once(tasks: TaskDistribution, meta_batch: int) -> int:
    """One at a time for images on a CPU, whose caches a single task fills; else all of them."""
    inputs = jax.eval_shape(tasks.sample, jax.random.key(0))
    largest = max(leaf.size for leaf in jax.tree.leaves(inputs))
    return 1 if jax.default_backend() == "cpu" and largest > 2000 else meta_batch


class Signals:
    """Those received so far."""

    def __init__(self) -> None:
        self.received: list[int] = []


@contextmanager
def listen_for_signals() -> Iterator[Signals]:
    """Collect SIGINT and SIGTERM instead of dying of them; a second one acts as usual."""
    signals = Signals()
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        before.clear()

    def receive(number: int, frame: Any) -> None:
        signals.received.append(number)
        restore()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, receive)
    except ValueError:  # not in the main thread, where Python handles no signals
        before.clear()
    try:
        yield signals
    finally:
        restore()


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
        self.metrics = folder / "metrics.jsonl"
        self.checkpoints = folder / "checkpoints"
        written = folder / "config.json"
        if written.exists():
            self._compare(written)
        else:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UserError(
                    f"{folder} exists and is not a run of quickstudy: choose another --run folder"
                )
            checkpoint.write_atomically(
                written, json.dumps(self.configuration, indent=2).encode() + b"\n"
            )

    def _compare(self, written: Path) -> None:
        try:
            found = json.loads(written.read_text())
        except ValueError as error:
            raise UserError(f"{written} is damaged: choose another --run folder") from error
        if found != self.configuration:
            words = sorted(found.keys() | self.configuration.keys())
            differ = [
                f"{word} {found.get(word)!r} there, {self.configuration.get(word)!r} now"
                for word in words
                if found.get(word) != self.configuration.get(word)
            ]
            raise UserError(
                f"{written.parent} belongs to another configuration ({'; '.join(differ)}): "
                "choose another --run folder"
            )

    def resume(self, state: State) -> State:
        """The newest whole checkpoint, or `state` where there is none. A damaged one is passed
        over for the one before it, and said so on standard error."""
        if self.folder is None:
            return state
        for path in sorted(self.checkpoints.glob("step-*.qs"), reverse=True):
            try:
                state, _ = checkpoint.load(path, state)
            except DamagedFile as error:
                warn(f"{error}; falling back to the checkpoint before it")
                continue
            break
        self._cut_metrics(int(state.step))
        return state

    def _cut_metrics(self, step: int) -> None:
        """Forget the figures of steps that will be taken again."""
        if self.metrics.exists():
            lines = [x for x in self.metrics.read_text().splitlines() if x.endswith("}")]
            kept = [x for x in lines if json.loads(x)["step"] <= step]
            content = "".join(x + "\n" for x in kept).encode()
            checkpoint.write_atomically(self.metrics, content)

    def save(self, state: State) -> None:
        """Write a checkpoint and keep the one before it."""
        if self.folder is None:
            return
        path = self.checkpoints / f"step-{int(state.step):09d}.qs"
        header = {"step": int(state.step), "configuration": self.configuration}
        checkpoint.save(path, state, {**header, "jax": jax.__version__})
        for old in sorted(self.checkpoints.glob("step-*.qs"))[:-2]:
            old.unlink(missing_ok=True)

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
                "seconds": seconds * (block.stop - block.start) / count,
            }
            for block in blocks
        )

    def seconds(self) -> float:
        """Time spent on steps, compiling included, validation not."""
        if self.folder is None or not self.metrics.exists():
            return 0.0
        rows = map(json.loads, self.metrics.read_text().splitlines())
        return sum(row.get("seconds", 0.0) for row in rows)

    def log_validation(self, step: int, metric: str, score: float) -> None:
        """One line with the validation figure."""
        self._append([{"step": step, f"validation {metric}": score}])

    def _append(self, rows: Any) -> None:
        if self.folder is None:
            return
        try:
            with open(self.metrics, "a") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        except OSError as error:
            raise UserError(
                f"cannot write {self.metrics}: {error.strerror}; free some space and run the same "
                "command again: it goes on from the last checkpoint"
            ) from error


def warn(message: str) -> None:
    """One line on standard error."""
    import sys

    print(f"quickstudy: {message}", file=sys.stderr, flush=True)
