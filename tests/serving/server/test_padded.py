"""Padded sets give the answers of the sets themselves."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.likelihood import Categorical
from quickstudy.serving import adapted_file
from quickstudy.serving.server import learners, making
from quickstudy.serving.server.padded import Room, adapted, by_steps, compare, same_answers
from quickstudy.serving.support_set import SupportSet
from quickstudy.task import Examples

from . import tiny


def some(count: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(size=(count, *tiny.SHAPE)).astype(np.float32)


@pytest.mark.parametrize("place", range(4), ids=["protonet", "maml", "matching", "nearest"])
def test_padded_answers_are_those_of_the_set(place: int):
    one = tiny.shipped()[place]
    x, y = some(7), np.array([0, 0, 1, 1, 1, 2, 2], np.int32)
    queries = some(12)[7:]
    support, asked = Examples(jnp.asarray(x), jnp.asarray(y)), jnp.asarray(queries)
    alone = eqx.filter_jit(one.learner.adapt)(support, Categorical(3), key=jax.random.key(0))
    ways = 3 if one.name == "maml" else 6
    room = Room((20,), ways)
    made = adapted(one.learner, room.padded(x, y), ways)
    found = compare(*made, queries, 3, 7)
    wanted = np.asarray(alone(asked))
    np.testing.assert_allclose(found.logits, wanted, rtol=1e-3, atol=1e-3)
    distances = np.square(
        np.asarray(alone.embed(asked))[:, None] - np.asarray(alone.embed(support.x))
    ).sum(-1)
    assert (found.near == distances.argsort(1)[:, :3]).all()
    wanted = alone.attention(asked)
    if wanted is not None:
        np.testing.assert_allclose(found.attention, np.asarray(wanted), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.attention.sum(1), 1, rtol=1e-5)


def test_steps_of_maml_end_in_its_answer():
    one = tiny.shipped()[1]
    room, x, y = Room((16,), 3), some(4), np.array([0, 1, 1, 2], np.int32)
    support, queries = room.padded(x, y), some(6)[4:]
    steps = by_steps(one.learner, support, room, queries, 3)
    assert steps.shape == (one.learner.test_steps + 1, 2, 3)
    before, _ = one.learner.network(jnp.asarray(queries), one.learner.network(jnp.asarray(x))[1])
    np.testing.assert_allclose(steps[0], np.asarray(before), rtol=1e-3, atol=1e-4)
    after = compare(*adapted(one.learner, support, 3), queries, 3, 4).logits
    np.testing.assert_allclose(steps[-1], after, rtol=1e-4, atol=1e-5)


def test_a_learner_of_unlabelled_examples_is_found_out():
    """Batch statistics of the whole set: those of the padding too, unless they are not counted."""
    one = tiny.shipped()[0]

    class Reads(type(one.learner)):
        """Adds the mean of all rows, labelled or not, to what it compares."""

        def adapt(self, support, likelihood, *, key):
            made = super().adapt(support, likelihood, key=key)
            shift = 10 * support.x.mean() * jax.numpy.arange(likelihood.size)
            moved = made.prototypes + shift[:, None]
            return dataclasses.replace(made, prototypes=moved)

    found = object.__new__(Reads)
    for field in dataclasses.fields(one.learner):
        object.__setattr__(found, field.name, getattr(one.learner, field.name))
    assert same_answers(one.learner, Room((32,), 4), learners.noise(tiny.SHAPE))
    assert not same_answers(found, Room((32,), 4), learners.noise(tiny.SHAPE))


def test_room_grows_fourfold():
    assert Room.of(500, 3).sizes == (32, 128, 500)
    assert Room.of(20, 3).sizes == (20,)
    with pytest.raises(ValueError, match="at most 20"):
        Room((20,), 3).padded(some(21), np.zeros(21, np.int32))


def test_a_kept_model_has_no_padding(tmp_path):
    """What is written is what adapt would have written: the same shapes, the same answers."""
    learner = learners.warm(tiny.shipped()[0])
    support = SupportSet.of(some(5), ["b", "a", "b", "a", "c"], list("12345"))
    made = making.made("m", learner, support, 0.05).adapted
    adapted_file.save(tmp_path / "m.qs", making.cut(made))
    loaded = adapted_file.load(tmp_path / "m.qs")
    assert loaded.predictor.prototypes.shape[0] == 3
    queries = some(9)[5:]
    found = compare(made.predictor, made.seen, queries, 3, 5)
    p, score, near = loaded.answers(queries)
    exp = np.exp((found.logits - found.logits.max(1, keepdims=True)) / made.temperature)
    np.testing.assert_allclose(p, exp / exp.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        score, made.known.score(found.features, found.differences), rtol=1e-4
    )
    assert (near == found.near).all()
    assert loaded.support.names == ("a", "b", "c")
