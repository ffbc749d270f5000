"""Synthetic tables."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.errors import UserError
from quickstudy.runs.tasks import episode_tasks, require_kind
from quickstudy.settings.learners import FineTuningSettings, PixelsSettings
from quickstudy.settings.run import TaskSettings
from quickstudy.tasks.tables import LEAST, SyntheticTables

TASKS = SyntheticTables(way=4, most=24, queries=12, features=5)
MANY = 64


@partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiles sooner
def some(seed):
    return jax.vmap(TASKS.sample)(jax.random.split(jax.random.key(seed), MANY))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31 - 1))
def test_every_table_can_be_learned_from(seed: int):
    tasks = jax.tree.map(np.asarray, some(seed))
    assert tasks.support.x.shape == (MANY, 24, 5)
    assert tasks.query.x.shape == (MANY, 12, 5)
    assert np.isfinite(tasks.support.x).all()
    assert np.isfinite(tasks.query.x).all()
    for labels, asked in zip(tasks.support.y, tasks.query.y, strict=True):
        labelled = labels[labels >= 0]
        assert len(labelled) >= LEAST
        assert (labels[len(labelled) :] == -1).all()
        assert len(set(labelled)) >= 2
        assert set(asked) <= set(labelled) <= set(range(4))


def test_tables_differ_in_what_they_may_differ_in():
    tasks = jax.tree.map(np.asarray, some(0))
    classes = {len(set(y[y >= 0])) for y in tasks.support.y}
    features = {int((x.std(0) > 0).sum()) for x in tasks.support.x}
    assert classes == {2, 3, 4}
    assert features >= {1, 2, 3, 4, 5}
    assert len({int((y >= 0).sum()) for y in tasks.support.y}) > 10


def test_the_nearest_rows_tell_more_than_the_largest_class():
    tasks = jax.tree.map(np.asarray, some(1))
    nearest, largest = [], []
    for i in range(MANY):
        known = tasks.support.y[i] >= 0
        x, y = tasks.support.x[i][known], tasks.support.y[i][known]
        scale = x.std(0) + 1e-6
        apart = ((tasks.query.x[i][:, None] - x) / scale) ** 2
        asked = tasks.query.y[i]
        nearest.append(np.mean(y[apart.sum(-1).argmin(1)] == asked))
        largest.append(np.mean(np.bincount(y).argmax() == asked))
    assert np.mean(nearest) > np.mean(largest) + 0.05


def test_settings_say_how_large_tables_are():
    t = TaskSettings("synthetic-tables", way=4, shot=6, query=3, features=5)
    tasks = episode_tasks(t, "test", t.way, t.shot, t.query)
    assert tasks == TASKS
    assert tasks.protocol()["features"] == "1 to 5"


def test_what_makes_no_table_is_refused():
    with pytest.raises(UserError, match="--way 2 --shot 1: 2 labelled rows: at least 5"):
        episode_tasks(TaskSettings("synthetic-tables"), "test", 2, 1, 5)
    with pytest.raises(UserError, match="synthetic-tables has none"):
        episode_tasks(TaskSettings("synthetic-tables", labelled=0.5), "test", 5, 5, 5)
    require_kind(PixelsSettings(), TaskSettings("synthetic-tables"))
    with pytest.raises(UserError, match="finetune trains on classes"):
        require_kind(FineTuningSettings(), TaskSettings("synthetic-tables"))
