"""Figures on seeded episodes, their intervals, and pairwise comparison."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from scipy import stats

from quickstudy.evaluation import (
    Comparison,
    Estimate,
    Result,
    compare,
    evaluate,
    paired_difference,
)
from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Gaussian
from quickstudy.task import Episode, Examples, FixedTasks, TaskDistribution


class Noise(TaskDistribution[Episode]):
    """Targets around a level of the task's own."""

    def sample(self, key):
        level, noise = jax.random.normal(key, (9, 1))[:1], jax.random.normal(key, (9, 1))[1:]
        x, y = jnp.zeros((8, 1)), level + 0.5 * noise
        return Episode(Examples(x[:4], y[:4]), Examples(x[4:], y[4:]), Gaussian(1))

    def protocol(self):
        return {"data": "noise", "shot": 4}


class Everywhere(Predictor):
    level: Float[Array, ""]

    def __call__(self, x):
        return jnp.full((len(x), 1), self.level)


class MeanOfSupport(Learner):
    share: Float[Array, ""]

    def adapt(self, support, likelihood, *, key):
        return Everywhere(self.share * jnp.mean(support.y))


ADAPTING, IGNORANT = MeanOfSupport(jnp.asarray(1.0)), MeanOfSupport(jnp.asarray(0.0))
TASKS = Noise()


def test_episode_i_is_a_function_of_seed_and_i_whatever_the_learner():
    """Also with a number of episodes that does not divide into whole calls."""
    found = {
        name: evaluate(learner, TASKS, episodes=70, seed=5).metrics["mse"]
        for name, learner in (("adapting", ADAPTING), ("ignorant", IGNORANT))
    }
    assert len(found["adapting"]) == 70
    for i in (0, 49, 50, 69):
        key, _ = jax.random.split(jax.random.fold_in(jax.random.key(5), i))
        task = TASKS.sample(key)
        y = np.asarray(task.query.y)
        assert found["ignorant"][i] == pytest.approx(np.mean(y**2), rel=1e-5)
        error = np.mean((y - np.asarray(task.support.y).mean()) ** 2)
        assert found["adapting"][i] == pytest.approx(error, rel=1e-5)


def test_fewer_episodes_are_the_first_of_more_and_another_seed_has_others():
    more, fewer, other = (
        evaluate(ADAPTING, TASKS, episodes=n, seed=seed) for n, seed in ((70, 1), (20, 1), (20, 2))
    )
    np.testing.assert_array_equal(more.metrics["mse"][:20], fewer.metrics["mse"])
    assert not np.intersect1d(fewer.metrics["mse"], other.metrics["mse"]).size
    assert (fewer.protocol["episodes"], fewer.protocol["seed"]) == (20, 1)


def test_each_task_of_a_fixed_list_is_met_once_whatever_the_seed():
    tasks = [TASKS.sample(jax.random.key(i)) for i in range(7)]
    fixed = FixedTasks(jax.tree.map(lambda *x: jnp.stack(x), *tasks), (("data", "seven"),))
    results = [evaluate(ADAPTING, fixed, episodes=1000, seed=seed) for seed in (0, 1)]
    for result in results:
        assert result.protocol == {"data": "seven", "episodes": 7, "seed": result.protocol["seed"]}
        for found, task in zip(result.metrics["mse"], tasks, strict=True):
            error = np.mean((np.asarray(task.query.y) - np.asarray(task.support.y).mean()) ** 2)
            assert found == pytest.approx(error, rel=1e-5)
    drawn = jax.vmap(fixed.sample)(jax.random.split(jax.random.key(3), 200))
    assert set(np.ravel(drawn.query.y[:, 0])) == {float(task.query.y[0, 0]) for task in tasks}


def test_calibration_counts_each_query_of_each_episode_once():
    result = evaluate(ADAPTING, TASKS, episodes=70)
    np.testing.assert_array_equal(result.bins[:, 0], 70 * 4)


def test_no_episodes_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        evaluate(ADAPTING, TASKS, episodes=0)


def test_the_interval_is_the_normal_one_of_scipy():
    values = np.random.default_rng(0).gamma(2, size=300)
    found = Estimate.of(values)
    low, high = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert found.mean - found.half_width == pytest.approx(low, rel=1e-6)
    assert found.mean + found.half_width == pytest.approx(high, rel=1e-6)
    assert found.episodes == 300
    assert np.isnan(Estimate.of(values[:1]).half_width)


def test_ninety_five_intervals_of_a_hundred_hold_the_truth():
    rng = np.random.default_rng(1)
    estimates = [Estimate.of(rng.binomial(75, 0.9, 200) / 75) for _ in range(2000)]
    covered = np.mean([abs(e.mean - 0.9) <= e.half_width for e in estimates])
    assert 0.93 < covered < 0.97


def test_estimates_are_written_as_tables_have_them():
    e = Estimate(0.98123, 0.00214, 1000)
    assert (e.percent(), e.plain()) == ("98.12 ± 0.21", "0.981 ± 0.002")


def made(values, **protocol) -> Result:
    return Result(
        metrics={"accuracy": np.asarray(values, float)},
        bins=np.ones((15, 3)),
        headline="accuracy",
        higher_is_better=True,
        protocol={"data": "x", "seed": 0, **protocol},
    )


def test_the_paired_difference_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(2)
    difficulty = rng.normal(size=400)
    a, b = difficulty + 0.1 * rng.normal(size=400) + 0.02, difficulty
    found = paired_difference(made(a), made(b))
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found.mean == pytest.approx((low + high) / 2)
    assert found.half_width == pytest.approx((high - low) / 2, rel=0.01)
    assert found.half_width < Estimate.of(a).half_width / 5


@pytest.mark.parametrize(
    "word",
    ["data", "split", "part", "way", "shot", "queries per class", "queries", "rotations", "classes",
     "first", "size", "within", "pairs", "labelled per class", "distractor classes",
     "episodes", "seed"],
)  # fmt: skip
def test_other_episodes_are_not_compared(word):
    with pytest.raises(ValueError, match=f"not the same episodes: {word} is one and other"):
        paired_difference(made([1, 0], **{word: "one"}), made([1, 0], **{word: "other"}))


def test_learners_may_differ_in_all_else():
    a, b = made([1, 0], learner="maml"), made([0, 0], learner="protonet")
    assert paired_difference(a, b).mean == 0.5


def test_the_best_has_the_best_headline():
    high, low = made([1, 1]), made([0, 1])
    assert Comparison({"low": low, "high": high}).best == "high"
    errors = {
        name: dataclasses.replace(r, higher_is_better=False)
        for name, r in (("high", high), ("low", low))
    }
    comparison = Comparison(errors)
    assert comparison.best == "low"
    assert comparison.behind_best("high").mean == 0.5
    assert comparison.behind_best("low").mean == 0


def test_compare_runs_all_on_the_same_episodes():
    comparison = compare({"ignorant": IGNORANT, "adapting": ADAPTING}, TASKS, episodes=30, seed=3)
    assert comparison.best == "adapting"
    behind = comparison.behind_best("ignorant")
    assert behind.mean - behind.half_width > 0


def test_a_summary_is_plain_json_values():
    import json

    summary = evaluate(ADAPTING, TASKS, episodes=20).summary()
    assert json.loads(json.dumps(summary)) == summary
    assert set(summary) == {"mse", "nll", "calibration_error", "protocol", "seconds"}
