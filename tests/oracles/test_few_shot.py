"""Samplers against what they are said to draw."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.distorted import RandomlyTurned, Rotated, rotated, turn
from quickstudy.tasks.few_shot import AnyClasses, Batches, FewShot, FixedLabels
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.tasks.source import distinct

SIDE, CLASSES, EACH = 4, 6, 7


@functools.cache
def some_distinct(count: int):
    return jax.jit(lambda seed, population: distinct(jax.random.key(seed), population, count))


@settings(max_examples=40)
@given(st.integers(0, 2**31 - 1), st.sampled_from([1, 2, 5]), st.integers(0, 10**6))
def test_distinct_is_distinct_and_in_range_whatever_the_population(seed, count, more):
    population = count + more
    found = np.asarray(some_distinct(count)(seed, population))
    assert len(set(found.tolist())) == count
    assert found.min() >= 0
    assert found.max() < population


@pytest.mark.parametrize("traced", [False, True])
def test_distinct_draws_every_ordered_choice_equally_often(traced):
    """Two of four, in order: twelve choices."""
    keys = jax.random.split(jax.random.key(1), 12000)
    draw = jax.jit(
        jax.vmap(lambda k, population: distinct(k, population if traced else 4, 2), (0, None))
    )
    pairs = np.asarray(draw(keys, 4))
    choices = list(itertools.permutations(range(4), 2))
    counts = [int(np.sum((pairs == pair).all(1))) for pair in choices]
    assert sum(counts) == 12000
    assert stats.chisquare(counts).pvalue > 1e-3


def test_distinct_can_draw_everything():
    drawn = np.asarray(some_distinct(5)(0, 5))
    assert sorted(drawn.tolist()) == list(range(5))


def numbered() -> ArraySource:
    """Images whose four corners say: class, example, and which way is up."""
    x = np.zeros((CLASSES * EACH, SIDE, SIDE, 1), np.float32)
    x[:, 0, 0, 0] = np.repeat(np.arange(CLASSES), EACH) + 10
    x[:, 0, 1, 0] = np.tile(np.arange(EACH), CLASSES)
    return ArraySource(x, EACH * np.arange(CLASSES), np.full(CLASSES, EACH), {"data": "numbered"})


def read(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class, example and quarter turns (anticlockwise) of each image."""
    found = []
    for image in np.asarray(images)[..., 0]:
        quarters = next(q for q in range(4) if np.rot90(image, -q)[0, 0] >= 10)
        upright = np.rot90(image, -quarters)
        found.append((upright[0, 0] - 10, upright[0, 1], quarters))
    return tuple(np.asarray(found).astype(int).T)  # pyright: ignore[reportReturnType]


WAY, SHOT, QUERY = 3, 2, 3


@functools.cache
def episodes(mode: str):
    tasks = FewShot(rotated(numbered(), mode), WAY, SHOT, QUERY)  # pyright: ignore
    return jax.jit(lambda seed: tasks.sample(jax.random.key(seed)))


@settings(max_examples=25)
@given(st.integers(0, 2**31 - 1), st.sampled_from(["none", "classes", "episode"]))
def test_an_episode_is_distinct_classes_with_distinct_examples_under_their_labels(seed, mode):
    episode = episodes(mode)(seed)
    assert np.asarray(episode.support.y).tolist() == [0, 0, 1, 1, 2, 2]
    assert np.asarray(episode.query.y).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    images = np.concatenate([episode.support.x, episode.query.x])
    labels = np.concatenate([episode.support.y, episode.query.y])
    source_class, example, quarters = read(images)
    names = set()
    for label in range(WAY):
        mine = labels == label
        assert len(set(source_class[mine])) == 1
        assert len(set(quarters[mine])) == 1  # one class of an episode is turned one way
        assert len(set(example[mine])) == SHOT + QUERY  # support and query are disjoint
        names.add((source_class[mine][0], quarters[mine][0] if mode == "classes" else 0))
    assert len(names) == WAY
    if mode == "none":
        assert not quarters.any()


def test_every_class_comes_under_every_label():
    tasks = FewShot(numbered(), WAY, 1, 1)
    sampled = jax.jit(jax.vmap(lambda key: tasks.sample(key)))(
        jax.random.split(jax.random.key(2), 600)
    )
    classes = np.asarray(sampled.support.x)[:, :, 0, 0, 0].astype(int) - 10
    for label in range(WAY):
        counts = np.bincount(classes[:, label], minlength=CLASSES)
        assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("label", [0, 5, 14, 23])
def test_class_4c_plus_r_is_class_c_turned_r_times(label):
    source = Rotated(numbered())
    assert source.classes == 4 * CLASSES
    images = source.draw(jax.random.key(label), jnp.asarray(label), 4)
    source_class, example, quarters = read(images)
    assert set(source_class) == {label // 4}
    assert set(quarters) == {label % 4}
    assert len(set(example)) == 4


def test_random_turns_take_every_angle():
    source = RandomlyTurned(numbered())
    draw = jax.jit(jax.vmap(lambda key: source.draw(key, jnp.asarray(1), 1)[0]))
    _, _, quarters = read(draw(jax.random.split(jax.random.key(3), 400)))
    assert stats.chisquare(np.bincount(quarters, minlength=4)).pvalue > 1e-3


def test_turning_is_anticlockwise():
    image = np.arange(9.0).reshape(1, 3, 3, 1)
    found = turn(jnp.asarray(image), jnp.asarray(1))
    np.testing.assert_array_equal(found[0, :, :, 0], np.rot90(image[0, :, :, 0]))


def test_batches_carry_the_labels_of_their_classes():
    tasks = Batches(numbered(), 50)
    episode = jax.jit(lambda key: tasks.sample(key))(jax.random.key(4))
    source_class, _, _ = read(episode.query.x)
    np.testing.assert_array_equal(source_class, episode.query.y)
    assert set(source_class) == set(range(CLASSES))
    assert len(episode.support.y) == 0
    assert episode.likelihood.size == CLASSES


def test_bytes_become_shares():
    source = ArraySource(np.asarray([[0], [255], [51]], np.uint8), [0], [3], {})
    drawn = np.sort(np.ravel(source.draw(jax.random.key(5), jnp.asarray(0), 3)))
    np.testing.assert_allclose(drawn, [0, 0.2, 1], rtol=1e-6)


def test_classes_of_different_sizes_are_drawn_from_their_own_rows():
    source = ArraySource(np.arange(10.0)[:, None], [0, 3, 4], [3, 1, 6], {})
    for label, rows in enumerate([range(3), range(3, 4), range(4, 10)]):
        drawn = source.draw(jax.random.key(6), jnp.asarray(label), len(rows))
        assert sorted(np.ravel(drawn)) == list(rows)


@pytest.mark.parametrize(
    ("way", "shot", "query", "words"),
    [
        (1, 1, 1, "1-way"),
        (7, 1, 1, "7-way episodes from 6"),
        (2, 0, 1, "0 shots"),
        (2, 1, 0, "0 q"),
    ],
)
def test_impossible_episodes_are_refused(way, shot, query, words):
    with pytest.raises(ValueError, match=words):
        FewShot(numbered(), way, shot, query)


def test_sinusoids_have_the_formula_and_ranges_of_the_paper():
    keys = jax.random.split(jax.random.key(7), 2000)
    sampled = jax.jit(jax.vmap(Sinusoid(4, 6).sample))(keys)
    x = np.concatenate([sampled.support.x, sampled.query.x], 1)[..., 0]
    y = np.concatenate([sampled.support.y, sampled.query.y], 1)[..., 0]
    # a sin(x - b) = p sin x + q cos x: two unknowns, fitted to ten points
    amplitude, phase = np.empty(2000), np.empty(2000)
    for i in range(2000):
        basis = np.stack([np.sin(x[i]), np.cos(x[i])], 1)
        (p, q), _, _, _ = np.linalg.lstsq(basis, y[i], rcond=None)
        np.testing.assert_allclose(basis @ [p, q], y[i], atol=1e-4)
        amplitude[i], phase[i] = np.hypot(p, q), np.arctan2(-q, p)
    for values, low, high in ((amplitude, 0.1, 5), (phase, 0, np.pi), (np.ravel(x), -5, 5)):
        assert low - 1e-3 <= values.min()
        assert values.max() <= high + 1e-3
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    "tasks",
    [FewShot(RandomlyTurned(Rotated(numbered())), 3, 2, 2), Batches(numbered(), 5), Sinusoid(3, 3)],
    ids=["few-shot", "batches", "sinusoid"],
)
def test_a_task_is_a_function_of_its_key_alone(tasks):
    keys = jax.random.split(jax.random.key(8), 3)
    sample = jax.jit(lambda key: tasks.sample(key))
    together = jax.jit(jax.vmap(lambda key: tasks.sample(key)))(keys)
    one_by_one = jax.tree.map(lambda *leaves: np.stack(leaves), *map(sample, keys))
    assert eqx.tree_equal(together, one_by_one, rtol=1e-5, atol=1e-5)
    xs = np.asarray(together.query.x)
    assert not np.array_equal(xs[0], xs[1])


def test_fixed_labels_give_every_class_one_label_and_every_label_its_classes():
    """Numbered examples tell which class they are of: ten classes, three labels."""
    source = ArraySource(np.arange(20.0)[:, None], 2 * np.arange(10), np.full(10, 2), {})
    sample = jax.jit(jax.vmap(FewShot(source, 3, 1, 1, FixedLabels()).sample))
    episodes = sample(jax.random.split(jax.random.key(0), 400))
    found = {0: set(), 1: set(), 2: set()}
    classes = np.asarray(episodes.support.x[..., 0] // 2, int)
    for class_, label in zip(classes.ravel(), np.ravel(episodes.support.y), strict=True):
        found[int(label)].add(int(class_))
    assert sorted(map(len, found.values())) == [3, 3, 4]
    assert set.union(*found.values()) == set(range(10))
    np.testing.assert_array_equal(classes, np.asarray(episodes.query.x[..., 0] // 2, int))


def test_episodes_with_fixed_labels_are_other_episodes():
    free, fixed = (FewShot(numbered(), 2, 1, 1, d()).protocol() for d in (AnyClasses, FixedLabels))
    assert "labels" not in free
    assert fixed["labels"] == "fixed for each class"
