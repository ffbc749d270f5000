"""What needs no training, beside runs on data of the user's own, as the command line shows it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import checkpoint
from quickstudy.cli.main import main
from quickstudy.evaluation import Met, Result
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.likelihood import Categorical
from quickstudy.networks import Residual
from quickstudy.runs.opponents import free_opponents, verdict
from quickstudy.runs.saved import SavedRun
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples

FEATURES = 20
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Thirty classes that two of twenty features tell apart; the others are noise of the same
    size."""
    rng = np.random.default_rng(0)
    means = np.zeros((30, FEATURES))
    means[:, :2] = rng.normal(size=(30, 2))
    x = np.repeat(means, 12, 0) + rng.normal(size=(360, FEATURES)) * ([0.2] * 2 + [1.0] * 18)
    path = tmp_path_factory.mktemp("own") / "data.npz"
    np.savez(path, x=x.astype(np.float32), y=np.repeat([f"c{i:02}" for i in range(30)], 12))
    return path


@pytest.fixture(scope="module")
def run(data):
    folder = data.parent / "run"
    words = ["train", "protonet", "--tasks", f"npz:{data}", "--way", "3", "--query", "5"]
    words += ["--train-way", "5", "--train-query", "5", "--steps", "200", "--learning-rate", "0.01"]
    assert main([*words, "--validation-episodes", "40", "--run", str(folder)]) == 0
    return folder


def test_features_begin_as_themselves():
    """Before a step, a prototypical network is the nearest mean of its inputs."""
    rng = np.random.default_rng(1)
    support = Examples(jnp.asarray(rng.normal(size=(9, 8)), jnp.float32), jnp.arange(9) % 3)
    queries = jnp.asarray(rng.normal(size=(40, 8)), jnp.float32)
    learner = ProtoNet(Residual((8,), key=KEY))
    opponent = free_opponents(TaskSpec((8,), Categorical(3), None))["nearest mean"]
    one, other = (of.adapt(support, Categorical(3), key=KEY)(queries) for of in (learner, opponent))
    np.testing.assert_array_equal(np.argmax(one, 1), np.argmax(other, 1))


def test_a_run_keeps_how_it_stands(run):
    stand = checkpoint.read_header(run / "learner.qs")["validation"]
    assert set(stand["opponents"]) >= {"nearest neighbour", "nearest mean", "ridge"}
    looks = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = max(row.get("validation accuracy", 0) for row in looks)
    assert stand["learner"]["mean"] == pytest.approx(best)
    free = max(of["mean"] for of in stand["opponents"].values())
    assert best > free + 0.1
    assert "is ahead of what needs no training" in stand["verdict"]


def test_a_run_on_features_takes_the_network_that_begins_as_them(run):
    saved = SavedRun.open(run)
    assert isinstance(saved.learner().network, Residual)
    assert saved.settings.training.patience == 10


def test_evaluate_shows_them_on_the_same_episodes(run, capsys):
    assert main(["evaluate", str(run), "--episodes", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    [own] = found["results"]
    for name, of in found["opponents"].items():
        assert of["protocol"] == {**own["protocol"], "learner": name}
    assert found["verdicts"]["protonet"].startswith("protonet is ahead")


def test_a_run_that_began_without_patience_goes_on_without(data):
    """As the runs of earlier versions: their configuration has neither option."""
    folder = data.parent / "older"
    words = ["train", "protonet", "--tasks", f"npz:{data}", "--way", "3", "--query", "5"]
    words += ["--train-way", "5", "--train-query", "5", "--steps", "4", "--network", "mlp"]
    words += ["--validation-episodes", "4", "--run", str(folder)]
    assert main(words) == 0
    path = folder / "config.json"
    written = json.loads(path.read_text())
    del written["training"]["patience"]
    written["learner"]["network"]["network"] = "auto"
    path.write_text(json.dumps(written))
    words[words.index("--network") : words.index("--network") + 2] = []
    assert main(words) == 0
    assert json.loads(path.read_text()) == written


def result(values) -> Result:
    accuracy = np.asarray(values, float)
    return Result({"accuracy": accuracy}, None, "accuracy", True, Met({}))


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ([0.9, 0.8, 0.9, 0.8], "learner is ahead of what needs no training: of the best of it, b"),
        ([0.3, 0.2, 0.3, 0.2], "learner is BEHIND b, which needs no training, by 30.0 ± 0.0"),
        ([0.9, 0.3, 0.2, 0.8], "learner is level with b, which needs no training"),
    ],
)
def test_the_verdict_says_who_is_ahead(own, said):
    free = {"a": result([0.1, 0.2, 0.1, 0.2]), "b": result([0.6, 0.5, 0.6, 0.5])}
    assert verdict("learner", result(own), free).startswith(said)
