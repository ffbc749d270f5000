"""Known unknowns: the score is a p-value, and what is measured by it is what was defined."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from quickstudy.evaluation import evaluate
from quickstudy.learners.baseline.nearest_mean import NearestMean
from quickstudy.likelihood import Categorical
from quickstudy.open_set import (
    OpenSetLearner,
    Reference,
    Seen,
    Tail,
    appearance,
    auroc,
    reference,
)
from quickstudy.task import Examples
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.open_set import OpenSet

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def clusters(classes: int = 12, each: int = 12, width: float = 0.1) -> ArraySource:
    """Classes that lie far from each other in eight dimensions; the first number is the class."""
    rng = np.random.default_rng(1)
    middle = rng.normal(0, 3, (classes, 8))
    middle[:, 0] = 100 * np.arange(classes)
    x = np.repeat(middle, each, 0) + width * rng.normal(size=(classes * each, 8))
    first = each * np.arange(classes)
    return ArraySource(x.astype(np.float32), first, np.full(classes, each), {"data": "clusters"})


@settings(max_examples=20)
@given(st.lists(st.sampled_from([0, 1, 2, 5]), min_size=12, max_size=12))
def test_a_tail_is_the_share_of_scores_at_least_as_large(scores: list[int]) -> None:
    """Exactly at the scores and beyond them; between two of them, between their shares."""
    found = np.array([*scores, -1, 3, 4, 6], float)
    at = np.arange(-2, 7.5, 0.5)
    shares = (1 + (found >= at[:, None]).sum(1)) / 17
    p = np.asarray(Tail.of(found)(jnp.asarray(at)))
    exact = np.isin(at, found) | (at < -1) | (at > 6)
    np.testing.assert_allclose(p[exact], shares[exact], rtol=1e-4)
    assert (p >= 0.999 * shares).all()
    for share, s in zip(p[~exact], at[~exact], strict=True):
        assert share <= 1.001 * (1 + np.sum(found >= found[found < s].max())) / 17


def test_a_tail_of_many_scores_is_kept_at_few_points() -> None:
    scores = RNG.normal(size=3000)
    tail = Tail.of(scores)
    assert len(tail.values) <= 64
    at = np.linspace(-3, 3.5, 200)
    exact = (1 + (scores >= at[:, None]).sum(1)) / 3001
    found = np.asarray(tail(jnp.asarray(at)))
    assert (found >= 0.85 * exact).all()
    assert (found <= 1.15 * exact + 1 / 3001).all()


def test_scores_of_reference_inputs_are_p_values() -> None:
    """The share of them at most α is α, whatever the distances are, and how they depend."""
    features = np.exp(RNG.normal(size=(1500, 2)) @ np.array([[1, 0.8], [0, 0.6]]))
    differences = RNG.normal(size=(1500, 4, 3))
    made = Reference.of(features, differences, np.array([1.0, 2.0, 0.0]), "some")
    made = Reference.from_json(made.to_json())
    score = np.asarray(made.score(jnp.asarray(features), jnp.asarray(differences)))
    for rate in (0.01, 0.05, 0.1, 0.5):
        assert np.mean(score <= rate) == pytest.approx(rate, abs=0.01)
    usual = features.copy()
    for far in (0, 1):  # in both distances of the network: more unusual than in one
        usual[:, far] = 1e6
    beyond = np.asarray(made.score(jnp.asarray(usual), jnp.asarray(differences)))
    assert (beyond < 0.01).all()
    odd = np.asarray(made.score(jnp.asarray(0 * features), jnp.asarray(differences + 1e3)))
    assert (odd < 0.02).all()


def test_the_area_under_the_curve() -> None:
    score, known = RNG.integers(0, 6, 50) / 5, RNG.uniform(size=50) < 0.4
    pairs = mannwhitneyu(score[known], score[~known]).statistic / known.sum() / (~known).sum()
    assert float(auroc(jnp.asarray(score), jnp.asarray(known))) == pytest.approx(pairs, rel=1e-5)


def test_queries_of_other_classes_are_of_none_of_the_episode() -> None:
    tasks = OpenSet(FewShot(clusters(), way=3, shot=2, query=4))
    sample = eqx.filter_jit(tasks.sample)
    for key in jax.random.split(KEY, 5):
        episode = sample(key)
        assert episode.support.y.tolist() == [0, 0, 1, 1, 2, 2]
        known, of = np.asarray(episode.query.y), np.round(np.asarray(episode.query.x)[:, 0] / 100)
        there = np.round(np.asarray(episode.support.x)[::2, 0] / 100)
        assert len(known) == 24
        np.testing.assert_array_equal(of[known >= 0], there[known[known >= 0]])
        assert not set(of[known < 0]) & set(there)
        assert len(set(of[known < 0])) == 3
    with pytest.raises(ValueError, match="7 classes and as many others, of 12"):
        OpenSet(FewShot(clusters(), way=7, shot=1, query=1))


def test_how_inputs_look() -> None:
    grey = np.asarray(appearance(jnp.full((1, 6, 6, 1), 0.25)))[0]
    np.testing.assert_allclose(grey, [np.log(0.251), np.log(0.001), 0], atol=1e-4)
    stripes = jnp.tile(jnp.arange(6.0) % 2, (6, 1))[None, :, :, None]
    rough = np.sqrt((0 + 1) / 2)
    expected = [np.log(0.001 + np.sqrt(0.5)), np.log(0.501), np.log(0.001 + rough) - np.log(0.501)]
    np.testing.assert_allclose(np.asarray(appearance(stripes))[0], expected, rtol=1e-4)
    assert appearance(jnp.ones((3, 5), int)).tolist() == [[0.0]] * 3


def test_examples_that_are_left_out_are_not_compared_with() -> None:
    x = jnp.asarray(RNG.normal(size=(6, 8)), jnp.float32)
    queries = jnp.asarray(RNG.normal(size=(4, 8)), jnp.float32)
    y = jnp.array([0, -1, 1, 1, -1, 0])
    predictor = NearestMean().adapt(Examples(x, y), Categorical(3), key=KEY)
    kept = np.array([0, 2, 3, 5])
    z = predictor.embed(queries)
    near, looks = Seen.of(predictor, Examples(x, y), 3).distances(z, queries)
    fewer = Seen.of(predictor, Examples(x[kept], y[kept]), 3).distances(z, queries)
    np.testing.assert_allclose(near, fewer[0], rtol=1e-5)
    np.testing.assert_allclose(looks[:, kept], fewer[1], rtol=1e-5)
    assert np.isinf(np.asarray(looks)[:, [1, 4]]).all()


def test_far_classes_are_told_and_false_alarms_are_as_asked() -> None:
    tasks = FewShot(clusters(), way=3, shot=4, query=4)
    known = reference(NearestMean(), tasks, episodes=40, words="clusters")
    assert known.count == 480
    measured = evaluate(OpenSetLearner(NearestMean(), known, 0.1), OpenSet(tasks), episodes=40)
    means = {name: measured.estimate(name).mean for name in measured.metrics}
    assert means["accuracy"] == 1
    assert means["auroc"] > 0.99
    assert means["misses"] < 0.05
    assert means["false alarms"] == pytest.approx(0.1, abs=0.05)


def test_classes_of_one_example_and_of_nine_have_the_same_false_alarms(monkeypatch) -> None:
    """Half of the classes have one example and half have nine, where reference inputs were met
    with five; without the correction most inputs of the small classes are beyond the threshold."""
    rng, counts, each = np.random.default_rng(1), np.repeat([1, 9], 10), 100
    middle = rng.normal(0, 5, (20, 1, 32))
    x = (middle + rng.normal(size=(20, each, 32))).astype(np.float32)
    source = ArraySource(
        x.reshape(-1, 32), each * np.arange(20), np.full(20, each), {"data": "clusters"}
    )
    found = reference(NearestMean(), FewShot(source, way=20, shot=5, query=2), episodes=40)
    told = np.concatenate([x[k, : counts[k]] for k in range(20)])
    support = Examples(jnp.asarray(told), jnp.asarray(np.repeat(np.arange(20), counts)))
    predictor = NearestMean().adapt(support, Categorical(20), key=KEY)

    def alarms() -> list[float]:
        """At a rate of .1, of the small classes and of the large ones."""
        queries = jnp.asarray(x[:, 20:].reshape(-1, 32))
        score = found.score(
            *Seen.of(predictor, support, 20).distances(predictor.embed(queries), queries)
        )
        return np.asarray(score <= 0.1).reshape(2, -1).mean(1).tolist()

    np.testing.assert_allclose(alarms(), 0.1, atol=0.1)
    monkeypatch.setattr(Seen, "comparable", property(lambda seen: jnp.ones(seen.classes)))
    assert alarms()[0] > 0.5
