"""Partly labelled episodes, and labels that are asked for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quickstudy.learner import AskingLearner
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.task import Examples
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.asking import Asked, AsLearned, AtRandom, LeastCertain
from quickstudy.tasks.few_shot import AnyClasses, FewShot, FixedLabels
from quickstudy.tasks.partly_labelled import PartlyLabelled, distinct_others

CLASSES, EACH, WAY, SHOT, QUERY = 7, 8, 3, 4, 2
KEYS = jax.random.split(jax.random.key(0), 200)


def numbered() -> ArraySource:
    """Each example is its number: class times EACH, plus which of the class."""
    x = np.arange(CLASSES * EACH, dtype=np.float32)[:, None]
    return ArraySource(x, EACH * np.arange(CLASSES), np.full(CLASSES, EACH), {"data": "numbers"})


def partly(labelled=1, distractors=0, fixed=False, anywhere=False) -> PartlyLabelled:
    return PartlyLabelled(whole(fixed), labelled, distractors, anywhere)


def whole(fixed: bool) -> FewShot:
    return FewShot(numbered(), WAY, SHOT, QUERY, FixedLabels() if fixed else AnyClasses())


def drawn(tasks, keys=KEYS):
    return jax.device_get(eqx.filter_jit(eqx.filter_vmap(tasks.sample))(keys))


def true_labels(episodes) -> np.ndarray:
    """Of the support examples by the queries, whose labels are not hidden; -1 for others."""
    of_query = (episodes.query.x[..., 0] // EACH).astype(int)
    names = np.stack(
        [of_query[episodes.query.y == k].reshape(-1, QUERY)[:, 0] for k in range(WAY)], 1
    )
    mine = (episodes.support.x[..., 0] // EACH).astype(int)
    same = mine[..., None] == names[:, None]
    return np.where(same.any(-1), same.argmax(-1), -1)


@pytest.mark.parametrize("labelled", [1, 2, SHOT])
@pytest.mark.parametrize("fixed", [False, True])
def test_an_episode_is_the_draw_of_few_shot_with_labels_hidden(labelled, fixed):
    labelled_all = drawn(whole(fixed))
    episodes = drawn(partly(labelled, fixed=fixed))
    np.testing.assert_array_equal(episodes.support.x, labelled_all.support.x)
    np.testing.assert_array_equal(episodes.query.x, labelled_all.query.x)
    np.testing.assert_array_equal(episodes.query.y, labelled_all.query.y)
    np.testing.assert_array_equal(episodes.answers, labelled_all.support.y)
    known = episodes.support.y >= 0
    np.testing.assert_array_equal(episodes.support.y[known], labelled_all.support.y[known])
    for k in range(WAY):
        assert (np.sum(episodes.support.y == k, 1) == labelled).all()


def test_distractors_are_unlabelled_examples_of_other_classes():
    few, many = drawn(partly()), drawn(partly(distractors=2))
    n = WAY * SHOT
    np.testing.assert_array_equal(many.support.x[:, :n], few.support.x)
    np.testing.assert_array_equal(many.query.x, few.query.x)
    assert many.support.x.shape[1] == n + 2 * (SHOT - 1)
    assert (many.support.y[:, n:] == -1).all()
    assert (many.answers[:, n:] == -1).all()
    assert (true_labels(many) == many.answers).all()
    for x in many.support.x[:, n:, 0]:
        assert len(set(x)) == 2 * (SHOT - 1)
        assert len(set(x // EACH)) == 2


def test_labels_anywhere_are_of_any_support_examples():
    keys = jax.random.split(jax.random.key(1), 4000)
    few, any_ = drawn(partly(2), keys), drawn(partly(2, anywhere=True), keys)
    np.testing.assert_array_equal(any_.support.x, few.support.x)
    np.testing.assert_array_equal(any_.answers, few.answers)
    known = any_.support.y >= 0
    np.testing.assert_array_equal(any_.support.y[known], any_.answers[known])
    assert (known.sum(1) == 2 * WAY).all()
    assert stats.chisquare(known.sum(0)).pvalue > 1e-3
    missed = np.mean([(any_.support.y == k).sum(1) == 0 for k in range(WAY)])
    expected = stats.hypergeom(WAY * SHOT, SHOT, 2 * WAY).pmf(0)
    assert abs(missed - expected) < 4 * np.sqrt(expected / len(keys))
    assert partly(2, anywhere=True).protocol()["labelled per class"] == "2 on average"


def test_distinct_others_are_every_choice_of_what_is_left():
    keys = jax.random.split(jax.random.key(3), 6000)
    taken = jnp.asarray([4, 0, 2])
    found = np.asarray(jax.jit(jax.vmap(lambda k: distinct_others(k, taken, 6, 2)))(keys))
    pairs, counts = np.unique(found, axis=0, return_counts=True)
    assert {tuple(pair) for pair in pairs} == {
        (a, b) for a in (1, 3, 5) for b in (1, 3, 5) if a != b
    }
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_words_tell_which_episodes_they_are():
    assert "labelled per class" not in partly(SHOT).protocol()
    words = partly(2, 3).protocol()
    assert (words["labelled per class"], words["distractor classes"]) == (2, 3)
    asked = Asked(partly(), AtRandom(), 2).protocol()
    assert (asked["asked"], asked["labels asked for"]) == ("random", 2)


@pytest.mark.parametrize(
    ("labelled", "distractors", "words"),
    [(0, 0, "0 labelled"), (5, 0, "5 labelled"), (4, 1, "not all"), (1, 5, "3 . 5 classes")],
)
def test_impossible_episodes_are_refused(labelled, distractors, words):
    with pytest.raises(ValueError, match=words):
        partly(labelled, distractors)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_answers_are_the_true_labels_and_nothing_else_changes(count):
    before, after = drawn(partly()), drawn(Asked(partly(), AtRandom(), count))
    np.testing.assert_array_equal(after.support.x, before.support.x)
    np.testing.assert_array_equal(after.query.x, before.query.x)
    changed = after.support.y != before.support.y
    assert (changed.sum(1) == count).all()
    assert (before.support.y[changed] == -1).all()
    np.testing.assert_array_equal(after.support.y[changed], true_labels(before)[changed])


def test_random_asking_is_uniform_over_the_unlabelled():
    tasks = Asked(partly(), AtRandom(), 1)
    before = drawn(partly(), KEYS[:1]).support.y[0]
    episodes = drawn(tasks, jax.random.split(jax.random.key(5), 3000))
    counts = np.sum(episodes.support.y != before, 0)
    assert (counts[before >= 0] == 0).all()
    assert stats.chisquare(counts[before < 0]).pvalue > 1e-3


def test_a_distractor_is_asked_about_once_and_stays_unlabelled():
    tasks = partly(distractors=4)
    answers = drawn(tasks).answers
    assert (answers == -1).any()
    episodes = drawn(Asked(tasks, AtRandom(), tasks.unlabelled))
    np.testing.assert_array_equal(episodes.support.y, answers)


class Longing(NearestNeighbour, AskingLearner):
    """Wants the largest input."""

    def acquire(self, support, likelihood, *, key):
        return support.x[:, 0]


def test_a_learner_that_has_learned_to_ask_is_asked():
    before = drawn(partly())
    after = drawn(Asked(partly(), AsLearned(Longing()), 2))
    for x, known, y, answers in zip(
        before.support.x[..., 0], before.support.y, after.support.y, before.answers, strict=True
    ):
        open_ = np.flatnonzero(known < 0)
        wanted = open_[np.argsort(x[open_])[-2:]]
        np.testing.assert_array_equal(np.flatnonzero(y != known), np.sort(wanted))
        np.testing.assert_array_equal(y[wanted], answers[wanted])


def test_uncertainty_asks_about_the_answer_with_the_highest_entropy():
    learner, tasks = NearestNeighbour(), partly()
    before, after = drawn(tasks), drawn(Asked(tasks, LeastCertain(learner), 1))
    for i in range(5):
        support = Examples(jnp.asarray(before.support.x[i]), jnp.asarray(before.support.y[i]))
        logits = learner.adapt(support, tasks.tasks.likelihood, key=KEYS[0])(support.x)
        p = np.asarray(jax.nn.softmax(logits), float)
        entropy = np.where(before.support.y[i] < 0, stats.entropy(p, axis=1), -np.inf)
        (asked,) = np.flatnonzero(after.support.y[i] != before.support.y[i])
        np.testing.assert_allclose(entropy[asked], entropy.max(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [0, 10])
def test_more_labels_than_there_are_to_ask_for_are_refused(count):
    with pytest.raises(ValueError, match="9 unlabelled"):
        Asked(partly(), AtRandom(), count)
