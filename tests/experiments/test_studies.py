"""What the studies measure with, and what they write."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.cli.main import main
from quickstudy.estimate import Estimate
from quickstudy.experiments.diagrams import Map, Panel
from quickstudy.experiments.studies.feature_reuse import cka, frozen, representations
from quickstudy.experiments.studies.gates import SPREAD, gates, lines
from quickstudy.experiments.studies.memory import by_presentation, of_class, origins
from quickstudy.experiments.studies.study import Study, conduct
from quickstudy.experiments.studies.unrolls import bias_and_variance, bytes_needed, estimators
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.gradient.meta_lstm import GatedUpdate, MetaLSTM
from quickstudy.likelihood import Categorical
from quickstudy.networks import Conv4, WithHead
from quickstudy.optimizers.momentum import LearnedMomentum
from quickstudy.report.figures import diagrams
from quickstudy.task import Episode, Examples, FixedTasks
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.distorted import Warped
from quickstudy.tasks.problems.quadratics import Quadratics

KEY = jax.random.key(0)


def test_cka_is_the_definition_and_does_not_see_turns_and_scales():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 7)), rng.normal(size=(20, 5))
    x_centred, y_centred = x - x.mean(0), y - y.mean(0)
    norm = np.linalg.norm
    expected = norm(y_centred.T @ x_centred) ** 2 / (
        norm(x_centred.T @ x_centred) * norm(y_centred.T @ y_centred)
    )
    np.testing.assert_allclose(cka(jnp.asarray(x), jnp.asarray(y)), expected, rtol=1e-5)
    turned = 3 * x @ np.linalg.qr(rng.normal(size=(7, 7)))[0] + 1
    np.testing.assert_allclose(cka(jnp.asarray(x), jnp.asarray(turned)), 1, rtol=1e-5)
    assert expected < 0.9


@pytest.fixture(scope="module")
def maml() -> MAML:
    network = WithHead(Conv4((16, 16, 1), filters=4, stride=2, key=KEY), 2, key=KEY)
    return MAML(network, optax.sgd(0.1), train_steps=1, test_steps=2)


@pytest.fixture(scope="module")
def support() -> Examples:
    return Examples(jax.random.normal(KEY, (4, 16, 16, 1)), jnp.asarray([0, 1, 0, 1]))


@pytest.mark.parametrize("layers", [0, 2])
def test_frozen_blocks_stay_and_the_others_move(maml: MAML, support: Examples, layers: int):
    adapt = eqx.filter_jit(lambda learner: learner.adapt(support, Categorical(2), key=KEY))
    after = adapt(frozen(maml, layers)).network
    for i, (a, b) in enumerate(zip(maml.network.body.blocks, after.body.blocks, strict=True)):
        assert bool(jnp.all(a.kernel == b.kernel)) == (i < layers)
    assert not jnp.all(maml.network.head.weight == after.head.weight)
    if layers == 0:
        for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(adapt(maml).network), strict=True):
            np.testing.assert_array_equal(a, b)


def test_representations_end_in_what_the_network_gives(maml: MAML, support: Examples):
    found = representations(maml.network, support.x)
    assert [x.shape[1:3] for x in found[:4]] == [(8, 8), (4, 4), (2, 2), (1, 1)]
    np.testing.assert_allclose(found[4], maml.network(support.x)[0], rtol=1e-5)
    np.testing.assert_allclose(
        maml.network.head(found[3].mean((1, 2))), found[4], rtol=1e-4, atol=1e-5
    )


def test_gates_are_those_of_all_parameters(maml: MAML, support: Examples):
    """What the mean is over is every parameter once, whatever its layer."""
    update = jax.tree.map(lambda w: 40 * w if w.ndim else w, GatedUpdate(0.1, key=KEY))
    learner = MetaLSTM(maml.network, update, train_steps=3, test_steps=3)
    table = jax.tree.map(lambda x: x[None], Episode(support, support, Categorical(2)))
    found = gates(learner, FixedTasks(table, ()), 2)
    assert found.input.shape == (2, 3, 3)
    blocks = (*maml.network.body.blocks, maml.network.head)
    sizes = [sum(x.size for x in jax.tree.leaves(block)) for block in blocks]
    weighted = np.average(found.layers, axis=1, weights=sizes)
    np.testing.assert_allclose(found.input[:, 1], weighted, rtol=1e-5)
    for values in (found.forget, found.input):
        high, mean, low = np.moveaxis(np.asarray(values), 1, 0)
        assert np.all((low < mean) & (mean < high))
    drawn = lines(SPREAD, found.forget)
    assert drawn["mean"]["3"].mean == pytest.approx(float(found.forget[0, 1, 2]))


def second_moments(image: np.ndarray) -> np.ndarray:
    """The 2 × 2 matrix of an image taken as a density, over (x, y) from its middle."""
    y, x = np.indices(image.shape) - (image.shape[0] - 1) / 2
    places = np.stack([x.ravel(), y.ravel()])
    return (places * image.ravel()) @ places.T / image.sum()


def test_shear_and_scale_turn_second_moments_as_the_matrix_does():
    y, x = np.indices((41, 41)) - 20.0
    blob = np.exp(-(x**2 / 30 + y**2 / 12))[None, ..., None].astype(np.float32)
    source = ArraySource(blob, [0], [1], {})

    def warped(shear: float, scale: float) -> np.ndarray:
        tasks = Warped(source, jnp.asarray(shear), jnp.asarray(scale))
        return np.asarray(tasks.draw(KEY, jnp.asarray(0), 1))[0, ..., 0]

    np.testing.assert_allclose(warped(0.0, 1.0), blob[0, ..., 0], atol=1e-6)
    for shear, scale in ((0.5, 1.0), (0.0, 1.3), (0.4, 0.8)):
        matrix = scale * np.asarray([[1, shear], [0, 1]])
        np.testing.assert_allclose(
            second_moments(warped(shear, scale)),
            matrix @ second_moments(blob[0, ..., 0]) @ matrix.T,
            rtol=0.02,
            atol=0.1,
        )


def test_bias_and_variance_are_relative_to_the_gradient():
    rng = np.random.default_rng(0)
    true = [3.0, 4.0] + 0.1 * rng.normal(size=(4000, 2))
    shift = np.asarray([0.0, 1.0])
    bias, variance = bias_and_variance(true + shift + rng.normal(size=true.shape), true)
    assert abs(bias.mean - 1 / 5) < bias.half_width < 0.02
    np.testing.assert_allclose(variance.mean, 2 * (1 + 0.1**2) / 5**2, rtol=0.05)
    assert bias_and_variance(true, true)[0].mean == 0


def test_memory_of_a_window_does_not_grow_with_the_horizon():
    optimizer, problems = LearnedMomentum(), Quadratics(100)
    for name in ("back-propagation", "persistent evolution"):
        short, long = (
            bytes_needed(estimators(4, horizon)[name], optimizer, problems) for horizon in (8, 80)
        )
        assert long == short
    short, long = (
        bytes_needed(estimators(steps, steps)["back-propagation"], optimizer, problems)
        for steps in (8, 80)
    )
    assert long > short + 72 * 4 * 200


def test_what_is_read_is_put_down_to_the_last_that_was_written_there():
    written = np.zeros((4, 2, 3))
    written[0, 0, 0] = written[1, 1, 1] = written[2, 0, 1] = 0.9
    written[3, 1, 2] = 0.4  # not enough
    origin = np.asarray(origins(jnp.asarray(written)))
    np.testing.assert_array_equal(origin, [[0, -1, -1], [0, 1, -1], [0, 2, -1], [0, 2, -1]])
    y = jnp.asarray([5, 6, 5, 6])
    read = jnp.asarray([[0.2, 0.2, 0.6], [0.2, 0.2, 0.6], [0.3, 0.1, 0.6], [0.3, 0.1, 0.6]])
    # at time 2, slots of 5 (written at 0) and 6 (at 1); at time 3 both are of 5
    np.testing.assert_allclose(of_class(read, jnp.asarray(origin), y, y), [0, 0, 0.75, 0], 1e-5)


def test_shares_are_averaged_over_an_episode_first():
    presentations = np.asarray([[1, 1, 2], [1, 2, 3]])
    shares = np.asarray([[0.0, 0.5, 1.0], [0.75, 0.5, 0.25]])
    found = by_presentation(shares, presentations)
    assert [found[k].mean for k in "123"] == [0.5, 0.75, 0.25]
    assert found["3"].episodes == 1
    assert found["4"].episodes == 0


def test_a_study_is_written_and_drawn(tmp_path):
    curve = {"0": Estimate(0.5, 0.1, 10), "2": Estimate(0.75, 0.05, 10)}
    bars = {"before": Estimate(0.2, 0.1, 10), "after": Estimate(0.9, 0.1, 10)}
    panels = [
        Panel("A curve", "steps", "accuracy", {"one": curve, "other": curve}),
        Panel("Bars", "layer", "CKA", {"one": bars}),
        Map("A map", "time", "slot", np.asarray([[0.0, 0.12345], [1.0, 0.5]]), ("3", "1")),
    ]
    study = Study("A question", "somebody", "10 episodes", lambda budget, trained: iter(panels))
    assert conduct("asked", study, "cpu", tmp_path / "runs", tmp_path) == panels
    found = json.loads((tmp_path / "asked-cpu.json").read_text())
    assert found["panels"][0]["lines"]["one"]["2"] == {
        "mean": 0.75,
        "interval_95": 0.05,
        "episodes": 10,
    }
    assert found["panels"][2]["values"] == [[0, 0.123], [1, 0.5]]
    assert found["panels"][2]["columns"] == ["3", "1"]
    assert found["command"] == "quickstudy study asked"
    assert {"commit", "machine", "versions", "protocol", "trainings"} <= found.keys()
    assert diagrams(panels).startswith(b"\x89PNG")


def test_an_unknown_study_is_told_with_the_nearest(capsys):
    assert main(["study", "feature-reuze"]) == 2
    assert "did you mean feature-reuse?" in capsys.readouterr().err
