"""Figures on seeded episodes, their intervals, and pairwise comparison."""

import dataclasses
import json
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from scipy import stats

from quickstudy.estimate import Estimate
from quickstudy.evaluation import (
    Comparison,
    Met,
    Result,
    average,
    compare,
    evaluate,
    paired_difference,
)
from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Gaussian
from quickstudy.optimization import Trials, minimise_many
from quickstudy.optimizers.momentum import LearnedMomentum
from quickstudy.task import Episode, Examples, FixedTasks, TaskDistribution
from quickstudy.tasks.problems.quadratics import Quadratics


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
        assert result.learner == {}
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


def made(values, learner=None, **protocol) -> Result:
    return Result(
        metrics={"accuracy": np.asarray(values, float)},
        bins=np.ones((15, 3)),
        headline="accuracy",
        higher_is_better=True,
        tasks=Met({"data": "x", "seed": 0, **protocol}),
        learner=learner or {},
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


def test_other_episodes_are_not_compared():
    """Whatever the word: see `tasks/test_protocols.py` for those of all tasks."""
    with pytest.raises(ValueError, match="not the same tasks: any word is one and other"):
        paired_difference(
            made([1, 0], **{"any word": "one"}), made([1, 0], **{"any word": "other"})
        )
    with pytest.raises(ValueError, match="not the same tasks: more is None and 1"):
        paired_difference(made([1, 0]), made([1, 0], more=1))


def test_learners_may_differ_in_all_else():
    a, b = made([1, 0], {"learner": "maml"}), made([0, 0], {"learner": "protonet", "asked": 1})
    assert paired_difference(a, b).mean == 0.5
    assert a.protocol == {"data": "x", "seed": 0, "learner": "maml"}


def test_missing_figures_are_left_out_by_estimates_averages_and_differences_alike():
    none = np.nan
    a, b = made([0.2, none, 0.6, 1.0]), made([0.1, 0.5, none, 0.5])
    assert (a.estimate().mean, a.estimate().episodes) == (pytest.approx(0.6), 3)
    assert a.estimate().half_width == Estimate.of(np.asarray([0.2, 0.6, 1.0])).half_width
    assert a.summary()["accuracy"]["episodes"] == 3
    difference = paired_difference(a, b)
    assert (difference.mean, difference.episodes) == (pytest.approx(0.3), 2)
    both = average({0: a, 1: b})
    assert both.estimate().mean == pytest.approx((0.15 + 0.75) / 2)
    assert both.by_training() == pytest.approx([0.6, 0.3])
    np.testing.assert_array_equal(np.isnan(both.metrics["accuracy"]), [False, True, True, False])
    whole = made([0.1, 0.2, 0.3, 0.4])
    assert paired_difference(both, whole).mean == pytest.approx((0.05 + 0.35) / 2)
    assert "episodes" not in whole.summary()["accuracy"]


class Diverging(MeanOfSupport):
    """Its predictions are no numbers where the level is positive."""

    def adapt(self, support, likelihood, *, key):
        mean = jnp.mean(support.y)
        return Everywhere(jnp.where(mean > 0, jnp.nan, mean))


def test_predictions_that_are_no_numbers_are_not_taken_for_missing_ones():
    diverged = evaluate(Diverging(jnp.asarray(1.0)), TASKS, episodes=40)
    whole = evaluate(ADAPTING, TASKS, episodes=40)
    lost = np.isinf(diverged.metrics["mse"])
    assert 5 < lost.sum() < 35
    np.testing.assert_allclose(diverged.metrics["mse"][~lost], whole.metrics["mse"][~lost])
    for name in ("mse", "nll"):
        assert diverged.estimate(name).mean == np.inf
        assert paired_difference(diverged, whole, name).mean == np.inf
    assert Comparison({"diverged": diverged, "whole": whole}).best == "whole"


def test_a_name_has_no_meaning_for_missing_figures():
    """A loss that is infinite in both is no missing figure: it makes the difference no number."""
    infinite = np.asarray([1.0, np.inf, 2.0])
    assert np.isinf(Estimate.of(infinite).mean)
    assert np.isnan(Estimate.of(infinite, infinite).mean)
    assert Estimate.of(infinite, infinite).episodes == 3


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
    best = comparison.behind_best("low")
    assert (best.mean, best.half_width) == (0, 0)


def test_the_calibration_error_weighs_bins_by_their_claims():
    """9 claims of .9 of which 6 come true, 1 of .5 that does, and a bin without any:
    (9 |.9 - 6/9| + 1 |.5 - 1|) / 10 = .26, where the mean over bins would be .367."""
    bins = np.asarray([[9, 8.1, 6], [1, 0.5, 1], [0, 0, 0]])
    result = dataclasses.replace(made([1, 0]), bins=bins)
    assert result.calibration_error == pytest.approx(0.26)
    assert result.summary()["calibration_error"] == pytest.approx(0.26)


@pytest.mark.parametrize("bins", [None, np.zeros((15, 3))])
def test_without_claims_there_is_no_calibration_error(bins):
    result = dataclasses.replace(made([1, 0]), bins=bins)
    assert result.calibration_error is None
    assert "calibration_error" not in result.summary()
    assert average({0: result, 1: result}).calibration_error is None


# Several trainings


def slow_half_width(x: np.ndarray, y: np.ndarray | None = None) -> float:
    """Mean squares of a two-way table in loops, and Satterthwaite's degrees of freedom."""
    count = x.shape[1]
    parts, rests, fewest = [], 0.0, math.inf
    for table in [x] if y is None else [x, y]:
        size = len(table)
        if size == 1:
            continue
        fewest = min(fewest, size - 1)
        mean = sum(table[t, e] for t in range(size) for e in range(count)) / (size * count)
        rows = [sum(table[t]) / count for t in range(size)]
        columns = [sum(table[:, e]) / size for e in range(count)]
        of_trainings = sum(count * (row - mean) ** 2 for row in rows) / (size - 1)
        rest = 0.0
        for t in range(size):
            for e in range(count):
                rest += (table[t, e] - rows[t] - columns[e] + mean) ** 2
        degrees = (size - 1) * (count - 1)
        parts.append((1, of_trainings / size / count, size - 1))
        parts.append((-1, rest / degrees / size / count, degrees))
        rests += rest / degrees / size / count
    each = [
        sum(x[:, e]) / len(x) - (0 if y is None else sum(y[:, e]) / len(y)) for e in range(count)
    ]
    middle = sum(each) / count
    of_episodes = sum((d - middle) ** 2 for d in each) / (count - 1) / count
    variance = sum(v for sign, v, _ in parts if sign > 0) + max(of_episodes - rests, 0)
    parts.append((1, of_episodes, count - 1))
    degrees = variance**2 / sum(v**2 / n for _, v, n in parts)
    return stats.t.ppf(0.975, max(degrees, fewest)) * math.sqrt(variance)


def crossed(rng, trainings, episodes, of_trainings, of_episodes, rest):
    """Figures x_te = a_t + b_e + c_te with these standard deviations; their true mean is 0."""
    return (
        of_trainings * rng.normal(size=(trainings, 1))
        + of_episodes * rng.normal(size=(1, episodes))
        + rest * rng.normal(size=(trainings, episodes))
    )


@pytest.mark.parametrize("deviations", [(0.3, 1, 0.5), (0, 1, 1), (0.02, 0, 1), (0.5, 0.1, 0)])
def test_the_interval_over_trainings_and_episodes_is_the_slow_one(deviations):
    rng = np.random.default_rng(3)
    for trainings, episodes in ((5, 30), (2, 7), (3, 2)):
        x = crossed(rng, trainings, episodes, *deviations)
        y = crossed(rng, 4, episodes, *deviations)
        found = Estimate.of(x)
        assert found.mean == pytest.approx(x.mean())
        assert found.half_width == pytest.approx(slow_half_width(x))
        assert (found.episodes, found.trainings) == (episodes, (trainings,))
        for other in (y, y[:1]):
            difference = Estimate.of(x, other)
            assert difference.mean == pytest.approx(x.mean() - other.mean())
            assert difference.half_width == pytest.approx(slow_half_width(x, other))
            assert Estimate.of(other, x).half_width == pytest.approx(difference.half_width)


def share_that_holds(rng, interval: Callable[[np.ndarray], Estimate], deviations) -> float:
    """How many of the intervals hold the true mean, with 5 trainings and 100 episodes."""
    found = [interval(crossed(rng, 5, 100, *deviations)) for _ in range(1500)]
    return float(np.mean([abs(e.mean) <= e.half_width for e in found]))


@pytest.mark.parametrize("deviations", [(0, 1, 1), (0.05, 1, 1), (0.3, 1, 1), (0.3, 0, 1)])
def test_ninety_five_intervals_of_a_hundred_hold_the_mean_of_all_trainings(deviations):
    """1,500 intervals: the standard error of the share is .6 %."""
    rng = np.random.default_rng(4)
    assert 0.93 < share_that_holds(rng, Estimate.of, deviations) < 0.97


def test_intervals_over_episodes_alone_do_not_hold_it_where_trainings_differ():
    rng = np.random.default_rng(5)
    assert share_that_holds(rng, lambda x: Estimate.of(x[:1]), (0.3, 1, 1)) < 0.8
    assert share_that_holds(rng, lambda x: Estimate.of(x.mean(0)), (0.3, 1, 1)) < 0.8


def test_ninety_five_differences_of_a_hundred_hold_the_difference():
    """Of two learners with trainings of their own, who find the same episodes hard."""
    rng, held = np.random.default_rng(6), []
    for _ in range(1500):
        hard = crossed(rng, 1, 100, 0, 1, 0)
        a = hard + crossed(rng, 5, 100, 0.2, 0.3, 0.5)
        b = hard + crossed(rng, 4, 100, 0.1, 0.2, 0.5)
        found = Estimate.of(a, b)
        held.append(abs(found.mean) <= found.half_width)
    assert 0.93 < np.mean(held) < 0.97


def test_trainings_that_do_not_differ_leave_the_interval_over_episodes():
    of_episodes = np.random.default_rng(7).normal(size=400)
    same = np.tile(of_episodes, (5, 1))
    one = Estimate.of(of_episodes).half_width
    assert Estimate.of(same).half_width == pytest.approx(one, rel=0.005)
    assert Estimate.of(same, 0 * same).half_width == pytest.approx(one, rel=0.005)
    assert Estimate.of(np.ones((5, 10))).half_width == 0


def test_with_many_episodes_the_interval_is_students_over_trainings():
    x = crossed(np.random.default_rng(8), 5, 200_000, 0.5, 1, 1)
    of_trainings = x.mean(1)
    interval = stats.t.interval(0.95, 4, of_trainings.mean(), stats.sem(of_trainings))
    assert Estimate.of(x).half_width == pytest.approx(np.diff(interval)[0] / 2, rel=1e-3)


def test_what_an_interval_covers_is_said_in_words():
    one, rows = made([1, 0, 1]), np.eye(5, 3)
    five = average({seed: made(row) for seed, row in enumerate(rows)})
    untrained = dataclasses.replace(one, trained=False)
    alone = "over 3 test episodes of one training; another training may differ by more"
    assert one.estimate().covers == one.summary()["interval"] == alone
    together = "over 5 trainings and 3 test episodes together"
    assert five.estimate().covers == five.summary()["interval"] == together
    assert untrained.summary()["interval"] == "over 3 test episodes; nothing is trained"
    both = "over 5 and 5 trainings and 3 test episodes together"
    assert paired_difference(five, five).covers == both
    assert paired_difference(five, untrained).covers == together
    assert paired_difference(five, one).covers == f"{together}; the other learner was trained once"
    assert paired_difference(one, one).covers == alone
    assert evaluate(ADAPTING, TASKS, episodes=2).trained


def test_compare_runs_all_on_the_same_episodes():
    comparison = compare({"ignorant": IGNORANT, "adapting": ADAPTING}, TASKS, episodes=30, seed=3)
    assert comparison.best == "adapting"
    behind = comparison.behind_best("ignorant")
    assert behind.mean - behind.half_width > 0


def test_a_summary_is_plain_json_values():
    summary = evaluate(ADAPTING, TASKS, episodes=20).summary()
    assert json.loads(json.dumps(summary)) == summary
    words = {"interval", "calibration_error", "protocol", "seconds"}
    assert set(summary) == {"mse", "nll", *words}


def test_an_optimiser_claims_nothing_and_its_figure_has_no_calibration():
    result = evaluate(LearnedMomentum(), Trials(Quadratics(2), steps=3), episodes=4)
    assert result.bins is None
    assert result.calibration_error is None
    summary = result.summary()
    assert set(summary) == {"final loss", "interval", "protocol", "seconds"}
    words = {"problems": "quadratics", "dimensions": 2, "steps": 3, "episodes": 4, "seed": 0}
    assert summary["protocol"] == words


def test_an_optimiser_meets_the_problems_of_its_curves():
    """Also the initial points and the minibatches, with more problems than one call takes."""
    result = evaluate(LearnedMomentum(), Trials(Quadratics(2), steps=3), episodes=60, seed=1)
    curves = minimise_many(LearnedMomentum(), Quadratics(2), steps=3, count=60, seed=1)
    np.testing.assert_allclose(result.metrics["final loss"], curves.losses[:, -1], rtol=1e-5)


def test_an_optimiser_that_diverges_is_not_taken_for_one_without_a_figure():
    result = evaluate(LearnedMomentum(1e9), Trials(Quadratics(2), steps=40), episodes=3)
    assert result.estimate().mean == np.inf
