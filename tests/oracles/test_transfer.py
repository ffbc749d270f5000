"""Parts of gentle fine-tuning against their formulae, and by hand."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.cli.main import main
from quickstudy.errors import UserError
from quickstudy.learners.baseline.transfer import by_layer, groups, slanted_triangle
from quickstudy.learners.descent import descend
from quickstudy.networks import MLP, Conv4, WithHead
from quickstudy.runs.search import search
from quickstudy.runs.train import train
from quickstudy.settings.learners import FineTuningSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

KEY = jax.random.key(0)
X, Y = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 3)), jnp.float32)


def network() -> WithHead:
    return WithHead(MLP((3,), hidden=(4, 4), key=KEY), 3, key=KEY)


def loss(network: WithHead):
    return jnp.mean((network(X)[0] - Y) ** 2)


def leaves(tree) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


@eqx.filter_jit
def tuned(steps: int, decay: float, unfreeze_every: int):
    optimizer = optax.chain(optax.sgd(0.1), by_layer(decay, unfreeze_every))
    return descend(loss, network(), optimizer, steps)


def test_groups_count_down_from_the_head():
    conv = groups(eqx.filter(WithHead(Conv4((28, 28, 1), filters=2, key=KEY), 2, key=KEY), True))
    arrays = eqx.filter(network(), eqx.is_inexact_array)
    assert jax.tree.leaves(groups(arrays)) == [2, 2, 1, 1, 0, 0]
    assert sorted(set(jax.tree.leaves(conv))) == [0, 1, 2, 3, 4]


def test_earlier_layers_take_smaller_steps():
    start, found = network(), tuned(1, 0.5, 0)
    gradients = leaves(eqx.filter_grad(loss)(start))
    for before, after, gradient, group in zip(
        leaves(start), leaves(found), gradients, [2, 2, 1, 1, 0, 0], strict=True
    ):
        expected = before - 0.1 * 0.5**group * gradient
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-7)


def test_layers_unfreeze_from_the_top():
    """With two steps a group, the first layer moves from the fifth step on, its neighbour from the
    third."""
    start = leaves(network())
    for steps, moving in ((2, [0, 0, 0, 0, 1, 1]), (4, [0, 0, 1, 1, 1, 1]), (5, [1] * 6)):
        found = leaves(tuned(steps, 1.0, 2))
        moved = [bool(np.any(a != b)) for a, b in zip(start, found, strict=True)]
        assert moved == list(map(bool, moving))


def test_with_every_part_off_nothing_changes():
    plain = eqx.filter_jit(lambda: descend(loss, network(), optax.sgd(0.1), 3))()
    for a, b in zip(leaves(plain), leaves(tuned(3, 1.0, 0)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_schedule_is_the_papers_formula():
    """Equation 3 with T = 50 steps, cut_frac = 0.1, ratio = 32."""
    cut = 5
    for t in range(50):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / 0.1 - 1))
        expected = 0.3 * (1 + p * (32 - 1)) / 32
        assert float(slanted_triangle(0.3, 50)(jnp.asarray(t))) == pytest.approx(expected, rel=1e-5)


def test_parts_about_layers_need_the_whole_network():
    with pytest.raises(UserError, match="--whole-network"):
        FineTuningSettings(layer_decay=0.5)


def test_options_are_chosen_on_validation_classes(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 1, 4)) + 0.3 * rng.normal(size=(10, 6, 4))
    np.savez(tmp_path / "own.npz", x=x.reshape(-1, 4), y=np.repeat(np.arange(10), 6))
    settings = RunSettings(
        FineTuningSettings(network=NetworkSettings("mlp", hidden=(8,))),
        TaskSettings(f"npz:{tmp_path / 'own.npz'}", way=2, shot=1, query=3, train_query=8),
        TrainingSettings(steps=20, validate_every=20, validation_episodes=2),
    )
    run = tmp_path / "run"
    train(settings, run, show_progress=False)
    assert search(run, {"head_steps": [0, 20]}, episodes=50).best == {"head_steps": 20}
    found = json.loads((run / "search.json").read_text())
    chance, tuned = (c["accuracy"]["mean"] for c in found["candidates"])
    assert chance == 0.5 < tuned  # without a step the head knows nothing
    assert found["candidates"][0]["protocol"]["part"] == "validation"
    with pytest.raises(UserError, match="no --test-steps"):
        search(run, {"test_steps": [1]})

    said = said_by(capsys, "search", run, "--head-steps", "20", "0", "--episodes", "50")
    assert f"best: --head-steps 20    next: quickstudy evaluate {run} --searched" in said
    plain, searched = (
        json.loads(said_by(capsys, "evaluate", run, "--episodes", "20", "--json", *words))
        for words in ([], ["--searched"])
    )
    by_100_steps, by_20 = (found["results"][0]["nll"]["mean"] for found in (plain, searched))
    assert by_100_steps != by_20
    assert main(["search", str(run)]) == 2
    assert (
        "which options? finetune has --match, --head-steps, --head-rate" in capsys.readouterr().err
    )
    (run / "search.json").unlink()
    assert main(["evaluate", str(run), "--searched"]) == 2
    assert "quickstudy search" in capsys.readouterr().err


def said_by(capsys, *words) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out
