"""The examples in docstrings run, and give what they say.

An example leaves out what it does not explain: `learner`, `tasks`, `support`, `key` … stand here,
small; `meta_train` traces one of the steps that are shown, and `evaluate` takes twenty episodes.
Examples of learners and networks that show shapes are traced: all of their code runs, but no
program is compiled.
"""

import ast
import contextlib
import doctest
import importlib
import io
import math
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import quickstudy
from quickstudy.datasets import packed
from quickstudy.datasets.columns import Column
from quickstudy.datasets.grouped import Grouped
from quickstudy.distributions import Normal
from quickstudy.evaluation import compare, evaluate
from quickstudy.learner import Learnable
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.learners.baseline.nearest_mean import NearestMean
from quickstudy.learners.gradient.reptile import Reptile
from quickstudy.learners.memory.recurrent import LSTM
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.likelihood import Categorical, Gaussian, HeteroscedasticGaussian
from quickstudy.metagradients import (
    Backpropagation,
    Evolution,
    MetaGradient,
    PersistentEvolution,
    PerTask,
    ReptileGradient,
    TruncatedBackpropagation,
    Unrolling,
)
from quickstudy.networks import MLP, Conv4, ResNet12, TfIdf, WithHead
from quickstudy.optimizers.momentum import LearnedMomentum
from quickstudy.settings.learners import MAMLSettings
from quickstudy.settings.optimizers import LSTMOptimizerSettings
from quickstudy.settings.run import RunSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.task import Examples, FixedTasks, TaskDistribution
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.cloze import BlankedWords, blanked_words
from quickstudy.tasks.cotraining import CoTraining
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.finite import Finite
from quickstudy.tasks.glyphs import Glyphs
from quickstudy.tasks.groups import Groups
from quickstudy.tasks.partly_labelled import PartlyLabelled
from quickstudy.tasks.problems.logistic import LogisticRegressions
from quickstudy.tasks.problems.quadratics import Quadratics
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.tasks.zero_shot import Described
from tests.embedding_models import image_model, save_tokenizer

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
PICTURE = (28, 28, 1)


def pictures(count: int) -> jax.Array:
    """Grey ones."""
    return jnp.asarray(RNG.uniform(size=(count, *PICTURE)), jnp.float32)


def of_classes(classes: int, each: int) -> Examples:
    """So many pictures of each class."""
    return Examples(pictures(classes * each), jnp.repeat(jnp.arange(classes), each))


def some_source(classes: int = 40, each: int = 20) -> ArraySource:
    """Noise in as many classes."""
    x = RNG.integers(0, 256, (classes * each, *PICTURE)).astype(np.uint8)
    first = each * np.arange(classes)
    return ArraySource(x, first, np.full(classes, each), {"data": "noise"})


def few_shot() -> FewShot:
    return FewShot(some_source(), way=5, shot=1, query=1)


def small_network() -> WithHead:
    return WithHead(MLP(PICTURE, hidden=(4,), key=KEY), 5, key=KEY)


def convolutions() -> Conv4:
    return Conv4(PICTURE, filters=4, key=KEY)


def little_training(
    learner: Learnable,
    tasks: TaskDistribution,
    optimizer: optax.GradientTransformation,
    *,
    steps: int,
    meta_gradient: MetaGradient = Backpropagation(),
) -> None:
    """In the place of `meta_train`: a step is traced and not compiled."""
    trained = eqx.filter(learner, eqx.is_inexact_array)

    def step():
        carried = meta_gradient.start(learner, tasks, KEY)
        given = (learner, tasks, carried, (KEY, KEY), jnp.asarray(0))
        gradient, _, after = meta_gradient(*given)
        assert jax.tree.structure(after) == jax.tree.structure(carried)
        return optimizer.update(gradient, optimizer.init(trained), trained)

    updates, _ = eqx.filter_eval_shape(step)
    assert jax.tree.structure(updates) == jax.tree.structure(trained)


def named(*things: Any) -> dict[str, Callable[[], Any]]:
    """By their own names."""
    return {thing.__name__: lambda thing=thing: thing for thing in things}


def blanked() -> BlankedWords:
    """Words, each in enough sentences of its own."""
    words = [f"word{i}" for i in range(6)]
    sentences = [[word, f"other{i}{k}"] for i, word in enumerate(words) for k in range(5)]
    tokens = {w: i for i, w in enumerate(sorted({w for s in sentences for w in s}), 2)}
    return blanked_words(sentences, words, tokens, {"data": "words"})[0]


QUICKLY: dict[str, Callable[[], Any]] = {
    "meta_train": lambda: little_training,
    "evaluate": lambda: partial(evaluate, episodes=20),
    "compare": lambda: partial(compare, episodes=20),
}
"""What stands for something that would take long."""

SHARED: dict[str, Callable[[], Any]] = {
    "math": lambda: math,
    "np": lambda: np,
    "jax": lambda: jax,
    "jnp": lambda: jnp,
    "optax": lambda: optax,
    **{name: partial(jax.random.key, i) for i, name in enumerate(("key", *"abc", "one", "other"))},
    **named(Categorical, Examples, HeteroscedasticGaussian, Normal, Path),
    **named(CoTraining, FewShot, Finite, FixedTasks, Groups, LogisticRegressions, Sinusoid),
    **named(Backpropagation, Evolution, PersistentEvolution, PerTask, ReptileGradient),
    **named(TruncatedBackpropagation, Unrolling),
    **named(LSTM, MLP, Gaussian, NearestNeighbour, Quadratics, WithHead),
    **named(LSTMOptimizerSettings, MAMLSettings, TrainingSettings),
    "Conv4": lambda: partial(Conv4, filters=4),
    "ResNet12": lambda: partial(ResNet12, filters=2),
    "support": lambda: of_classes(5, 1),
    "queries": lambda: pictures(75),
    "source": some_source,
    "tasks": few_shot,
    "episodes": few_shot,
    "problems": Quadratics,
    "optimizer": LearnedMomentum,
    "network": small_network,
    "body": convolutions,
    "training_classes": lambda: 10,
    "learner": lambda: ProtoNet(MLP(PICTURE, hidden=(4,), key=KEY)),
    "x": lambda: pictures(10),
    "parameters": lambda: {"w": jnp.ones(3)},
    "gradients": lambda: {"w": jnp.ones(3)},
    "image": lambda: pictures(1)[0],
    "glyphs": lambda: Glyphs(classes=1000),
}
"""What a name stands for where neither the example nor its module says so."""

TWENTY = {"support": lambda: of_classes(20, 1), "queries": lambda: pictures(20)}
SMALL_PICTURES = {
    "support": lambda: Examples(jnp.zeros((5, 20, 20, 1)), jnp.arange(5)),
    "queries": lambda: jnp.zeros((75, 20, 20, 1)),
}
FUNCTION = Examples(jnp.zeros((10, 1)), jnp.zeros((10, 1)))

TEXTS = {
    "idf": lambda: jnp.arange(30.0),
    "texts": lambda: Examples(jnp.ones((5, 12), int), jnp.arange(5)),
    "tokens": lambda: jnp.ones((25, 12), int),
}

OWN: dict[str, dict[str, Callable[[], Any]]] = {
    "datasets.arrays.save": {
        "features": lambda: Grouped.from_labels(np.zeros((2, 3), np.float32), ["a", "b"]),
    },
    "datasets.cache.save": {"x": lambda: np.zeros(3)},
    "datasets.packed.write": {
        "pictures": lambda: np.zeros((2000, 84, 84, 3), np.uint8),
    },
    "evaluation.evaluate": {"test_classes": some_source},
    "learners.baseline.multitask.MultiTask": {"trunk": lambda: MLP((1,), hidden=(4,), key=KEY)},
    "learners.bilevel.training_data.LearnedData": {"n": lambda: 50},
    "learners.gradient.cavia.CAVIA": {
        "u": lambda: jnp.zeros((3, 4)),
        "first_layer": lambda: lambda network: network.body.layers[0],
    },
    "learners.gradient.meta_lstm.GatedUpdate": {
        "theta": lambda: jnp.ones(3),
        "gradient": lambda: jnp.ones(3),
        "loss": lambda: jnp.asarray(1.0),
    },
    "learners.memory.cnp.CNP": {"context": lambda: FUNCTION, "x": lambda: jnp.zeros((50, 1))},
    "learners.memory.in_context.InContext": {
        "support": lambda: Examples(jnp.zeros((6, 4)), jnp.arange(6) % 3),
        "queries": lambda: jnp.zeros((75, 4)),
    },
    "learners.memory.memory_module.Memory": {"q": lambda: jnp.eye(128)[0]},
    "learners.memory.recurrent.Recurrent": SMALL_PICTURES,
    "learners.metric.active_gnn.ActiveGNN": {
        "support": lambda: Examples(pictures(25), jnp.where(jnp.arange(25) < 5, 0, -1)),
    },
    "learners.metric.arc.ARC": TWENTY,
    "learners.metric.siamese.Siamese": TWENTY,
    "learners.metric.gnn.graph_convolution": {
        "adjacency": lambda: jnp.ones((3, 3)),
        "x": lambda: jnp.ones((3, 4)),
        "theta": lambda: jnp.ones((2, 4, 48)),
    },
    "learners.metric.tadam.TADAM": {
        "episodes": lambda: FewShot(some_source(1000, 2), way=5, shot=1, query=1),
    },
    "learners.metric.zero_shot.ZeroShotProtoNet": {
        "conv4": convolutions,
        "mlp": lambda: WithHead(MLP((7,), hidden=(), key=KEY), 64, key=KEY),
        "descriptions": lambda: jnp.zeros((20, 7)),
        "pictures": lambda: pictures(100),
    },
    "metagradients.reptile.ReptileGradient": {
        "learner": lambda: Reptile(
            small_network(), optax.adam(1e-3), train_steps=2, test_steps=2, train_batch=5
        ),
    },
    "networks.network.Network": {"network": convolutions, "x2": lambda: pictures(10)},
    "networks.embedding.Embedding": {"network": convolutions, "x2": lambda: pictures(10)},
    "networks.embedding.population_statistics": {"network": convolutions},
    "networks.network.modulated": {"network": convolutions},
    "networks.bag_of_words.TfIdf": TEXTS,
    "networks.bag_of_words.BagOfWords": TEXTS,
    "learners.baseline.on_features.OnFeatures": {**TEXTS, **named(NearestMean, TfIdf)},
    "tasks.texts.TextSource": {
        "idf": lambda: jnp.arange(30.0),
        "label": lambda: jnp.asarray(1),
        "tokens": lambda: jnp.ones((20, 40), int),
    },
    "networks.text.Text": {"tokens": lambda: jnp.zeros((25, 21), int)},
    "datasets.encoding.Encoding": {
        "columns": lambda: (Column("size", "category", ("large", "small")),),
        "x": lambda: np.asarray([[1.0], [0.0], [1.0]]),
    },
    "data.inputs.Inputs": {
        "settings": lambda: RunSettings(MAMLSettings()),
        "train": lambda: Grouped.from_labels(np.eye(5, dtype=np.float32), list("ababb")),
    },
    "settings.optax_optimizer.optax_optimizer": {
        "gradient": lambda: jnp.ones(3),
        "parameters": lambda: jnp.ones(3),
        "state": lambda: optax.adam(1e-3).init(jnp.ones(3)),
    },
    "serving.table_classifier.TableClassifier": {
        "x": lambda: np.tile([[0.0, 1.0], [5.0, -3.0]], (6, 1)) + RNG.normal(size=(12, 2)),
    },
    "task.FixedTasks": {
        "learner": NearestNeighbour,
        "runs": lambda: jax.vmap(few_shot().sample)(jax.random.split(KEY, 20)),
    },
    "tasks.any_shot.AnyShot": {"key": lambda: jax.random.key(3)},
    "tasks.asking.Asked": {
        "tasks": lambda: PartlyLabelled(FewShot(some_source(), 2, 3, 1), labelled=1),
    },
    "tasks.cloze.BlankedWords": {"source": blanked},
    "tasks.cloze.NoSentenceTwice": {"source": blanked},
    "tasks.completion.Completion": {"pictures": lambda: pictures(3)},
    "tasks.cotraining.CoTraining": {"source": lambda: some_source(1000, 16)},
    "tasks.mapped.read_ahead": {"key_of": lambda: lambda i: jax.random.fold_in(KEY, i)},
    "tasks.problems.classification.Classifiers": {
        "images": lambda: jnp.zeros((20, *PICTURE), jnp.uint8),
        "labels": lambda: jnp.arange(20) % 10,
    },
    "tasks.proportional.Proportional": {
        "source": lambda: ArraySource(pictures(30), [0, 10], [10, 20], {"data": "noise"}),
    },
    "tasks.source.DescribedSource": {
        "source": lambda: Described(some_source(), np.zeros((40, 312))),
    },
    "tasks.within.OneHand": {"alphabets": lambda: ["Greek"] * 20 + ["Latin"] * 20},
}
"""What a name stands for in the example of one place."""

ANY_FIGURE = {
    "evaluation.evaluate": "of a learner that is not trained here",
    "evaluation.compare": "of a learner that is not trained here",
    "tasks.asking.Asked": "what is asked depends on the learner",
    "tasks.finite.Finite": "any number of a task",
}
"""Examples that run, but show what a reader's own numbers may be."""

SKIPPED = {
    "datasets.cub.load": "a data set that is downloaded by hand",
    "datasets.functions.load": "a table of tasks; tested in cli/test_functions.py",
    "runs.saved.SavedRun": "a trained run; tested in runs/test_saved.py",
    "runs.search.search": "a trained run; tested in oracles/test_transfer.py",
    "report.collect.collect": "a trained run; tested in report/test_collect.py",
    "serving.adapted.Adapted": "an adapted file; tested in serving/test_adapted.py",
    "serving.loading.load": "an adapted file; tested in serving/test_loading.py",
    "serving.predicting.predict": "an adapted file; tested in serving/test_adapted.py",
    "serving.inputs.read_support": "files of examples; tested in serving/test_adapted.py",
}
"""Examples that need more than names."""

TRACED = ("learners.", "networks.", "optimizers.", "tasks.")
SHAPE = re.compile(r"\(?[\d, ]*\)?")
RUN = {
    *("tasks.glyphs.glyph_splits", "tasks.mapped.MappedSource", "tasks.mapped.read_ahead"),
    *("tasks.cloze.BlankedWords", "tasks.cloze.NoSentenceTwice"),
}
"""Examples among these that read numbers or files all the same."""


def modules() -> Iterator[Any]:
    """All of the package but the command line, whose docstrings are help texts."""
    for module in pkgutil.walk_packages(quickstudy.__path__, "quickstudy."):
        if not module.name.startswith(("quickstudy.cli", "quickstudy.__main__")):
            yield importlib.import_module(module.name)


def docstrings() -> dict[str, doctest.DocTest]:
    """Those with examples, by the name of what they stand on."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    return {
        found.name: found
        for module in modules()
        for found in finder.find(module, module.__name__.removeprefix("quickstudy."), module)
        if found.examples
    }


DOCSTRINGS = docstrings()


def names_in(test: doctest.DocTest) -> set[str]:
    """The names that the examples use."""
    nodes = [node for e in test.examples for node in ast.walk(ast.parse(e.source))]
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def namespace(test: doctest.DocTest) -> dict[str, Any]:
    """What the names of an example stand for: of the module, or of those above."""
    known = dict(test.globs)
    for name in names_in(test):
        made = OWN.get(test.name, {}).get(name) or QUICKLY.get(name)
        if made is None and name not in known:
            made = SHARED.get(name)
        if made is not None:
            known[name] = made()
    return known


def is_traced(test: doctest.DocTest) -> bool:
    """Whether the example shows shapes alone, and trains nothing."""
    return (
        test.name.startswith(TRACED)
        and test.name not in RUN
        and not names_in(test) & QUICKLY.keys()
        and all(SHAPE.fullmatch(e.want.strip()) for e in test.examples)
    )


NUMBER = re.compile(r"-?\d+\.\d*(?:e-?\d+)?|-?\d+")


def alike(wanted: str, said: str) -> bool:
    """The same words with the same numbers, but for rounding."""
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    if doctest.OutputChecker().check_output(wanted, said, options):
        return True
    words = [" ".join(NUMBER.sub("#", text).split()).replace(" ", "") for text in (wanted, said)]
    numbers = [[float(x) for x in NUMBER.findall(text)] for text in (wanted, said)]
    return words[0] == words[1] and np.allclose(*numbers, rtol=1e-3, atol=1e-6)


def run(test: doctest.DocTest, names: dict[str, Any]) -> None:
    """One example line after the other, as a user types them."""
    for example in test.examples:
        said = io.StringIO()
        code = compile(example.source, f"<{test.name}>", "single", dont_inherit=True)
        with contextlib.redirect_stdout(said):
            if example.exc_msg is not None:
                with pytest.raises(Exception) as raised:  # noqa: PT011
                    exec(code, names)
                kind = type(raised.value)
                message = f"{kind.__module__}.{kind.__qualname__}: {raised.value}\n"
                assert alike(example.exc_msg, message), message
                continue
            exec(code, names)
        if example.want and test.name not in ANY_FIGURE:
            assert alike(example.want, said.getvalue()), f"{example.source} gives {said.getvalue()}"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What examples read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUICKSTUDY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("birds/robin", "birds/wren", "cat"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (90, 90)).save(tmp_path / name / "001.jpg")


def written(name: str) -> None:
    """What one example alone reads."""
    if name == "datasets.arrays.load":
        np.savez("birds.npz", x=np.zeros((1200, 64, 64, 3), np.uint8), y=np.arange(1200) % 3)
    if name == "datasets.table.load":
        rows = [f"{i},{i},{i},{i},{'abc'[i % 3]}" for i in range(150)]
        Path("iris.csv").write_text("\n".join(["a,b,c,d,species", *rows]))
    if name == "datasets.texts.load":
        for kind in ("complaint", "praise"):
            Path("letters", kind).mkdir(parents=True)
            Path("letters", kind, "001.txt").write_text("Dear all")
    if name == "datasets.packed.load":
        grey = np.zeros((84, 84, 3), np.uint8)
        packed.write(Path("birds-84"), [grey] * 2000, {"robin": 1200, "wren": 800}, grey.shape)
    if name.startswith(("datasets.embedding.", "datasets.onnx_graph.", "datasets.preprocessing.")):
        wide = np.zeros((3, 1280), np.float32)
        image_model(Path("model.onnx"), weights=wide, takes=224, size=224)
    if name.startswith("datasets.text_inputs."):
        save_tokenizer(Path("tokenizer.json"), ["[pad]", "[unknown]", "a", "red", "kite"])
    if name == "tasks.mapped.MappedSource":
        np.save("x.npy", np.zeros((1200, 4, 4, 1), np.uint8))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", DOCSTRINGS)
def test_examples_run_and_give_what_they_say(name):
    if name in SKIPPED:
        pytest.skip(SKIPPED[name])
    written(name)
    test = DOCSTRINGS[name]
    if not is_traced(test):
        run(test, namespace(test))
        return

    def all_of_it():
        run(test, namespace(test))

    jax.eval_shape(all_of_it)


def test_every_exception_is_of_an_example():
    assert DOCSTRINGS.keys() >= {*OWN, *ANY_FIGURE, *SKIPPED, *RUN}
