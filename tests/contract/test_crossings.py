"""Any learner × any network × any tasks: a crossing works, or it is one clear `UserError`.

Settings go through `plan.plan`, as those of `quickstudy train` do, and nothing is computed: the
learner is built, tasks are drawn, and a training step, the settled learner and its predictions are
traced, by shapes alone. What is crossed:

* every learner × every network × every form of inputs (pictures that are large enough for every
  network, vectors of features, tokens, points of a function), and for the learner of descriptions
  described pictures: each on plain episodes;
* every learner, with its default network × every kind of tasks (`TASKS`).

So a network is not crossed with every kind of tasks, nor are the other options of a learner; the
contract suite tries those on vectors. What was traced for a learner and tasks of some shapes is not
traced for the same learner and tasks of the same shapes again.

Which crossings work is not read off the program: `refused_network` and `refused_tasks` say it from
what the learners are.
"""

import dataclasses
import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import quickstudy
from quickstudy.data import penn_treebank as treebank_words
from quickstudy.data.registry import _data_of
from quickstudy.datasets import penn_treebank
from quickstudy.errors import UserError
from quickstudy.networks import koch, layers
from quickstudy.runs import plan as planning
from quickstudy.settings.network import NetworkKind, NetworkSettings
from quickstudy.settings.registry import LEARNERS
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.task import TaskDistribution

WAY, SHOT, QUERY = 3, 4, 2
SIDE = koch.SMALLEST
CLASSES, EACH = 40, 20
"""In each data set, enough for every learner's own episodes. All classes are of one group."""

GRADIENT = {
    *("maml", "anil", "boil", "meta-sgd", "maml++", "meta-lstm", "cavia", "mt-net", "taml"),
    *("reptile", "imaml", "es-maml"),
}
OWN_HEAD = {
    *(*GRADIENT, "multi-task", "gnn", "active-gnn", "mann", "lstm", "cnp", "snail"),
    "meta-networks",
}
"""Those whose parameters know how many classes there are."""
COMPARES = {"siamese", "arc"}
READS_NUMBERS = {
    *("pixels", "arc", "mann", "lstm", "in-context", "statistician", "meta-networks", "alpaca"),
}
"""Those that no network shields from tokens. (CNP has one where targets are classes.)"""
SPELLS = {"mann", "lstm", "snail"}
"""Those that read words of letters for labels."""
BY_LAYERS = {"mt-net", "cavia", "tadam", "meta-networks"}
"""Those that change a network layer by layer."""
REGRESSES = {*GRADIENT, "multi-task", "cnp", "alpaca"} - {"taml"}
"""Those that take real targets; TAML by its default measure does not."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder of data sets."""
    folder = tmp_path_factory.mktemp("crossings")
    rng = np.random.default_rng(0)
    names = np.repeat([f"group/{c}" for c in range(CLASSES)], EACH)
    count = CLASSES * EACH
    np.savez(folder / "features.npz", x=rng.normal(size=(count, 5)).astype(np.float32), y=names)
    np.savez(folder / "pictures.npz", x=np.zeros((count, SIDE, SIDE, 1), np.uint8), y=names)
    rows = [f"all own{i % EACH},{name}" for i, name in enumerate(names)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]))
    return folder


@pytest.fixture(autouse=True)
def text(monkeypatch):
    """Sixty words, twenty of them held out, in 300 sentences a part."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(60)]
    said = {
        part: [tuple(rng.choice(words, 12).tolist()) for _ in range(300)]
        for part in ("train", "validation", "test")
    }
    monkeypatch.setattr(penn_treebank, "load", lambda: said)
    monkeypatch.setattr(treebank_words, "HELD_OUT_WORDS", (10, 10))
    _data_of.cache_clear()
    yield
    _data_of.cache_clear()


class Alike(TaskDistribution):
    """Tasks of the same shapes as others, which cost nothing to draw."""

    task: Any

    def sample(self, key):
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.task)

    def protocol(self):
        return {}


@functools.cache
def traced_once() -> tuple[Callable, Callable]:
    """`plan.trains_on` and `plan.predicts`, of which each looks at a learner and tasks of the
    same shapes once; and a task distribution is drawn from once."""
    drawn: dict[str, Alike] = {}

    def alike(tasks: TaskDistribution) -> Alike:
        if (kind := repr(tasks)) not in drawn:
            drawn[kind] = Alike(eqx.filter_eval_shape(tasks.sample, jax.random.key(0)))
        return drawn[kind]

    def once(tried: Callable) -> Callable:
        seen: dict[str, ValueError | None] = {}

        def try_once(learner, plan):
            plan = planning.Plan(plan.problem, alike(plan.training), alike(plan.validation))
            key = repr((learner, *plan[1:]))
            if key not in seen:
                try:
                    tried(learner, plan)
                    seen[key] = None
                except ValueError as error:
                    seen[key] = error
            if (error := seen[key]) is not None:
                raise error

        return try_once

    return once(planning.trains_on), once(planning.predicts)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Without what has been traced before, and with convolutions that are one operation. Types are
    checked elsewhere."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    trains_on, predicts = traced_once()
    monkeypatch.setattr(planning, "trains_on", trains_on)
    monkeypatch.setattr(planning, "predicts", predicts)
    by_columns = functools.partial(layers.convolution_by_xla, stride=1)
    monkeypatch.setattr(layers, "convolution_by_columns", by_columns)
    monkeypatch.setattr(layers, "convolution_by_patches", layers.convolution_by_xla)


def refusal(learner: Any, tasks: dict[str, Any]) -> str | None:
    """What the program says against a crossing; None where it works. Anything but a `UserError`
    of one line that this project wrote is raised."""
    options = {"way": WAY, "shot": SHOT, "query": QUERY, **tasks}
    try:
        planning.plan(RunSettings(learner, TaskSettings(**options)).resolved())
    except UserError as error:
        found = error
    else:
        return None
    assert "\n" not in str(found)
    if isinstance(found.__cause__, ValueError):  # not one that JAX raised, about axes say
        raised_in = traceback.extract_tb(found.__cause__.__traceback__)[-1].filename
        assert Path(raised_in).is_relative_to(Path(quickstudy.__file__).parent), found
    return str(found)


def crossed(name: str, cases: dict[str, tuple[Any, dict[str, Any], bool]]) -> None:
    """Each case is (settings of the learner, options of tasks, whether it should be refused)."""
    found = {case: refusal(learner, tasks) for case, (learner, tasks, _) in cases.items()}
    expected = {case for case, (_, _, refused) in cases.items() if refused}
    assert {case for case, said in found.items() if said} == expected, found
    print(f"{name}: {len(cases)} crossings, {len(expected)} refused")


INPUTS: dict[str, dict[str, Any]] = {
    "pictures": {"tasks": "npz:pictures"},
    "features": {"tasks": "npz:features"},
    "tokens": {"tasks": "penn-treebank", "shot": 1},
    "functions": {"tasks": "sinusoid", "way": 5},
    "described": {"tasks": "glyphs", "zero_shot": True, "shot": 1, "image_size": SIDE},
}
CONVOLVE = {"conv4", "conv4-stride", "conv4-flat", "resnet12", "koch"}


def refused_network(name: str, network: str | None, inputs: str) -> bool:
    """Whether a learner does not go with a network on some inputs, by what the three are."""
    if (inputs == "described") != (name == "zero-shot"):
        return True
    if inputs == "functions" and name not in REGRESSES:
        return True
    if inputs == "tokens" and name in READS_NUMBERS:
        return True
    if network is None:
        return name == "in-context" and inputs == "pictures"  # of too many numbers
    if name == "cnp" and inputs == "functions":
        return False  # it takes numbers as they are, without this network
    if inputs == "tokens":
        return network not in ("auto", "text") or name == "tadam"
    if network == "text":
        return True
    if network == "residual" and (name in BY_LAYERS or (name, inputs) == ("tapnet", "features")):
        return True  # five features are no more than TapNet's references
    if network in CONVOLVE and inputs not in ("pictures", "described"):
        return True
    if name == "tadam":  # it has to have something to condition
        return network in ("koch", "mlp")
    return name == "meta-networks" and network in ("koch", "resnet12")


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_with_every_network_on_every_form_of_inputs(name, data):
    settings = LEARNERS[name]
    has_network = "network" in {f.name for f in dataclasses.fields(settings)}
    networks: tuple[str | None, ...] = get_args(NetworkKind) if has_network else (None,)
    cases = {}
    for network in networks:
        options = {} if network is None else {"network": NetworkSettings(network, hidden=(32,))}
        for inputs, tasks in INPUTS.items():
            refused = refused_network(name, network, inputs)
            cases[f"{network} on {inputs}"] = (settings(**options), located(tasks, data), refused)
    assert len(cases) == len(INPUTS) * (10 if has_network else 1)
    crossed(name, cases)


FEATURES = {"tasks": "npz:features"}
PICTURES = {"tasks": "npz:pictures"}
TABLES = {"tasks": "synthetic-tables", "features": 5}
WORDS = {"tasks": "penn-treebank", "shot": 1}
TASKS: dict[str, dict[str, Any]] = {
    "features": FEATURES,
    "pictures": PICTURES,
    "glyphs": {"image_size": SIDE},
    "as many classes in training": {**FEATURES, "train_way": WAY},
    "more classes in training": {**FEATURES, "train_way": WAY + 1},
    "other shots in training": {**FEATURES, "train_shot": 2},
    "any shot": {**FEATURES, "any_shot": True},
    "in proportion": {**FEATURES, "proportional": True},
    "partly labelled": {**FEATURES, "labelled": 0.5},
    "labelled anywhere": {**FEATURES, "labelled": 0.25, "anywhere": True},
    "distractors": {**FEATURES, "labelled": 0.5, "distractors": 2},
    "within a group": {**FEATURES, "within": True},
    "fixed labels": {**FEATURES, "fixed_labels": True},
    "fewer training classes": {**FEATURES, "train_classes": 22},
    "rotations as classes": {**PICTURES, "rotations": "classes"},
    "rotations in episodes": {**PICTURES, "rotations": "episode"},
    "rotated features": {**FEATURES, "rotations": "classes"},
    "distorted": {**PICTURES, "distort": True},
    "distorted features": {**FEATURES, "distort": True},
    "pairs": {**FEATURES, "verify": True},
    "pairs within a group": {**FEATURES, "verify": True, "within": True},
    "sequences": {**FEATURES, "sequence": 12},
    "sequences of letters": {**FEATURES, "sequence": 12, "letters": True},
    "sequences of more classes in training": {**FEATURES, "sequence": 12, "train_way": WAY + 1},
    "descriptions": {"zero_shot": True, "shot": 1, "image_size": SIDE},
    "no descriptions": {**FEATURES, "zero_shot": True, "shot": 1},
    "texts": {"tasks": "text:texts.csv"},
    "words": WORDS,
    "words, any shot": {**WORDS, "shot": 2, "any_shot": True},
    "words, partly labelled": {**WORDS, "shot": 2, "labelled": 0.5},
    "words within a group": {**WORDS, "within": True},
    "words in pairs": {**WORDS, "verify": True},
    "words in pairs within a group": {**WORDS, "verify": True, "within": True},
    "words in sequences": {**WORDS, "sequence": 12},
    "tables": TABLES,
    "tables within a group": {**TABLES, "within": True},
    "tables, partly labelled": {**TABLES, "labelled": 0.5},
    "tables, any shot": {**TABLES, "any_shot": True},
    "tables in pairs": {**TABLES, "verify": True},
    "sine curves": {"tasks": "sinusoid", "way": 5},
    "sine curves within a group": {"tasks": "sinusoid", "way": 5, "within": True},
    "sine curves with fixed labels": {"tasks": "sinusoid", "way": 5, "fixed_labels": True},
    "Gaussian processes": {"tasks": "gaussian-processes", "way": 5},
    "one Gaussian process": {"tasks": "fixed-gaussian-process", "way": 5},
}
NEVER = {
    *("rotated features", "distorted features", "no descriptions", "words within a group"),
    *("words, partly labelled", "words in pairs within a group", "words in sequences"),
    *("tables within a group", "tables, partly labelled", "tables, any shot", "tables in pairs"),
    *("sine curves within a group", "sine curves with fixed labels"),
}
"""What contradicts itself, whatever the learner."""
OF_PICTURES = {
    *("pictures", "glyphs", "rotations as classes", "rotations in episodes", "distorted"),
}
REAL_TARGETS = {"sine curves", "Gaussian processes", "one Gaussian process"}


def refused_tasks(name: str, tasks: str) -> bool:
    """Whether a learner cannot take these tasks, by what both are."""
    if tasks in NEVER or (tasks == "descriptions") != (name == "zero-shot"):
        return True
    if "pairs" in tasks and name not in COMPARES:
        return True
    if "words" in tasks and name in READS_NUMBERS | {"tadam"}:
        return True
    if tasks == "texts" and name in READS_NUMBERS | BY_LAYERS:
        return True
    if tasks in OF_PICTURES and name == "in-context":  # of too many numbers
        return True
    if tasks == "in proportion" and name == "tadam":  # batches beside plain episodes
        return True
    if "any shot" in tasks and name in COMPARES | {"finetune"}:
        return True
    if tasks in REAL_TARGETS:
        return name not in REGRESSES or (name == "multi-task" and "Gaussian" in tasks)
    if tasks == "tables":
        return name in COMPARES | {"finetune", "tadam", "multi-task"}
    if tasks == "sequences of letters":
        return name not in SPELLS
    if "more classes in training" in tasks:
        return name in OWN_HEAD
    return False


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_on_every_kind_of_tasks(name, data):
    cases = {
        kind: (LEARNERS[name](), located(tasks, data), refused_tasks(name, kind))
        for kind, tasks in TASKS.items()
    }
    assert len(cases) == 44
    crossed(name, cases)


def test_thousands_of_crossings_are_tried():
    """A learner that is added is crossed as well; this number says so."""
    with_network = [
        settings
        for settings in LEARNERS.values()
        if "network" in {f.name for f in dataclasses.fields(settings)}
    ]
    by_network = len(INPUTS) * (9 * len(with_network) + len(LEARNERS) - len(with_network))
    assert (by_network, len(TASKS) * len(LEARNERS)) == (1245, 1452)


def located(tasks: dict[str, Any], data: Path) -> dict[str, Any]:
    """The options, with the path of the data set."""
    kind, _, name = tasks.get("tasks", "glyphs").partition(":")
    suffix = ".npz" if kind == "npz" else ""
    return {**tasks, "tasks": f"{kind}:{data / name}{suffix}" if name else kind}
