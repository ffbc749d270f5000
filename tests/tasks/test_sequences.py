"""Sequences whose labels are told one step late, and learners of sets scored on them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.evaluation import average, evaluate
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.likelihood import Categorical, Letters
from quickstudy.networks import MLP
from quickstudy.task import Examples
from quickstudy.tasks.sequences import Sequence, Sequences, words

WAY, LENGTH = 3, 12
KEY = jax.random.key(0)


@pytest.fixture
def tasks(clusters) -> Sequences:
    return Sequences(clusters(classes=9, each=8, noise=0.2), WAY, LENGTH)


def some(tasks: Sequences, count: int = 200) -> Sequence:
    """Sequences, along a leading axis."""
    return eqx.filter_jit(jax.vmap(tasks.sample))(jax.random.split(KEY, count))


def test_a_sequence_has_distinct_examples_of_a_few_classes_under_shuffled_labels(tasks):
    x = np.asarray(tasks.source.x)
    made = some(tasks)
    called = np.zeros((9, WAY), int)
    for xs, ys in zip(np.asarray(made.query.x), np.asarray(made.query.y), strict=True):
        rows = [int(np.flatnonzero((x == one).all(1))[0]) for one in xs]
        classes = np.asarray(rows) // 8
        assert len({(c, y) for c, y in zip(classes, ys, strict=True)}) == len(set(classes))
        assert len(set(classes)) == len(set(ys)) <= WAY
        for c in set(classes):  # 8 = twice the average of 12 / 3
            of_class = [r for r in rows if r // 8 == c]
            assert len(set(of_class[:8])) == min(8, len(of_class))
            called[c, ys[classes == c][0]] += 1
    assert (called > 8).all()  # each class under each label, some 22 times


def test_a_class_that_has_shown_all_its_examples_starts_again(clusters):
    """Of 5 examples of 5 classes, a class has 2: the third that comes up is the first again."""
    source = clusters(classes=9, each=8)
    x, again = np.asarray(source.x), 0
    for xs in np.asarray(some(Sequences(source, 5, 5)).query.x):
        rows = np.asarray([int(np.flatnonzero((x == one).all(1))[0]) for one in xs])
        for c in set(rows // 8):
            of_class = rows[rows // 8 == c]
            if len(of_class) > 2:
                again += 1
                assert of_class[2] == of_class[0] != of_class[1]
    assert again > 20


def test_words_are_the_digits_to_the_base_5():
    found = words(jnp.asarray([0, 7, 3124, 625 + 2]))
    digits = [[int(c) for c in np.base_repr(n, 5).zfill(5)] for n in (0, 7, 3124, 627)]
    np.testing.assert_array_equal(found, digits)


def test_presentations_count_how_often_a_class_has_come_up():
    y = jnp.asarray([1, 0, 1, 1, 2, 0])
    examples = Examples(jnp.zeros((6, 2)), y)
    found = Sequence(examples, examples, Categorical(3)).presentations()
    np.testing.assert_array_equal(found, [1, 1, 2, 3, 1, 2])
    spelt = Examples(jnp.zeros((6, 2)), words(100 * y + 7))
    found = Sequence(spelt, spelt, Letters()).presentations()
    np.testing.assert_array_equal(found, [1, 1, 2, 3, 1, 2])


def test_accuracy_by_presentation_counts_those_alone():
    y = jnp.asarray([1, 0, 1, 1, 2, 0])
    guessed = jnp.asarray([1, 0, 0, 1, 0, 0])
    examples = Examples(jnp.zeros((6, 2)), y)
    sequence = Sequence(examples, examples, Categorical(3))
    figures = sequence.metrics(jax.nn.one_hot(guessed, 3), sequence.likelihood)
    found = [float(figures[f"accuracy@{k}"]) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(found, [2 / 3, 1 / 2, 1, np.nan])
    assert float(figures["accuracy"]) == pytest.approx(4 / 6)


def test_words_are_distinct(clusters):
    source = clusters(classes=9, each=8)
    made = some(Sequences(source, WAY, LENGTH, letters=True))
    x = np.asarray(source.x)
    for xs, spelt in zip(np.asarray(made.query.x), np.asarray(made.query.y), strict=True):
        classes = [int(np.flatnonzero((x == one).all(1))[0]) // 8 for one in xs]
        called = {(c, tuple(word)) for c, word in zip(classes, spelt, strict=True)}
        assert len(called) == len(set(classes)) == len({word for _, word in called})
    assert set(np.unique(made.query.y)) == {0, 1, 2, 3, 4}


def test_of_a_word_all_letters_must_be_right():
    rng = np.random.default_rng(0)
    likelihood, y = Letters(), jnp.asarray([[0, 1, 2, 3, 4], [4, 4, 4, 4, 4], [-1] * 5])
    metrics = jax.jit(likelihood.metrics)
    right = 5 * likelihood.encode(y)
    logits = right.at[1, -1].set(-1.0)  # one letter of the second word is wrong
    assert float(metrics(right, y)["accuracy"]) == 1
    assert float(metrics(logits, y)["accuracy"]) == 0.5
    logits = jnp.asarray(rng.normal(size=(3, 25)), jnp.float32)
    p = np.exp(np.asarray(logits)).reshape(3, 5, 5)
    p = p / p.sum(-1, keepdims=True)
    slowly = [-sum(np.log(p[i, j, y[i, j]]) for j in range(5)) for i in range(2)]
    found = jax.jit(likelihood.negative_log_likelihood)(logits, y)
    np.testing.assert_allclose(found, [*slowly, 0], rtol=1e-5)
    claims = jax.jit(likelihood.calibration)(logits, y)
    np.testing.assert_allclose(claims.sum(0)[:2], [2, np.prod(p.max(-1), -1)[:2].sum()], rtol=1e-5)


@eqx.filter_jit
def adapted(learner, support, x):
    return learner.adapt(support, Categorical(WAY), key=KEY)(x)


@pytest.mark.parametrize("learner", [NearestNeighbour(), ProtoNet(MLP((8,), hidden=(6,), key=KEY))])
def test_a_learner_of_sets_predicts_each_from_the_shorter_set_before_it(tasks, learner):
    task = jax.tree.map(lambda a: a[0], some(tasks, 1))
    x, y = task.query.x, np.asarray(task.query.y)
    found = np.asarray(
        eqx.filter_jit(lambda e: learner.in_turn(e, Categorical(WAY), key=KEY))(task.query)
    )
    np.testing.assert_array_equal(found[0], np.zeros(WAY))  # nothing is known yet
    for t in (1, LENGTH - 1):
        shorter = Examples(x[:t], task.query.y[:t])
        seen = np.unique(y[:t])
        expected = np.asarray(adapted(learner, shorter, x[t : t + 1]))[0, seen]
        np.testing.assert_allclose(found[t, seen], expected, rtol=1e-3, atol=1e-4)
        unseen = np.setdiff1d(np.arange(WAY), seen)
        assert (found[t, unseen] < expected.min()).all()


def test_figures_leave_out_episodes_without_such_a_presentation(tasks):
    result = evaluate(NearestNeighbour(), tasks, episodes=60)
    seventh = result.metrics["accuracy@7"]
    some_have = ~np.isnan(seventh)
    assert 0 < some_have.sum() < 60
    assert result.estimate("accuracy@7").episodes == some_have.sum()
    assert result.estimate("accuracy@7").mean == pytest.approx(seventh[some_have].mean())
    assert result.estimate("accuracy@1").mean < 0.5 < result.estimate("accuracy@2").mean
    means = average({0: result, 1: result}).by_training("accuracy@7")
    assert means == pytest.approx([seventh[some_have].mean()] * 2)


def test_sequences_that_cannot_be_are_refused(clusters):
    with pytest.raises(ValueError, match="sequences of 13 classes from 12"):
        Sequences(clusters(), 13, 10)
