"""Runs from settings: a learner and its tasks put together, trained, saved, loaded and measured."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from quickstudy import checkpoint, memory
from quickstudy.checkpoint import DamagedFile
from quickstudy.data.inputs import Inputs, TokenShape
from quickstudy.data.kind import Classes, input_shape
from quickstudy.data.registry import kind_of
from quickstudy.data.seen import warn_of_seen_classes
from quickstudy.datasets.kept import NOT_KEPT, ClassSplit
from quickstudy.devices import from_first_process, is_first_process, text_from_first_process
from quickstudy.errors import UserError
from quickstudy.evaluation import Met, Result, average, evaluate
from quickstudy.learner import Learner
from quickstudy.likelihood import LETTERS, Categorical, Letters, Likelihood, RealTargets
from quickstudy.networks.network import Network
from quickstudy.record import Record
from quickstudy.runs.evidence import provenance
from quickstudy.runs.folders import SPLIT_FILE, kept_split, run_file, seeds_in
from quickstudy.runs.tasks import (
    asked_tasks,
    episode_tasks,
    for_what_is_there,
    require_kind,
    training_source,
    training_tasks,
)
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.optax_optimizer import optax_optimizer
from quickstudy.settings.run import WAYS, Asking, RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.settings.training import TrainingSettings
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.terminal import say_once, warn
from quickstudy.training import SECONDS_PER_CHECKPOINT, SeedRun, Validation, meta_train_seeds

LEARNER_SIZES, EPISODE_SIZES = "--hidden, --filters", "--way, --shot and --query"
"""The options that decide how much memory is needed."""

LEARNER_FILE = "learner.qs"
TRAINED = resources.files("quickstudy.learners") / "trained"
"""The learners that the package brings along."""


def problem_of(settings: RunSettings) -> TaskSpec:
    """What the learner is built for. Raises `UserError` where it does not read such tasks."""
    require_kind(settings.learner, settings.tasks)
    classes = training_source(settings)
    if classes is None:
        t = settings.tasks
        tasks = episode_tasks(t, "train", t.way, t.shot, t.query)
        task = jax.eval_shape(tasks.sample, jax.random.key(0))
        return TaskSpec(task.query.x.shape[1:], task.likelihood, None)
    return TaskSpec(
        input_shape(classes),
        Letters() if settings.tasks.letters else Categorical(settings.tasks.way or WAYS),
        classes.classes,
        description_shape(settings.tasks),
    )


def description_shape(tasks: TaskSettings) -> tuple[int, ...] | None:
    """The shape of the description of one class; None where support sets hold examples."""
    if not tasks.zero_shot:
        return None
    described = cast(Classes, tasks.data).described("train")
    return jax.eval_shape(lambda: described.describe(jnp.asarray(0))).shape


def outer_optimizer(training: TrainingSettings) -> optax.GradientTransformation:
    """What takes the meta-steps, with the decay asked for."""
    assert training.learning_rate is not None
    assert training.meta_optimizer is not None
    rate: float | optax.Schedule = training.learning_rate
    steps = training.steps or 1
    if training.decay == "halve":
        rate = optax.exponential_decay(rate, training.halve_every, 0.5, staircase=True)
    elif training.decay == "cosine":
        rate = optax.cosine_decay_schedule(rate, steps)
    elif training.decay == "linear":
        rate = optax.linear_schedule(rate, 0.0, steps)
    optimizer = optax_optimizer(training.meta_optimizer, rate)
    if training.clip is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(training.clip), optimizer)


def build(settings: LearnerSettings, problem: TaskSpec, seed: int) -> Learner:
    """The untrained learner. Raises `UserError` where it cannot serve the problem."""
    try:
        return settings.build(problem, jax.random.fold_in(jax.random.key(seed), 2**31 - 1))
    except ValueError as error:
        raise UserError(f"{settings.name}: {error}") from error


class Plan(NamedTuple):
    """What a run trains its learner for, on and by."""

    problem: TaskSpec
    training: TaskDistribution[Any]
    validation: TaskDistribution[Episode]


def plan(settings: RunSettings) -> Plan:
    """The plan of a run with all options `resolved`, before anything is computed.

    Raises `UserError` where the learner cannot be built for the tasks, or does not take the
    training tasks or the validation tasks: both are tried by shapes alone.
    """
    t = settings.tasks
    problem = problem_of(settings)
    learner = eqx.filter_eval_shape(lambda: build(settings.learner, problem, 0))
    memory.require_room(learner, LEARNER_SIZES)
    made = Plan(
        problem,
        training_tasks(settings),
        episode_tasks(t, "validation", t.way, t.shot, t.query),
    )
    in_training = f"--train-way {t.train_way} --train-shot {t.train_shot}"
    for what, options, tried in (
        ("training", f"{in_training} --train-query {t.train_query}", trains_on),
        ("validation", f"--way {t.way} --shot {t.shot} --query {t.query}", predicts),
    ):
        try:
            tried(learner, made)
        except ValueError as error:
            raise UserError(
                f"{settings.name} does not take its {what} tasks ({options}): {error}"
            ) from error
    return made


def trains_on(learner: Learner, made: Plan) -> Any:
    """The shapes of the meta-objective and its figures on a training task. Raises `ValueError`
    where the learner does not take it."""

    def program(learner: Learner, key: PRNGKeyArray):
        first = cast(Learner, learner.at_step(jnp.asarray(0)))
        return first.loss(made.training.sample(key), key=key)

    return eqx.filter_eval_shape(program, learner, jax.random.key(0))


def predicts(learner: Learner, made: Plan) -> Any:
    """The shapes of the figures of a validation task, once the learner is settled. Raises
    `ValueError` where it does not take the task."""

    def program(learner: Learner, key: PRNGKeyArray):
        task = made.validation.sample(key)
        settled = cast(Learner, learner.settle(made.training, key=key))
        return settled.figures(task, key=key)

    return eqx.filter_eval_shape(program, learner, jax.random.key(0))


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is trained, once the data is known."""

    settings: RunSettings
    """Resolved: with the classes that a run has kept, and ways for as many as there are."""
    split: ClassSplit | None
    """The names of the classes that the run keeps, if it keeps any."""
    notes: tuple[str, ...]
    """What to say before the first step, a line each."""


def prepared(settings: RunSettings, folders: Collection[Path]) -> Prepared:
    """For a training in these folders. All processes take the classes of the first."""
    tasks = settings.tasks
    split, notes = None, []
    if kind_of(tasks.tasks).keeps_classes:
        kept = kept_split(folders, tasks) if is_first_process() else None
        found = json.loads(text_from_first_process(json.dumps(kept and kept.to_json())))
        if found is not None:
            kept = ClassSplit(**{part: tuple(names) for part, names in found.items()})
        tasks = dataclasses.replace(tasks, classes=kept)
        split = kept if kept not in (None, NOT_KEPT) else tasks.data.split()
        assert split is not None
        mine = json.dumps(split.to_json())
        if text_from_first_process(mine) != mine:
            raise UserError(f"{tasks.tasks} has other classes here than in the first process")
        if split.validates_on_training_classes:
            notes.append(
                f"{tasks.tasks} has too few classes for validation classes of their own: "
                f"{len(split.train)} to train on, {len(split.test)} to test on. Validation is on "
                "the training classes: its figures are NO evidence for new classes"
            )
    settings, said = for_what_is_there(dataclasses.replace(settings, tasks=tasks))
    return Prepared(settings.resolved(), split, (*notes, said) if said else tuple(notes))


def train(
    settings: RunSettings,
    run: Path,
    *,
    devices: int | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    show_progress: bool = True,
) -> Learner:
    """Train in the folder `run`, or go on there, and leave the learner in `learner.qs`.

    Raises `UserError` for what the user can put right, `TrainingStopped` after a signal.
    """
    [learner] = _train(
        prepared(settings, [run]),
        {settings.training.seed: run},
        devices=devices,
        checkpoint_seconds=checkpoint_seconds,
        show_progress=show_progress,
    )
    return learner


def train_seeds(
    settings: RunSettings,
    runs: Mapping[int, Path],
    *,
    devices: int | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    show_progress: bool = True,
) -> None:
    """`train` from each of several seeds, in a folder each, on the same classes: together on an
    accelerator, one after the other on a CPU. Those that are finished are left as they are.

    Raises as `train` does.
    """
    ready = prepared(settings, runs.values())
    finished = from_first_process(
        np.asarray([(run / LEARNER_FILE).exists() for run in runs.values()])
    )
    rest = {}
    for (seed, run), done in zip(runs.items(), finished, strict=True):
        if not done:
            rest[seed] = run
        elif is_first_process():
            Record(run, ready.settings.with_seed(seed).to_json())  # refuses other settings
    if rest:
        _train(
            ready,
            rest,
            devices=devices,
            checkpoint_seconds=checkpoint_seconds,
            show_progress=show_progress,
        )


@memory.named(f"{LEARNER_SIZES}, --train-way, --train-shot and --train-query")
def _train(
    ready: Prepared,
    runs: Mapping[int, Path],
    *,
    devices: int | None,
    checkpoint_seconds: float,
    show_progress: bool,
) -> list[Learner]:
    settings, split = ready.settings, ready.split
    evidence = provenance()
    t, training = settings.tasks, settings.training
    problem, tasks, validation_tasks = plan(settings)
    kept = problem_to_json(problem)  # what could not be loaded again is not trained
    assert training.steps is not None
    assert training.meta_batch is not None
    assert training.validate_every is not None
    validation = Validation(
        validation_tasks,
        training.validate_every,
        training.validation_episodes,
    )
    inputs = t.data.inputs(problem.shape)
    optimizer = outer_optimizer(training)
    seeds = [
        SeedRun(
            seed, build(settings.learner, problem, seed), run, settings.with_seed(seed).to_json()
        )
        for seed, run in runs.items()
    ]
    if is_first_process():
        for one in seeds:
            keep(split, one)
        ink = t.data.ink("train")
        for note in (f"{t.tasks} is read as {ink}" if ink else "", *ready.notes):
            if note:
                warn(note)
    trained = meta_train_seeds(
        seeds,
        tasks,
        optimizer,
        steps=training.steps,
        meta_batch=training.meta_batch,
        tasks_at_once=training.tasks_at_once,
        devices=devices,
        validation=validation,
        meta_gradient=settings.learner.meta_gradient(),
        checkpoint_seconds=checkpoint_seconds,
        show_progress=show_progress,
    )
    learners = []
    for run, learner in trained:
        learners.append(learner)
        if not is_first_process():
            continue
        assert run.folder is not None
        configuration = settings.with_seed(run.seed).to_json()
        header = {
            "configuration": configuration,
            "problem": kept,
            "inputs": inputs.to_json(),
            "split": split and split.to_json(),
            "provenance": evidence,
            "seconds": Record(run.folder, configuration).seconds(),
        }
        checkpoint.save(run.folder / LEARNER_FILE, learner, header)
    return learners


def keep(split: ClassSplit | None, run: SeedRun) -> None:
    """Write the names of the classes into the run's folder, if it keeps any and they are not
    there: before the first step, beside `config.json`. Raises `UserError` where the folder is
    another run's."""
    assert run.folder is not None
    assert run.configuration is not None
    Record(run.folder, run.configuration)
    path = run.folder / SPLIT_FILE
    if split is not None and not path.exists():
        content = json.dumps(split.to_json(), indent=1).encode() + b"\n"
        checkpoint.write_atomically(path, content)


def problem_to_json(problem: TaskSpec) -> dict[str, Any]:
    """Describe a problem in plain JSON values, from which `problem_from_json` makes it again.

    Raises `UserError` where its likelihood cannot be made again.
    """
    return {
        "shape": list(problem.shape),
        "vocabulary": getattr(problem.shape, "vocabulary", None),
        **likelihood_to_json(problem.likelihood),
        "training_classes": problem.training_classes,
        "description": problem.description and list(problem.description),
    }


def problem_from_json(found: dict[str, Any]) -> TaskSpec:
    """Make the problem that `problem_to_json` has described. Raises `UserError` where its
    likelihood is not defined in this process."""
    shape = tuple(found["shape"])
    if (tokens := found.get("vocabulary")) is not None:
        shape = TokenShape(shape, tokens)
    description = found.get("description")  # older runs say nothing of it
    return TaskSpec(
        shape,
        likelihood_from_json(found),
        found["training_classes"],
        description and tuple(description),
    )


def likelihood_to_json(likelihood: Likelihood) -> dict[str, Any]:
    """Describe a likelihood by its class and all its fields.

    Raises `UserError` where these are not enough to make it again, as for fields that are arrays:
    a learner of such tasks could be saved but not loaded.

    >>> likelihood_to_json(Gaussian(1, scale=0.1))
    {'likelihood': 'Gaussian', 'size': 1, 'fields': {'size': 1, 'scale': 0.1}}
    """
    cls = type(likelihood)
    fields = {f.name: getattr(likelihood, f.name) for f in dataclasses.fields(likelihood)}
    found = {"likelihood": full_name(cls), "size": likelihood.size, "fields": fields}
    try:
        same = likelihood_from_json(json.loads(json.dumps(found))) == likelihood
    except (TypeError, ValueError):
        same = False
    if not same:
        raise UserError(
            f"{cls.__name__} cannot be saved with a run: a likelihood is made again from its "
            "fields, which must be numbers, words or tuples of them, and arguments of its class"
        )
    return found


def likelihood_from_json(found: dict[str, Any]) -> Likelihood:
    """Make the likelihood that `likelihood_to_json` has described. Nothing is imported: its class
    is one of the project's, or of the program that loads it. Raises `UserError` where it is
    neither.
    """
    known = {full_name(kind): kind for kind in kinds_of(Likelihood)}
    name = found["likelihood"]
    if name not in known:
        raise UserError(
            f"a run with the likelihood {name} can be loaded only where that class is defined: "
            "import its module first"
        )
    fields = found.get("fields", {"size": found["size"]})  # older runs keep no other field
    make: Any = known[name]
    return make(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def kinds_of(kind: type) -> Iterator[type]:
    """All classes below this one that are defined in this process."""
    for below in kind.__subclasses__():
        yield below
        yield from kinds_of(below)


def full_name(kind: type[Likelihood]) -> str:
    """The name of a class, with its module where that is not the project's."""
    own = kind.__module__ == Likelihood.__module__
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def saved_settings(where: Path, header: dict[str, Any]) -> RunSettings:
    """The settings of a learner, and the inputs that it takes, from the header of its file; `where`
    is what a user knows it by. Says on standard error where an older quickstudy did not keep what
    is ink."""
    settings = RunSettings.from_json(header["configuration"])
    tasks, shape = settings.tasks, tuple(header["problem"]["shape"])
    if "inputs" in header:
        inputs = Inputs.from_json(header["inputs"])
    else:
        inputs = tasks.data.older_inputs(shape, header.get("scaling"))
        if inputs.ink == "auto" and kind_of(tasks.tasks).own:
            say_once(
                f"{where} does not say what is ink in its images (an older quickstudy trained it): "
                "dark or light is decided from the images at hand"
            )
    inputs = dataclasses.replace(inputs, learner=f"the learner in {where}")
    tasks = dataclasses.replace(tasks, inputs=inputs, classes=saved_classes(where, tasks, header))
    return dataclasses.replace(settings, tasks=tasks)


def saved_classes(where: Path, tasks: TaskSettings, header: dict[str, Any]) -> ClassSplit | None:
    """The classes that a run has kept of the user's own data, from the header of its learner."""
    if not kind_of(tasks.tasks).keeps_classes:
        return None
    if (found := header.get("split")) is None:  # older runs say nothing of it
        return NOT_KEPT
    try:
        return ClassSplit.from_json(found)
    except ValueError as error:
        raise DamagedFile(f"the learner in {where} is damaged: {error}") from error


class Blank(TaskDistribution[Episode]):
    """Tasks of zeros for the problem: enough to learn the structure of a settled learner."""

    problem: TaskSpec = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Episode:
        shape, likelihood = self.problem.shape, self.problem.likelihood
        x = jnp.zeros((2, *shape), int if isinstance(shape, TokenShape) else float)
        if isinstance(likelihood, RealTargets):
            y = jnp.zeros((2, likelihood.targets))
        else:
            y = jnp.zeros((2, LETTERS) if isinstance(likelihood, Letters) else 2, int)
        return Episode(Examples(x, y), Examples(x, y), likelihood)

    def protocol(self) -> dict[str, Any]:
        return {"data": "blank"}


def skeleton(settings: RunSettings, problem: TaskSpec) -> Any:
    """The structure of the settled learner, with shapes for arrays."""

    def settled():
        learner = build(settings.learner, problem, 0)
        return learner.settle(Blank(problem), key=jax.random.key(0))

    return eqx.filter_eval_shape(settled)


def load_learner(run: Path, **options: Any) -> tuple[RunSettings, TaskSpec, Learner]:
    """A trained run. `options` change options of the learner that training does not depend on,
    such as `normalisation` or `test_steps`.

    Raises `UserError` where `run` is no finished run, or the learner has no such option.
    """
    return load_learner_file(run_file(run, LEARNER_FILE), **options)


def shipped_learner(name: str) -> tuple[RunSettings, TaskSpec, Learner]:
    """A trained learner that comes with the package: `tables`, of the kind `in-context`."""
    with resources.as_file(TRAINED / f"{name}.qs") as file:
        return load_learner_file(file)


def load_learner_file(path: Path, **options: Any) -> tuple[RunSettings, TaskSpec, Learner]:
    """`load_learner` from the file itself."""
    header = checkpoint.read_header(path)
    settings = saved_settings(path.parent, header)
    problem = problem_from_json(header["problem"])
    known = {f.name for f in dataclasses.fields(settings.learner)}
    for name in options:
        if name not in known:
            raise UserError(f"{settings.learner.name} has no --{name.replace('_', '-')}")
    settings = dataclasses.replace(
        settings, learner=dataclasses.replace(settings.learner, **options)
    )
    learner, _ = checkpoint.load(path, skeleton(settings, problem))
    return settings, problem, learner


def load_seeds(run: Path, **options: Any) -> dict[int, tuple[RunSettings, TaskSpec, Learner]]:
    """A trained run by its seed; or all seeds that are trained in a folder of several.

    Raises `UserError` as `load_learner` does, and where they differ in more than the seed.
    """
    seeds = seeds_in(run)
    if not seeds:
        loaded = load_learner(run, **options)
        return {loaded[0].training.seed: loaded}
    found = {seed: load_learner(path, **options) for seed, path in seeds.items()}
    first = next(iter(found))
    for seed, (settings, _, _) in found.items():
        if settings.with_seed(first) != found[first][0]:
            raise UserError(
                f"{seeds[seed]} differs from {seeds[first]} in more than the seed: "
                "keep them in different folders, and compare those"
            )
    return found


def measure_seeds(
    loaded: Mapping[int, tuple[RunSettings, TaskSpec, Learner]], **options: Any
) -> tuple[Result, dict[int, Result]]:
    """`measure` each seed on the same episodes: the `average` of several, or the result of one;
    and that of each."""
    each = {
        seed: measure(settings, learner, **options)
        for seed, (settings, _, learner) in loaded.items()
    }
    return (average(each) if len(each) > 1 else next(iter(each.values()))), each


BATCH_NORM = {
    "batch": "batch statistics (transductive)",
    "support": "support statistics (inductive)",
    "running": "training statistics (inductive)",
}


def batch_norm_words(learner: Learner) -> str:
    """Say for a protocol whose batch statistics normalise queries. A learner of the user's own that
    does not say it (`Learner.normalised_by`) at least says whether it is transductive."""
    if learner.normalised_by is not None:
        return BATCH_NORM[learner.normalised_by]
    parts = jax.tree.leaves(learner, is_leaf=lambda x: isinstance(x, Network))
    if not any(isinstance(x, Network) and x.normalises for x in parts):
        return "none"
    return BATCH_NORM["batch"] if learner.transductive else "statistics of other inputs (inductive)"


def learner_protocol(settings: LearnerSettings, learner: Learner) -> dict[str, Any]:
    """The words that name a learner beside a result."""
    words: dict[str, Any] = {"learner": settings.name, "batch norm": batch_norm_words(learner)}
    for field in ("test_steps", "steps"):
        if hasattr(learner, field):
            words["steps at test"] = getattr(learner, field)
    return words


def require_inputs(
    tasks: TaskSettings, part: str, inputs: Inputs, distribution: TaskDistribution[Episode]
) -> None:
    """Raise `UserError` unless the tasks have inputs like those of the training. Says on standard
    error how images are read, where the run has not decided or most of them look otherwise."""
    x = jax.eval_shape(distribution.sample, jax.random.key(0)).query.x
    inputs.require_shape(tasks.tasks, x.shape[2:] if tasks.verify else x.shape[1:])
    if tasks.data.is_bytes and not tasks.data.own:
        inputs.require_units(tasks.tasks)
    ink = tasks.data.ink(part)
    if ink is not None and (inputs.ink == "auto" or ink.otherwise > 0.5):
        say_once(f"{tasks.tasks} is read as {ink}{'' if inputs.ink == 'auto' else IN_TRAINING}")


IN_TRAINING = ", as in training"


@memory.named(EPISODE_SIZES)
def measure(
    settings: RunSettings,
    learner: Learner,
    *,
    tasks: TaskSettings | None = None,
    part: str = "test",
    episodes: int = 1000,
    seed: int = 0,
    asking: Asking | None = None,
    called: str = "the run",
    show_progress: bool = True,
) -> Result:
    """`evaluate` on one split of `tasks` (by default the run's own), protocol filled in; once
    labels have been asked for, if `asking` says so. The tasks' inputs are brought to those
    of the training, but for a learner that reads any table. Warns on standard error where classes
    that are tested on have names of classes that the run, `called` so, was trained on, and where
    inputs may be others than in training.

    Raises `UserError` where the learner cannot serve those tasks.
    """
    inputs = None if settings.learner.reads_any_table else settings.tasks.inputs
    t = dataclasses.replace(tasks or settings.tasks, inputs=inputs)
    require_kind(settings.learner, t)
    warn_of_seen_classes(settings.tasks, t, part, called)
    distribution = episode_tasks(t, part, t.way, t.shot, t.query)
    task = jax.eval_shape(distribution.sample, jax.random.key(0))
    memory.require_room(task, EPISODE_SIZES)
    if t.inputs is not None:
        require_inputs(t, part, t.inputs, distribution)
    if asking is not None:
        distribution = asked_tasks(distribution, asking, learner)
    try:
        result = evaluate(
            learner, distribution, episodes=episodes, seed=seed, show_progress=show_progress
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    words = {**result.learner, **learner_protocol(settings.learner, learner)}
    result = dataclasses.replace(result, learner=words)
    of_any_learner = t.inputs and t.inputs.of_any_learner
    shape = task.query.x.shape[2:] if t.verify else task.query.x.shape[1:]
    if t.inputs is None and len(shape) == 1 and kind_of(t.tasks).own:
        of_any_learner = Inputs.unscaled(shape)
    if t.inputs == of_any_learner:
        return result
    # Learners that scale the same features differently have met the same tasks.
    plain = dataclasses.replace(t, inputs=of_any_learner)
    counts = {word: result.tasks.protocol[word] for word in ("episodes", "seed")}
    met = Met.of(episode_tasks(plain, part, t.way, t.shot, t.query), **counts)
    return dataclasses.replace(result, tasks=met)
