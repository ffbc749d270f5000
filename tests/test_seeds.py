"""Several seeds: together, one after the other, and alone; and how they differ."""

import json
import signal
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float, Int

from quickstudy import memory
from quickstudy.cli import main
from quickstudy.errors import UserError
from quickstudy.estimate import Estimate
from quickstudy.evaluation import Met, Result, average, paired_difference
from quickstudy.experiments.published import RECIPES
from quickstudy.experiments.published.recipe import Figure, Recipe
from quickstudy.experiments.reproduce import reproduce
from quickstudy.experiments.results_page import table
from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Gaussian
from quickstudy.settings.learners import MAMLSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.training import (
    SeedRun,
    TrainingStopped,
    Validation,
    meta_train,
    meta_train_seeds,
)


class Around(TaskDistribution[Episode]):
    """Targets around a level that all tasks share."""

    level: Float[Array, ""]

    def sample(self, key):
        y = self.level + jax.random.normal(key, (4, 1))
        x = jnp.zeros((4, 1))
        return Episode(Examples(x[:2], y[:2]), Examples(x[2:], y[2:]), Gaussian(1))

    def protocol(self):
        return {"data": "around"}


class Everywhere(Predictor):
    level: Float[Array, ""]

    def __call__(self, x):
        return jnp.full((len(x), 1), self.level)


class Guess(Learner):
    """A level that is learned, and one of each seed's own that is not, under a function that has
    another identity in each."""

    level: Float[Array, ""]
    own: Int[Array, ""]
    between: object = eqx.field(static=True)

    def adapt(self, support, likelihood, *, key):
        seen = jnp.mean(support.y) + 0.1 * jax.random.normal(key)
        return Everywhere(self.between(self.level + 0.1 * self.own, seen))


TASKS = Around(jnp.asarray(5.0))
SEEDS = (3, 4, 5)
OPTIONS = {
    "steps": 30,
    "meta_batch": 4,
    "checkpoint_seconds": 0,
    "validation": Validation(Around(jnp.asarray(4.0)), every=10, episodes=10),
}


def runs(folder: Path | None = None, seeds=SEEDS) -> list[SeedRun]:
    return [
        SeedRun(
            seed,
            Guess(jnp.asarray(seed / 10), jnp.asarray(seed), lambda a, b: 0.5 * (a + b)),
            None if folder is None else folder / str(seed),
            {"seed": seed},
        )
        for seed in seeds
    ]


ADAM = optax.adam(0.05)


def train(
    folder: Path | None = None, seeds=SEEDS, optimizer=ADAM, **changed
) -> dict[int, np.ndarray]:
    """The trained level of each seed."""
    options = OPTIONS | {"together": True} | changed
    trained = meta_train_seeds(runs(folder, seeds), TASKS, optimizer, **options)
    return {run.seed: np.asarray(learner.level) for run, learner, _ in trained}


@pytest.fixture(scope="module")
def alone() -> dict[int, np.ndarray]:
    found = {}
    for run in runs():
        learner = meta_train(run.learner, TASKS, optax.adam(0.05), seed=run.seed, **OPTIONS)
        assert int(learner.own) == run.seed
        found[run.seed] = np.asarray(learner.level)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[dict[int, np.ndarray], Path]:
    folder = tmp_path_factory.mktemp("whole")
    return train(folder), folder


def figures(folder: Path, seed: int) -> list[dict[str, float]]:
    rows = map(json.loads, (folder / str(seed) / "metrics.jsonl").read_text().splitlines())
    return [
        {k: v for k, v in row.items() if k != "seconds"}
        for row in rows
        if "seconds compiling" not in row
    ]


def test_one_after_the_other_each_seed_has_the_bits_of_training_it_alone(alone):
    assert train(together=False) == alone


def test_together_they_differ_from_each_alone_by_rounding_and_from_one_another_by_more(
    alone, whole
):
    assert list(whole[0]) == list(SEEDS)
    for seed in SEEDS:
        np.testing.assert_allclose(whole[0][seed], alone[seed], rtol=1e-5)
    assert len({round(float(level), 3) for level in alone.values()}) == len(SEEDS)


def test_together_the_figures_of_each_are_those_of_training_it_alone(tmp_path, whole):
    train(tmp_path, together=False)
    for seed in SEEDS:
        one, other = figures(tmp_path, seed), figures(whole[1], seed)
        assert [list(row) for row in one] == [list(row) for row in other]
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-4)
        names = [
            sorted(path.name for path in (folder / str(seed)).rglob("*"))
            for folder in (tmp_path, whole[1])
        ]
        assert names[0] == names[1]


def test_together_on_two_devices(whole):
    found = train(devices=2)
    for seed in SEEDS:
        np.testing.assert_allclose(found[seed], whole[0][seed], rtol=1e-5)


def stopped(folder: Path, **changed) -> None:
    """Three steps, each followed by a signal."""

    def update(*given):
        signal.raise_signal(signal.SIGTERM)
        return ADAM.update(*given)

    interrupting = optax.GradientTransformation(ADAM.init, update)
    handler = signal.signal(signal.SIGTERM, lambda *_: None)  # tracing repeats itself
    try:
        for step in (1, 2, 3):
            with pytest.raises(TrainingStopped, match=f"stopped at step {step};"):
                train(folder, optimizer=interrupting, **changed)
    finally:
        signal.signal(signal.SIGTERM, handler)


def test_stopped_together_they_end_in_the_same_bits(tmp_path, whole):
    stopped(tmp_path)
    assert train(tmp_path) == whole[0]
    for seed in SEEDS:
        assert figures(tmp_path, seed) == figures(whole[1], seed)


def test_killed_between_the_checkpoints_of_two_seeds_they_end_in_the_same_bits(tmp_path, whole):
    """The first seed's newest was written, the others' not yet."""
    stopped(tmp_path)
    for seed in SEEDS[1:]:
        (tmp_path / str(seed) / "checkpoints" / "step-000000003.qs").unlink()
    assert train(tmp_path) == whole[0]
    for seed in SEEDS:
        assert figures(tmp_path, seed) == figures(whole[1], seed)


def test_one_that_is_ahead_goes_on_alone(tmp_path, alone):
    stopped(tmp_path, seeds=SEEDS[:1])
    found = train(tmp_path)
    assert found[SEEDS[0]] == alone[SEEDS[0]]
    for seed in SEEDS[1:]:
        np.testing.assert_allclose(found[seed], alone[seed], rtol=1e-5)


def test_without_memory_for_all_they_go_one_after_the_other(alone, monkeypatch):
    asked = []

    def require(program, devices):
        asked.append(program)
        if len(asked) == 1:
            raise UserError("training needs 9 GiB of memory and 2 GiB are free")

    monkeypatch.setattr(memory, "require", require)
    assert train() == alone


def test_a_loss_that_is_no_number_names_its_seed():
    with pytest.raises(UserError, match=r"the loss of seed \d is not a number at step \d+"):
        list(meta_train_seeds(runs(), TASKS, optax.sgd(1e15), **OPTIONS, together=True))


def result(values, **protocol) -> Result:
    met = Met({"seed": 0, **protocol})
    return Result({"accuracy": np.asarray(values)}, np.ones((15, 3)), "accuracy", True, met)


def test_the_average_over_seeds_and_its_interval():
    values = np.random.default_rng(0).normal(0.9, 0.05, (5, 40)) + np.linspace(0, 0.1, 5)[:, None]
    found = average({seed: result(v) for seed, v in enumerate(values, 3)})
    assert found.protocol["training seeds"] == [3, 4, 5, 6, 7]
    assert found.estimate().half_width == pytest.approx(Estimate.of(values).half_width)
    assert found.estimate().trainings == (5,)
    assert found.estimate().mean == pytest.approx(values.mean())
    of_seeds = values.mean(1)
    assert found.bins is not None
    assert found.bins[0, 0] == 5
    told = json.loads(json.dumps(found.summary()))["accuracy"]
    assert told["over_seeds"]["values"] == pytest.approx(of_seeds.tolist())
    assert told["over_seeds"]["deviation"] == pytest.approx(of_seeds.std(ddof=1))
    assert told["interval_95"] == pytest.approx(found.estimate().half_width)
    difference = paired_difference(found, result(values[0]))
    expected = Estimate.of(values, values[:1])
    assert difference.half_width == pytest.approx(expected.half_width)
    assert difference.trainings == expected.trainings
    assert difference.mean == pytest.approx((values.mean(0) - values[0]).mean())


def test_seeds_on_other_episodes_have_no_average():
    with pytest.raises(ValueError, match="not the same tasks: way"):
        average({0: result([0.0, 1.0], way=5), 1: result([0.0, 1.0], way=20)})


def test_the_command_line_trains_evaluates_and_compares_several_seeds(tmp_path, capsys):
    words = ["train", "maml", "--tasks", "sinusoid", "--steps", "4", "--validation-episodes", "2"]
    several, one = tmp_path / "several", tmp_path / "one"
    assert main([*words, "--run", str(several), "--seed", "7", "--seeds", "2"]) == 0
    assert sorted(path.name for path in several.iterdir()) == ["seed-7", "seed-8"]
    assert main([*words, "--run", str(one), "--seed", "8"]) == 0
    configurations = [
        json.loads((path / "config.json").read_text()) for path in (one, several / "seed-8")
    ]
    assert configurations[0] == configurations[1]
    episodes = ["--episodes", "20", "--json"]
    told = []
    for run in (several, several / "seed-7", one):
        capsys.readouterr()
        assert main(["evaluate", str(run), *episodes]) == 0
        told.append(json.loads(capsys.readouterr().out)["results"][0]["mse"])
    both, each = told[0], [told[1]["mean"], told[2]["mean"]]
    assert both["over_seeds"]["values"] == pytest.approx(each, rel=1e-4)
    assert both["mean"] == pytest.approx(np.mean(each), rel=1e-4)
    assert main(["compare", str(several), str(one), *episodes]) == 0
    compared = json.loads(capsys.readouterr().out)["runs"]
    assert "over_seeds" in compared[str(several)]["mse"]
    assert {runs["interval"] for runs in compared.values()} == {
        "over 2 trainings and 20 test episodes together",
        "over 20 test episodes of one training; another training may differ by more",
    }
    worse = max(compared.values(), key=lambda found: found["mse"]["mean"])
    together = "over 2 trainings and 20 test episodes together; the other learner was trained once"
    assert worse["difference_from_best"]["interval"] == together
    assert main(["evaluate", str(several), "--episodes", "20"]) == 0
    said = capsys.readouterr().out
    assert "of maml, mean of 2: 95 % interval over 2 trainings and 20 test episodes" in said
    assert "20 test episodes of one training; another training may differ by more" in said
    assert "standard deviation over 2 trainings" in said


def test_a_row_of_several_seeds_tells_their_spread(tmp_path, monkeypatch):
    """Untrained networks, which differ in where they start."""
    tasks = TaskSettings(tasks="sinusoid", shot=2, query=4)
    figure = Figure(
        "untrained",
        RunSettings(MAMLSettings(), tasks, TrainingSettings(steps=0)),
        tasks,
        0.5,
        episodes=4,
    )
    monkeypatch.setitem(RECIPES, "untrained", lambda budget: Recipe("Untrained", "", (figure,)))
    folders = (tmp_path / "runs", tmp_path / "results")
    (one,) = reproduce("untrained", "cpu", *folders, show_progress=False)["figures"]
    assert "| 4 test episodes of one training |" in table(folders[1])
    row = reproduce("untrained", "cpu", *folders, seeds=3, show_progress=False)
    assert row["command"].endswith("--seeds 3")
    (several,) = row["figures"]
    values = several["mse"]["over_seeds"]["values"]
    assert values[0] == pytest.approx(one["mse"]["mean"])
    assert several["mse"]["mean"] == pytest.approx(np.mean(values))
    assert several["interval"] == "over 3 trainings and 4 test episodes together"
    page = table(folders[1])
    assert f"s of 3 trainings {np.std(values, ddof=1):.3f}" in page
    assert "| 3 trainings and 4 test episodes together |" in page
    assert f"± {several['mse']['interval_95']:.3f}" in page
    assert len(list(folders[0].iterdir())) == 3
