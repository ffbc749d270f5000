"""Pairs, episodes within one group, and distortions, against what they are said to be."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.distorted import Distorted, distorted, some_distortion
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.pairs import Pairs
from quickstudy.tasks.within import Division, OneHand

ALPHABETS = ["Greek"] * 3 + ["Latin"] * 5 + ["Runes"] * 2 + ["Greek"] * 2
EACH = 6
seeds = st.integers(0, 2**31 - 1)


def numbered() -> ArraySource:
    """Examples that say their class and their number."""
    x = np.stack(np.divmod(np.arange(len(ALPHABETS) * EACH), EACH), axis=1)
    count = np.full(len(ALPHABETS), EACH)
    return ArraySource(x.astype(np.float32), EACH * np.arange(len(ALPHABETS)), count, {"data": "n"})


@functools.cache
def some_pairs(within: bool):
    tasks = Pairs(numbered(), 4, Division.of(ALPHABETS, 2) if within else None)
    return jax.jit(lambda seed: tasks.sample(jax.random.key(seed)))


@given(seeds, st.booleans())
def test_pairs_are_what_their_labels_say(seed, within):
    task = some_pairs(within)(seed)
    assert task.support.x.shape == (0, 2)
    assert task.query.x.shape == (8, 2, 2)
    classes, examples = np.asarray(task.query.x, int).transpose(2, 0, 1)
    same = np.asarray(task.query.y) == 1
    assert same.sum() == 4
    np.testing.assert_array_equal(classes[:, 0] == classes[:, 1], same)
    assert np.all(examples[same, 0] != examples[same, 1])
    if within:
        groups = np.asarray(ALPHABETS)[classes]
        assert np.all(groups[:, 0] == groups[:, 1])


@pytest.mark.parametrize("within", [False, True])
def test_every_class_or_every_group_comes_as_often_as_the_others(within):
    tasks = Pairs(numbered(), 1000, Division.of(ALPHABETS, 2) if within else None)
    classes = np.asarray(eqx.filter_jit(tasks.sample)(jax.random.key(0)).query.x[..., 0], int)
    for counted in (classes[:1000, 0], classes[1000:, 0], classes[1000:, 1]):
        if within:
            _, counted = np.unique(np.asarray(ALPHABETS)[counted], return_inverse=True)
        assert stats.chisquare(np.bincount(counted)).pvalue > 1e-3


@functools.cache
def some_episode(way: int):
    tasks = FewShot(numbered(), way, 2, 3, OneHand(Division.of(ALPHABETS, way)))
    return jax.jit(
        lambda seed: (tasks.sample(jax.random.key(seed)), tasks.chosen(jax.random.key(seed)))
    )


@given(seeds, st.sampled_from([2, 4]))
def test_an_episode_within_a_group_never_mixes_groups_or_hands(seed, way):
    task, chosen = some_episode(way)(seed)
    groups = np.asarray(ALPHABETS)[np.asarray(chosen)]
    assert len(set(groups)) == 1
    if way == 4:
        assert groups[0] != "Runes"
    assert len(set(np.asarray(chosen))) == way
    drawers = []
    for part, each in ((task.support, 2), (task.query, 3)):
        classes, examples = np.asarray(part.x, int).T.reshape(2, way, each)
        np.testing.assert_array_equal(classes, np.repeat(np.asarray(chosen)[:, None], each, 1))
        assert np.all(examples == examples[0])
        drawers += examples[0].tolist()
    assert len(set(drawers)) == 5


def test_groups_that_are_too_small_for_any_episode_are_refused():
    with pytest.raises(ValueError, match="no group has 6 classes; the largest has 5"):
        Division.of(ALPHABETS, 6)


IMAGE = jnp.asarray(np.random.default_rng(0).random((9, 9, 2)), jnp.float32)


def test_no_distortion_changes_nothing():
    nothing = jnp.zeros(())
    found = distorted(IMAGE, nothing, *3 * (jnp.zeros(2),))
    np.testing.assert_allclose(found, IMAGE, atol=1e-5)


def test_a_point_goes_where_the_matrix_takes_it():
    """One bright point, its mean place before and after; down is the first coordinate."""
    side, point = 41, np.asarray([6.0, -4.0])
    image = np.zeros((side, side, 1), np.float32)
    image[26, 16] = 1
    angle, shear, growth, shift = 0.3, [0.2, -0.1], [0.1, -0.15], [2 / side, -3 / side]
    turn = np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.asarray([[1, shear[0]], [shear[1], 1]]) @ np.diag([1.1, 0.85])
    moved = np.asarray(
        distorted(jnp.asarray(image), *map(jnp.asarray, (angle, shear, growth, shift)))
    )
    places = np.indices((side, side)) - 20.0
    found = (places * moved[..., 0]).sum((1, 2)) / moved.sum()
    np.testing.assert_allclose(found, matrix @ point + [2, -3], atol=0.15)


def test_distortions_have_the_ranges_of_the_paper_and_half_of_each_is_there():
    keys = jax.random.split(jax.random.key(1), 4000)
    drawn = jax.vmap(some_distortion)(keys)
    values = np.concatenate([np.asarray(v).reshape(4000, -1) for v in drawn], axis=1)
    most = np.asarray([np.radians(10), 0.3, 0.3, 0.2, 0.2, 2 / 105, 2 / 105])
    for column, largest in zip(values.T, most, strict=True):
        there = column[column != 0]
        assert stats.binomtest(len(there), 4000).pvalue > 1e-3
        assert stats.kstest(there, stats.uniform(-largest, 2 * largest).cdf).pvalue > 1e-3


def test_every_picture_is_distorted_in_its_own_way():
    """Also where all classes are drawn with one key, as within a group."""
    x = np.repeat(np.asarray(IMAGE)[None], 6, axis=0)
    source = Distorted(ArraySource(x, [0, 3], [3, 3], {}))
    draw = jax.jit(jax.vmap(lambda label: source.draw(jax.random.key(2), label, 3)))
    drawn = np.asarray(draw(jnp.arange(2))).reshape(6, -1)
    assert len(np.unique(drawn, axis=0)) == 6
