"""Adapt measures itself on what it leaves out, calibrates, and says what it does not know."""

import dataclasses
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quickstudy.cli import adapt as adapt_command
from quickstudy.cli import evaluate as evaluate_command
from quickstudy.cli import predict as predict_command
from quickstudy.errors import UserError
from quickstudy.learner import Learner, Predictor
from quickstudy.learners.baseline.nearest_mean import NearestMean
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.networks import MLP
from quickstudy.open_set import Reference
from quickstudy.runs import measure
from quickstudy.runs.saved import SavedRun
from quickstudy.serving import adapting, known
from quickstudy.serving.adapted_file import load
from quickstudy.serving.adapting import adapt
from quickstudy.serving.inputs import read_queries, read_support
from quickstudy.serving.left_out import (
    LeftOut,
    Measured,
    best_of,
    folds,
    leave_out,
    temperature,
)
from quickstudy.serving.left_out_rows import left_out_rmse
from quickstudy.task import Examples

from .conftest import symbols

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_each_example_is_left_out_once_and_no_class_is(counts: list[int]) -> None:
    count, labels = np.array(counts), np.repeat(np.arange(len(counts)), counts)
    found = folds(count)
    assert len(found) <= 10
    left = np.concatenate(found) if found else np.array([], int)
    assert sorted(left) == np.flatnonzero(count[labels] > 1).tolist()
    for fold in found:
        assert (np.bincount(labels[fold], minlength=len(count)) < count).all()
        if max(counts) <= 10:
            assert len(set(labels[fold])) == len(fold)


@pytest.mark.parametrize("normalisation", [None, "support"])
def test_left_out_examples_teach_nothing(normalisation: str | None) -> None:
    """Neither by their labels, nor by the statistics of their inputs."""
    count = np.array([2, 1, 3])
    x = jnp.asarray(RNG.normal(size=(6, 5)), jnp.float32)
    y = np.repeat(np.arange(3, dtype=np.int32), count)
    learner = NearestMean()
    if normalisation == "support":
        network = MLP((5,), hidden=(4,), normalise=True, key=KEY)
        learner = ProtoNet(network, normalisation="support")
    found = leave_out({"it": learner}, Examples(x, jnp.asarray(y)), count, KEY)["it"]
    assert found.y.tolist() == [0, 2, 0, 2, 2]
    for row, logits in zip([0, 3, 1, 4, 5], found.logits, strict=True):
        fold = next(fold for fold in folds(count) if row in fold)
        rest = np.setdiff1d(np.arange(6), fold)
        told = Examples(x[rest], jnp.asarray(y[rest]))
        expected = learner.adapt(told, Categorical(3), key=KEY)(x[row][None])[0]
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def left_out(logits: np.ndarray, y: np.ndarray) -> LeftOut:
    nothing = np.zeros((len(y), 2))
    return LeftOut(logits, y, nothing, np.zeros((len(y), 3, 1)), np.ones(1))


@pytest.mark.parametrize("scale", [0.05, 1.0, 200.0])
def test_the_temperature_is_the_scale_of_the_logits(scale: float) -> None:
    logits = RNG.normal(0, 2, (4000, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (p.cumsum(1) < RNG.uniform(size=(4000, 1))).sum(1)
    assert temperature(left_out(scale * logits, y)) == pytest.approx(scale, rel=0.06)


def test_a_few_right_answers_do_not_make_anyone_certain() -> None:
    """With n of them the probability is that of the target, 1 - ε + ε/K with ε = 1/(n + 2)."""
    y = np.arange(12) % 3
    right = left_out(5.0 * np.eye(3)[y], y)
    z = right.logits / temperature(right)
    share = np.exp(z.max(1)) / np.exp(z).sum(1)
    np.testing.assert_allclose(share, 1 - 1 / 14 + 1 / 42, rtol=1e-3)
    assert temperature(left_out(5.0 * np.eye(3)[y[:9]], y[:9])) == 1


class Broken(Learner):
    def adapt(self, support, likelihood, *, key):
        return BrokenPredictor()


class BrokenPredictor(Predictor):
    def __call__(self, x):
        return jnp.full((len(x), 1), jnp.nan)


def test_what_is_not_finite_is_no_answer() -> None:
    """NaN is the largest to `argmax`, and smaller than any error to `min`."""
    z = np.tile([3.0, 0.0], (12, 1))
    z[:6, 0] = np.nan
    z[6, 1] = -np.inf  # a probability of 0 is an answer
    found = left_out(z, np.zeros(12, int))
    assert found.right == 6
    assert temperature(found) == 1.0
    support = Examples(jnp.ones((3, 2)), jnp.ones((3, 1)))
    errors = left_out_rmse({"broken": Broken()}, support, Gaussian(1))
    assert errors == {"broken": np.inf}


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    return symbols(tmp_path / "larger", [8, 8, 8])


def test_the_learner_wins_ties() -> None:
    rights = {"a": 5, "b": 5, "c": 7, "d": 7}
    table = tuple(Measured(name, right, 9, 0.5, 1) for name, right in rights.items())
    assert best_of(table, {}) == "c"
    assert best_of(table[:2], {}) == "a"


def test_validation_decides_between_methods_that_are_about_as_good_on_a_few_examples() -> None:
    table = tuple(Measured(name, right, 10, 0.5, 1) for name, right in {"a": 9, "b": 8}.items())
    assert best_of(table, {"a": 0.80, "b": 0.95}) == "b"
    assert best_of(table, {"a": 0.80, "b": 0.85}) == "a"
    assert best_of(table, {"b": 0.95}) == "a"  # one was not measured there


@pytest.mark.usefixtures("few_opponents")
def test_the_best_method_is_written_and_serves(
    runs: dict[str, Path],
    larger: Path,
    queries: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "best.qs"
    monkeypatch.setattr(adapting, "best_of", lambda table, _: table[1].method)
    adapted = adapt(runs["pixels"], larger, out, best=True)
    assert [(row.method, row.of) for row in adapted.left_out] == [
        ("pixels", 24),
        ("nearest mean", 24),
    ]
    assert adapted.method == "nearest mean"
    loaded = load(out)
    for field in ("method", "left_out", "temperature", "examples", "false_alarms", "counts"):
        assert getattr(loaded, field) == getattr(adapted, field)
    x = jnp.asarray(read_queries(loaded.inputs, queries)[1])
    read = read_support(loaded.inputs, larger)[0]
    y = jnp.asarray(np.repeat(np.arange(3), 8))
    logits = NearestMean().adapt(Examples(jnp.asarray(read.x), y), Categorical(3), key=KEY)(x)
    expected = jax.nn.softmax(logits / loaded.temperature)
    np.testing.assert_allclose(loaded.probabilities(np.asarray(x)), expected, rtol=1e-2, atol=1e-3)


def test_noise_and_blank_pages_are_named_nothing(
    runs: dict[str, Path], larger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "symbols.qs"
    words = [str(runs["protonet"]), "--support", str(larger), "--out", str(out)]
    assert adapt_command.run(words) == 0
    said = capsys.readouterr()
    assert "left-out examples" in said.out
    for opponent in ("nearest neighbour", "nearest mean", "ridge"):
        assert re.search(rf"{opponent} +\d+/24 ", said.out)
    assert "unknown: inputs that score 0.05 or less" in said.out
    paths = [tmp_path / f"{name}.png" for name in ("noise", "grey", "blank")]
    noise = RNG.integers(0, 256, (40, 40), dtype=np.uint8)
    for path, pixels in zip(paths, (noise, noise * 0 + 128, noise * 0 + 255), strict=True):
        Image.fromarray(pixels).save(path)
    known_one = larger / "round" / "0.png"
    assert predict_command.run([str(out), "--json", *map(str, [*paths, known_one])]) == 0
    *odd, usual = json.loads(capsys.readouterr().out)
    for row in odd:
        assert row["name"] == "unknown"
        assert row["unknown"]
        assert row["score"] <= row["threshold"] == 0.05
    assert usual["name"] == "round"
    assert usual["nearest"][0] == {"example": str(known_one), "class": "round"}
    assert len(usual["nearest"]) == 3
    assert predict_command.run([str(out), str(paths[0])]) == 0
    assert "unknown" in capsys.readouterr().out


@pytest.mark.usefixtures("few_opponents")
def test_sets_of_which_nothing_can_be_left_out(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    support = symbols(tmp_path / "alone", [1, 1, 1])
    words = ["--support", str(support), "--out", str(tmp_path / "x.qs"), "--best"]
    assert adapt_command.run([str(runs["pixels"]), *words]) == 0
    said = capsys.readouterr()
    assert "each class has one example, so none can be left out" in said.err
    assert "method: pixels" in said.out
    assert load(tmp_path / "x.qs").temperature == 1


def some_reference() -> Reference:
    rng = np.random.default_rng(3)
    features = rng.uniform(1, 2, (50, 2))
    return Reference.of(features, rng.normal(size=(50, 4, 1)), np.ones(1), "the run's own")


def found_left_out(count: int, far: float) -> LeftOut:
    rng = np.random.default_rng(4)
    features, differences = rng.uniform(1, 2, (count, 2)), rng.normal(size=(count, 4, 1))
    return LeftOut(
        np.zeros((count, 2)), np.zeros(count, int), far * features, differences, np.ones(1)
    )


def test_where_the_reference_comes_from(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's data; where the support set is unlike them, the left-out examples; where the data
    are not there, what the run's file says, or what was known before an update; and nothing where
    nothing is there."""
    saved = SavedRun.open(runs["pixels"])
    source = adapting.Source(
        "run", saved.learner(), saved.settings, saved.problem, False, 0.05, known=None
    )

    def chosen(left: LeftOut | None, source: adapting.Source = source, method: str = "pixels"):
        return known.known_for(source, method, NearestMean(), (5, 5), left)

    monkeypatch.setattr(known, "known_inputs", lambda *_: some_reference())
    found, said = chosen(found_left_out(30, 1.0))
    assert found is not None
    assert (found.words, said) == ("the run's own", "")
    found, said = chosen(found_left_out(30, 9.0))
    assert found is not None
    assert found.words == "30 left-out support examples"
    assert "30 of 30 left-out examples are unlike the run's own data" in said
    found, said = chosen(found_left_out(10, 9.0))
    assert found is None
    assert "fewer than 19 support examples can be left out" in said

    def away(*_):
        raise UserError("there is no folder")

    monkeypatch.setattr(known, "known_inputs", away)
    found, said = chosen(found_left_out(30, 1.0))
    assert found is not None
    assert found.words == "30 left-out support examples"
    assert "there is no folder" in said
    assert chosen(None)[0] is None
    before = dataclasses.replace(source, before={"pixels": some_reference()})
    found, said = chosen(None, before)
    assert found is not None
    assert (found.words, said) == ("the run's own", "")
    assert chosen(None, before, method="ridge")[0] is None
    entries = [{"way": 2, "shot": s, **some_reference().to_json(), "words": str(s)} for s in (1, 6)]
    kept = dataclasses.replace(source, known=entries)
    found, said = chosen(None, kept)
    assert found is not None
    assert (found.words, said) == ("6", "")
    assert chosen(None, kept, method="ridge")[0] is None


def test_evaluate_open_set(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "opponents_of", lambda *_: {})
    words = [str(runs["pixels"]), "--open-set", "--way", "2", "--episodes", "8", "--json"]
    assert evaluate_command.run([*words, "--false-alarms", "0.2"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    for name in ("accuracy", "auroc", "false alarms", "misses"):
        assert 0 <= result[name]["mean"] <= 1
    assert result["protocol"]["unknown classes"] == 2
    assert result["protocol"]["false alarms asked for"] == 0.2
    assert "2-way 1-shot episodes of validation classes" in result["protocol"]["reference"]
    with pytest.raises(UserError, match=r"--way \d is the most"):
        evaluate_command.run([str(runs["pixels"]), "--open-set", "--way", "3"])
    with pytest.raises(UserError, match="add --open-set"):
        evaluate_command.run([str(runs["pixels"]), "--false-alarms", "0.2"])
    with pytest.raises(UserError, match=r"--false-alarms 1\.0: it is a share"):
        evaluate_command.run([*words, "--false-alarms", "1"])
