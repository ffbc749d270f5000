"""Learned optimisers from settings and the command line; the search for opponents' rates."""

import io
import json
import tarfile

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import quickstudy
from quickstudy.cli import main
from quickstudy.datasets import cifar10
from quickstudy.errors import UserError
from quickstudy.estimate import Estimate
from quickstudy.experiments import opponents
from quickstudy.experiments.opponents import RATES, tune, tuned_once
from quickstudy.experiments.race import first_below, race
from quickstudy.optimization import minimise_many
from quickstudy.report.figures import diagrams
from quickstudy.runs.kinds import OPTIMIZER
from quickstudy.runs.problems import own_problems, problems_of
from quickstudy.runs.saved import SavedRun, shipped_optimizers
from quickstudy.runs.train import train
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.optimizers import LSTMOptimizerSettings, MomentumOptimizerSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.registry import OPTIMIZERS
from quickstudy.settings.training import TrainingSettings
from quickstudy.settings.unrolling import UnrollSettings
from quickstudy.task import Optimizee, TaskDistribution

KEY = jax.random.key(0)


class Parabola(Optimizee):
    def init(self, key):
        return jnp.asarray([1.0])

    def loss(self, parameters, key):
        return 2.0 * jnp.sum(parameters**2)


class Parabolas(TaskDistribution[Parabola]):
    """f(θ) = 2 θ² from θ = 1: a step of SGD multiplies θ by 1 - 4 α."""

    def sample(self, key):
        return Parabola()

    def protocol(self):
        return {"problems": "parabolas"}


@pytest.fixture(autouse=True, scope="module")
def few_opponents():
    """Each costs some seconds to compile."""
    with pytest.MonkeyPatch.context() as patch:
        few = {name: opponents.OPPONENTS[name] for name in ("SGD", "Adam")}
        patch.setattr(opponents, "OPPONENTS", few)
        yield


@pytest.mark.parametrize("make", opponents.OPPONENTS.values(), ids=opponents.OPPONENTS)
def test_every_opponent_takes_a_rate_and_minimises(make):
    theta = jnp.ones(1)
    for rate in (0.01, 0.02):
        optimizer = make(rate)
        state, steps = optimizer.init(theta), 0.0
        for _ in range(2):
            step, state = optimizer.update(4 * theta, state, theta)
            steps += float(step[0])
        assert -1 < steps < 0


@pytest.fixture(scope="module")
def tuned():
    return tune(Parabolas(), steps=5, count=2)


def test_the_search_finds_the_rate_that_the_closed_form_says(tuned):
    losses = {rate: 2 * (1 - 4 * rate) ** 10 for rate in RATES}
    assert tuned["SGD"].rate == min(losses, key=losses.__getitem__)
    for rate, found in tuned["SGD"].losses.items():
        np.testing.assert_allclose(found.mean, losses[rate], rtol=1e-3, atol=1e-9)


def test_a_search_is_kept_and_read_again(tmp_path, tuned, monkeypatch):
    first = tuned_once(tmp_path, Parabolas(), steps=5, count=2)
    assert first == tuned
    monkeypatch.setattr("quickstudy.experiments.opponents.tune", None)
    assert tuned_once(tmp_path, Parabolas(), steps=5, count=2) == first


def test_a_race_pairs_problems_and_finds_the_step():
    found = race({"fast": optax.sgd(0.2)}, Parabolas(), steps=5, count=4, tuning=2)
    fast = [2 * 0.2 ** (2 * t) for t in range(6)]
    np.testing.assert_allclose(found.curves["fast"].losses, [fast] * 4, rtol=1e-4)
    expected = found.curves["SGD"].losses[0, -1] - fast[-1]
    assert found.ahead("SGD").mean == pytest.approx(expected, abs=1e-9)
    adam = found.curves["Adam"].losses[0, -1]
    steps = found.steps_to_adam("fast")
    reached = first_below(np.array(fast), adam)
    assert steps == (None if reached is None else Estimate(reached, 0, 4))
    assert found.summary()["optimizers"]["SGD"]["rate"] == found.tuned["SGD"].rate
    assert diagrams([found.panel(), found.search_panel("rates")]).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="not the same tasks"):
        found.curves["fast"].difference(minimise_many(optax.sgd(1.0), Parabolas(), steps=5), 5)


def small(steps: int = 30, **training) -> OptimizerRunSettings:
    return OptimizerRunSettings(
        MomentumOptimizerSettings(rate=1e-4),
        ProblemSettings("quadratics", dimensions=2),
        UnrollSettings(unroll=5, horizon=10),
        TrainingSettings(
            steps=steps,
            meta_batch=4,
            learning_rate=0.1,
            validate_every=15,
            validation_episodes=20,
            **training,
        ),
    )


def test_training_lowers_the_loss_and_the_file_holds_what_was_trained(tmp_path):
    settings = small()
    trained = train(settings, tmp_path / "run", show_progress=False)
    saved = SavedRun.open(tmp_path / "run", OPTIMIZER)
    found, loaded = saved.settings, saved.learner()
    assert found == settings.resolved()
    for a, b in zip(jax.tree.leaves(trained), jax.tree.leaves(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    problems = problems_of(settings.problems)
    untrained = settings.optimizer.build(KEY)
    before, after = (minimise_many(o, problems, steps=10, count=100) for o in (untrained, loaded))
    behind = before.difference(after, 10)
    assert behind.mean > behind.half_width
    transformation = quickstudy.load_optimizer(tmp_path / "run")
    theta = jnp.ones(3)
    updates, _ = transformation.update(theta, transformation.init(theta))
    expected, _ = loaded.update(theta, loaded.init(theta))
    np.testing.assert_array_equal(updates, expected)


def test_a_clipped_meta_gradient_moves_no_further_than_it_may(tmp_path):
    settings = small(steps=1, clip=1e-3, meta_optimizer="sgd")
    trained = train(settings, tmp_path / "run", show_progress=False)
    start = settings.optimizer.build(KEY)
    after, before = (eqx.filter(x, eqx.is_array) for x in (trained, start))
    moved = jax.tree.leaves(jax.tree.map(jnp.subtract, after, before))
    assert float(jnp.linalg.norm(jnp.stack(moved))) == pytest.approx(0.1 * 1e-3, rel=1e-2)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_settings_survive_json(name):
    settings = OptimizerRunSettings(
        OPTIMIZERS[name](), ProblemSettings(hidden=(3, 4)), UnrollSettings()
    )
    assert OptimizerRunSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_kernels_have_weights_of_their_own():
    optimizer = LSTMOptimizerSettings(layers=1, units=2, by_kind=True).build(KEY)
    gradients = {"kernel": jnp.ones((3, 3, 1, 2)), "weight": jnp.ones((2, 2))}
    updates, _ = optimizer.update(gradients, optimizer.init(gradients))
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, gradients)
    assert not np.isclose(updates["kernel"].ravel()[0], updates["weight"].ravel()[0])


def test_the_command_line_trains_and_compares(tmp_path, capsys):
    run = str(tmp_path / "run")
    words = ["--dimensions", "2", "--unroll", "5", "--horizon", "10", "--steps", "4"]
    quick = ["--meta-batch", "2", "--validation-episodes", "4"]
    assert main(["train", "momentum-optimizer", "--run", run, *words, *quick]) == 0
    assert "quickstudy optimize" in capsys.readouterr().out
    picture = tmp_path / "curves.png"
    command = ["optimize", run, "--count", "3", "--tuning", "2", "--steps", "4"]
    assert main([*command, "--picture", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "untuned" in said
    assert "problems quadratics, dimensions 2" in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"]["count"] == 3
    assert found["optimizers"]["Adam"]["rate"] in RATES
    for words in (["evaluate", run], ["optimize", str(tmp_path / "nothing")]):
        assert main(words) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "quickstudy optimize" in line or "is not a run" in line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tasks", "quadratic"], "did you mean quadratics"),
        (["--tasks", "nowhere.py"], "there is no file"),
        (["--horizon", "30"], "multiple of --unroll 20"),
        (["--shortest", "200"], "above --horizon"),
        (["--deviation", "0"], "above 0"),
        (["--clip", "0"], "above 0"),
        (["--second-order", "--estimator", "persistent"], "goes with backpropagation"),
        (["--momentum", "1"], "between 0 and 1"),
    ],
)
def test_mistakes_are_one_line(words, expected, tmp_path, capsys):
    assert main(["train", "momentum-optimizer", "--run", str(tmp_path / "run"), *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert expected in line


def test_own_problems_are_checked(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("from quickstudy.tasks.sinusoid import Sinusoid\nclass Mine(Sinusoid): ...\n")
    with pytest.raises(UserError, match="not an Optimizee"):
        own_problems(str(path))
    path.write_text("x = 1\n")
    with pytest.raises(UserError, match="defines 0 subclasses"):
        own_problems(str(path))


def test_an_unknown_or_damaged_optimiser_is_one_line(tmp_path):
    with pytest.raises(UserError, match="there is no trained optimiser"):
        quickstudy.load_optimizer("nobody")
    path = tmp_path / "broken.qs"
    path.write_bytes(b"not an archive")
    with pytest.raises(UserError, match="damaged"):
        quickstudy.load_optimizer(path)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """CIFAR-10's archive with few, made-up photographs."""
    monkeypatch.setattr(cifar10, "PER_FILE", 3)
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (6, 3, cifar10.RECORD), dtype=np.uint8)
    records[..., 0] %= 10
    path = tmp_path / cifar10.NAME
    with tarfile.open(path, "w:gz") as made:
        for name, content in zip((*cifar10.TRAIN, *cifar10.TEST), records, strict=True):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = content.size
            made.addfile(info, io.BytesIO(content.tobytes()))
    monkeypatch.setenv("QUICKSTUDY_DATA", str(tmp_path))
    return path, records


def test_cifar10_is_read_from_its_binary_archive(archive):
    path, records = archive
    data = cifar10.load()
    assert data.train_x.shape == (15, 32, 32, 3)
    assert data.test_y.tolist() == records[5, :, 0].tolist()
    pixel = records[1, 2, 1 + 1024 + 32 * 5 + 7]  # green, row 5, column 7, of the sixth
    assert data.train_x[5, 5, 7, 1] == pixel
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        cifar10.load()


@pytest.mark.parametrize("name", shipped_optimizers())
def test_the_optimisers_that_come_along_minimise(name):
    problems = problems_of(ProblemSettings("logistic", dimensions=4))
    curves = minimise_many(quickstudy.load_optimizer(name), problems, steps=60, count=10)
    gained = Estimate.of(curves.losses[:, 0] - curves.losses[:, -1])
    assert gained.mean > gained.half_width


def test_there_are_two_of_them():
    assert shipped_optimizers() == ["hierarchical", "lstm"]
