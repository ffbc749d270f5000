"""Classes from descriptions, against what they are with examples, and where descriptions come
from."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.errors import UserError
from quickstudy.learners.metric.zero_shot import ZeroShotProtoNet
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP, WithHead
from quickstudy.runs.train import train
from quickstudy.settings.learners import ProtoNetSettings, ZeroShotSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.task import Examples
from quickstudy.tasks.glyphs import CONTROLS, STROKES, Glyphs, Program, flat
from quickstudy.tasks.zero_shot import Described, ZeroShot

KEY = jax.random.key(0)
WAY, D = 4, 6
RNG = np.random.default_rng(0)
TOLD = jnp.asarray(RNG.normal(size=(WAY, D)), jnp.float32)
SEEN = jnp.asarray(RNG.normal(size=(9, D)), jnp.float32)


@eqx.filter_jit
def logits(learner, support: Examples, x):
    return learner.adapt(support, Categorical(WAY), key=KEY)(x)


def identity() -> MLP:
    """A network without layers."""
    return MLP((D,), hidden=(), key=KEY)


def test_with_the_identity_a_picture_belongs_to_the_description_at_the_smallest_angle():
    learner = ZeroShotProtoNet(identity(), identity())
    found = logits(learner, Examples(3 * TOLD, jnp.arange(WAY)), SEEN)
    direction = np.asarray(TOLD) / np.linalg.norm(TOLD, axis=1, keepdims=True)
    expected = -np.sum((np.asarray(SEEN)[:, None] - direction) ** 2, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(np.argmax(found, 1), np.argmax(SEEN @ direction.T, 1))


def test_linear_maps_are_those_of_the_paper():
    f, g = (WithHead(identity(), 5, key=k) for k in jax.random.split(KEY))
    found = logits(ZeroShotProtoNet(f, g), Examples(TOLD, jnp.arange(WAY)), SEEN)
    z, c = (np.asarray(x @ n.head.weight + n.head.bias, float) for n, x in ((f, SEEN), (g, TOLD)))
    c /= np.linalg.norm(c, axis=1, keepdims=True)
    np.testing.assert_allclose(found, -np.sum((z[:, None] - c) ** 2, -1), rtol=1e-4, atol=1e-4)


def test_networks_that_do_not_meet_are_refused():
    with pytest.raises(ValueError, match="must meet in one space"):
        ZeroShotProtoNet(identity(), MLP((D,), hidden=(3,), key=KEY))
    with pytest.raises(ValueError, match="too few to normalise by"):
        ZeroShotProtoNet(identity(), MLP((D,), hidden=(D,), normalise=True, key=KEY))


def test_an_episode_is_descriptions_and_pictures_of_the_same_classes(clusters):
    source = clusters(noise=0.0)
    numbers = np.arange(source.classes, dtype=np.float32)[:, None]
    tasks = ZeroShot(Described(source, numbers), WAY, 3)
    episode = jax.jit(lambda key: tasks.sample(key))(KEY)
    centres = np.asarray([source.draw(KEY, jnp.asarray(c), 1)[0] for c in range(source.classes)])
    classes = np.asarray(episode.support.x)[:, 0].astype(int)
    assert len(set(classes)) == WAY
    assert np.asarray(episode.support.y).tolist() == list(range(WAY))
    np.testing.assert_allclose(episode.query.x, centres[classes[episode.query.y]], rtol=1e-6)


def test_the_description_of_a_glyph_tells_its_whole_program():
    """Every part that drawings depend on can be read off it again."""
    glyphs, labels = Glyphs(1000), jnp.arange(40)
    both = jax.jit(jax.vmap(lambda label: (glyphs.describe(label), glyphs.program(label))))
    descriptions, programs = jax.device_get(both(labels))
    assert 0.3 < np.std(descriptions) < 3
    for label in labels:
        told = descriptions[label].reshape(STROKES, -1)
        program = jax.tree.map(lambda x, label=label: x[label], programs)
        shapes, attached, start, parent, place = np.split(
            told, np.cumsum([2 * CONTROLS, 1, 2, STROKES - 1]), axis=1
        )
        np.testing.assert_allclose(
            0.25 * shapes.reshape(STROKES, CONTROLS, 2), program.shapes, atol=1e-6
        )
        on = np.asarray(program.attached)
        np.testing.assert_array_equal(attached[:, 0], on)
        np.testing.assert_allclose(0.25 * start[~on] + 0.5, program.start[~on], atol=1e-6)
        np.testing.assert_array_equal(np.argmax(parent[on], 1), program.parent[on])
        np.testing.assert_allclose(0.25 * place[on, 0] + 0.5, program.along[on], atol=1e-6)
        np.testing.assert_allclose(0.25 * place[on, 1] + 0.5, program.pivot[on], atol=1e-6)


def test_what_a_program_says_of_strokes_that_are_attached_or_not_does_not_mix():
    """Where an attached stroke would start on the page is not drawn, and not told."""
    program = jax.jit(lambda label: Glyphs(1000).program(label))(jnp.asarray(3))
    elsewhere = eqx.tree_at(
        lambda p: p.start, program, jnp.where(program.attached[:, None], 9.0, program.start)
    )
    assert isinstance(elsewhere, Program)
    np.testing.assert_array_equal(flat(elsewhere), flat(program))


SMALL = NetworkSettings("mlp-norm", hidden=(16,))
STEPS = TrainingSettings(steps=2, validation_episodes=2)


@pytest.mark.parametrize(
    ("learner", "tasks", "message"),
    [
        (ZeroShotSettings(SMALL), {}, "learns from descriptions of classes: add --zero-shot"),
        (
            ProtoNetSettings(SMALL),
            {"zero_shot": True},
            "learns from examples: leave out --zero-shot",
        ),
        (
            ZeroShotSettings(SMALL),
            {"zero_shot": True, "rotations": "classes"},
            "once they are rotated",
        ),
        (
            ZeroShotSettings(SMALL),
            {"zero_shot": True, "tasks": "sinusoid"},
            "is about classes to draw",
        ),
    ],
)
def test_tasks_that_do_not_suit_are_refused(learner, tasks, message, tmp_path):
    settings = RunSettings(learner, TaskSettings(image_size=16, **tasks), STEPS)
    with pytest.raises(UserError, match=message):
        train(settings, tmp_path / "run", show_progress=False)


def test_shots_of_nothing_are_refused():
    with pytest.raises(UserError, match="leave out --shot"):
        TaskSettings(zero_shot=True, shot=5)
