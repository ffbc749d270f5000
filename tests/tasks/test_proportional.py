"""Episodes whose classes have the shares that they have in the data."""

from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from quickstudy.errors import UserError
from quickstudy.likelihood import Categorical
from quickstudy.runs.tasks import episode_tasks
from quickstudy.settings.run import TaskSettings
from quickstudy.task import Examples
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.proportional import Proportional, UnequalEpisode, apportioned


def numbered(sizes: list[int]) -> ArraySource:
    """Examples that say their class and their number."""
    x = [(k, i) for k, size in enumerate(sizes) for i in range(size)]
    first = np.cumsum([0, *sizes[:-1]])
    return ArraySource(np.asarray(x, np.float32), first, np.asarray(sizes), {"data": "n"})


def one_by_one(sizes: list[int], total: int) -> list[int]:
    """The obvious way: one each; then whole parts; then single ones by remainder."""
    rest = total - len(sizes)
    given = [1 + rest * size // sum(sizes) for size in sizes]
    remainder = [rest * size % sum(sizes) for size in sizes]
    for k in sorted(range(len(sizes)), key=lambda k: -remainder[k])[: total - sum(given)]:
        given[k] += 1
    return given


@settings(max_examples=60)
@given(st.lists(st.integers(1, 60), min_size=4, max_size=4), st.integers(0, 40))
def test_places_are_divided_by_largest_remainders(sizes, more):
    total = len(sizes) + more
    found = np.asarray(apportioned(jnp.asarray(sizes), total)).tolist()
    assert sum(found) == total
    exact = [1 + more * size / sum(sizes) for size in sizes]
    assert all(abs(a - b) < 1 for a, b in zip(found, exact, strict=True))
    expected = one_by_one(sizes, total)
    remainders = [round(part % 1, 4) for part in exact]
    if len(set(remainders)) == len(remainders):  # else ties, and rounding decides
        assert found == expected


SIZES = [2, 3, 20, 75]
DRAW = eqx.filter_jit(Proportional(numbered(SIZES), 4, 5, 10).sample)


@settings(max_examples=15)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_an_episode_has_the_shares_of_the_data_and_no_example_twice(seed, other):
    episode = jax.device_get(DRAW(jax.random.key(seed), jax.random.key(other)))
    assert episode.support.y.shape == (20,)
    assert episode.query.y.shape == (40,)
    seen, labels = [], {}
    for part, wanted in (
        (episode.support, [1, 2, 4, 13]),
        (episode.query, [1, 1, 8, 28]),  # the small classes have no more
    ):
        there = part.y >= 0
        for label, (of_class, number) in zip(part.y[there], part.x[there].astype(int), strict=True):
            seen.append((of_class, number))
            assert number < SIZES[of_class]
            assert labels.setdefault(int(label), of_class) == of_class
        counts = Counter(part.x[there][:, 0].astype(int).tolist())
        assert [counts[k] for k in range(4)] == wanted
    assert len(set(seen)) == len(seen)
    assert sorted(labels.values()) == [0, 1, 2, 3]


def test_equal_classes_have_equal_shares_and_small_ones_leave_a_query():
    episode = eqx.filter_jit(Proportional(numbered([9, 9, 9]), 3, 2, 4).sample)(jax.random.key(0))
    assert np.bincount(episode.support.y).tolist() == [2, 2, 2]
    assert np.bincount(episode.query.y).tolist() == [4, 4, 4]
    few = eqx.filter_jit(Proportional(numbered([3, 3]), 2, 5, 5).sample)(jax.random.key(0))
    for part, each in ((few.support, 2), (few.query, 1)):
        assert sorted(part.y.tolist()) == [-1] * (10 - 2 * each) + sorted([0, 1] * each)


labels = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), min_size=1, max_size=30)


@jax.jit
def measured(y, answers):
    none = Examples(jnp.zeros((1, 1)), jnp.zeros(1, int))
    episode = UnequalEpisode(none, Examples(jnp.zeros((30, 1)), y), Categorical(4))
    return episode.metrics(jax.nn.one_hot(answers, 4), Categorical(4))


@settings(max_examples=25)
@given(labels.filter(lambda pairs: any(y >= 0 for y, _ in pairs)))
def test_balanced_accuracy_is_that_of_scikit_learn(pairs):
    y, answers = np.asarray(pairs).T
    found = measured(np.pad(y, (0, 30 - len(y)), constant_values=-1), np.resize(answers, 30))
    y, answers = y[y >= 0], answers[y >= 0]
    assert found["accuracy"] == pytest.approx(accuracy_score(y, answers))
    recall = [np.mean(answers[y == k] == k) for k in np.unique(y)]
    assert found["balanced accuracy"] == pytest.approx(np.mean(recall))
    if set(answers) <= set(y) and len(set(y)) > 1:  # elsewhere scikit-learn warns
        assert found["balanced accuracy"] == pytest.approx(balanced_accuracy_score(y, answers))


def test_classes_too_small_for_equal_shares_can_be_tested_in_proportion(tmp_path):
    sizes = [2, 3, 20, 75]
    y = np.repeat(np.arange(8), sizes * 2)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(len(y), 3)), y=y)
    tasks = TaskSettings(f"npz:{tmp_path / 'x.npz'}", proportional=True)
    made = episode_tasks(tasks, "train", 2, 1, 15)
    assert isinstance(made, Proportional)
    assert made.protocol()["class sizes"] == "in proportion to the data"
    with pytest.raises(UserError, match=r"examples.*but an episode draws 16 of each class"):
        episode_tasks(TaskSettings(tasks.tasks), "train", 2, 1, 15)
    with pytest.raises(UserError, match="--proportional takes classes of your own"):
        episode_tasks(TaskSettings("glyphs", proportional=True), "test", 2, 1, 15)
