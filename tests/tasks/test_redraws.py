"""A fixed task whose examples are drawn anew: what its distribution promises still holds."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.tasks.any_shot import AnyShot
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.cloze import NoSentenceTwice, blanked_words, vocabulary
from quickstudy.tasks.few_shot import AnyClasses, Draw, FewShot, FixedLabels
from quickstudy.tasks.partly_labelled import PartlyLabelled
from quickstudy.tasks.within import Division, OneHand

CLASSES, EACH, WAY, SHOT, QUERY = 8, 10, 3, 3, 2
DISTRACTORS, LABELLED = 2, 1
SENTENCES = [
    (*(f"w{word}" for word in np.random.default_rng(number).permutation(CLASSES)[:3]), f"n{number}")
    for number in range(40)
]
"""Three of the words in each, and one more that no other sentence has."""


def numbered() -> ArraySource:
    """Examples that say their class and their number."""
    x = np.stack(np.divmod(np.arange(CLASSES * EACH), EACH), axis=1).astype(np.float32)
    return ArraySource(x, EACH * np.arange(CLASSES), np.full(CLASSES, EACH), {"data": "n"})


@functools.cache
def made(kind: type) -> FewShot | AnyShot | PartlyLabelled:
    counts = (WAY, SHOT, QUERY)
    few = FewShot(numbered(), *counts)
    if kind is OneHand:
        return FewShot(numbered(), *counts, OneHand(Division.of(list("aaaabbbb"), WAY)))
    if kind is PartlyLabelled:
        return PartlyLabelled(few, LABELLED, DISTRACTORS, anywhere=True)
    if kind is NoSentenceTwice:
        words = [f"w{i}" for i in range(CLASSES)]
        source, _ = blanked_words(SENTENCES, words, vocabulary([SENTENCES]), {"data": "a"})
        return FewShot(source.with_at_least(SHOT + QUERY), *counts, NoSentenceTwice())
    if kind is FixedLabels:
        return FewShot(numbered(), *counts, FixedLabels())
    return AnyShot(few) if kind is AnyShot else few


KINDS = [*Draw.__subclasses__(), PartlyLabelled, AnyShot]
"""Every way to draw, and what is put around few-shot episodes."""


@functools.cache
def redrawn(kind: type):
    """Two draws of one task, and its classes."""
    tasks = made(kind)
    few = tasks if isinstance(tasks, FewShot) else tasks.tasks

    @jax.jit
    def draw(task, one, other):
        key = jax.random.key(task)
        draws = [tasks.sample(key, jax.random.key(seed)) for seed in (one, other)]
        return tasks.sample(key), *draws, few.chosen(key)

    return draw


seeds = st.integers(0, 2**31 - 1)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(seeds, seeds, seeds)
def test_a_task_that_is_drawn_again_keeps_its_promises(kind, task, one, other):
    first, *draws, classes = jax.device_get(redrawn(kind)(task, one, other))
    for episode in draws:
        np.testing.assert_array_equal(episode.support.y, first.support.y)
        np.testing.assert_array_equal(episode.query.y, first.query.y)
        assert episode.query.y.tolist() == [label for label in range(WAY) for _ in range(QUERY)]
        PROMISES[kind](episode, classes)
        if kind is not NoSentenceTwice:  # examples say their class
            for part, of_first in ((episode.support, first.support), (episode.query, first.query)):
                np.testing.assert_array_equal(numbers(part)[0], numbers(of_first)[0])
    if one != other:
        both = [np.concatenate([e.support.x, e.query.x]) for e in draws]
        assert not np.array_equal(*both)


def numbers(examples) -> tuple[np.ndarray, np.ndarray]:
    """The class and the number of each."""
    return tuple(np.asarray(examples.x, int).T)  # pyright: ignore[reportReturnType]


def classes_and_distinct_examples(episode, classes):
    of_support, of_query = (numbers(part) for part in (episode.support, episode.query))
    regular = WAY * SHOT
    np.testing.assert_array_equal(of_support[0][:regular], np.repeat(classes, SHOT))
    np.testing.assert_array_equal(of_query[0], np.repeat(classes, QUERY))
    everything = np.concatenate([np.stack(of_support, 1), np.stack(of_query, 1)]).tolist()
    assert len({tuple(each) for each in everything}) == len(everything)


def one_hand(episode, classes):
    classes_and_distinct_examples(episode, classes)
    for part, each in ((episode.support, SHOT), (episode.query, QUERY)):
        hands = numbers(part)[1].reshape(WAY, each)
        assert np.all(hands == hands[0])


def some_labelled(episode, classes):
    classes_and_distinct_examples(episode, classes)
    assert (episode.support.y >= 0).sum() == WAY * LABELLED
    distracting = numbers(episode.support)[0][WAY * SHOT :].reshape(DISTRACTORS, SHOT - LABELLED)
    assert np.all(distracting == distracting[:, :1])
    assert len({*classes.tolist(), *distracting[:, 0].tolist()}) == WAY + DISTRACTORS


def no_sentence_twice(episode, classes):
    tokens = vocabulary([SENTENCES])
    own = {tokens[f"n{number}"] for number in range(len(SENTENCES))}
    found = [
        own.intersection(x.tolist()) for part in (episode.support, episode.query) for x in part.x
    ]
    assert all(len(each) == 1 for each in found)
    assert len(set.union(*found)) == len(found) == WAY * (SHOT + QUERY)


def the_first_of_each_class_labelled(episode, classes):
    classes_and_distinct_examples(episode, classes)
    labelled = episode.support.y.reshape(WAY, SHOT) >= 0
    assert 1 <= labelled[0].sum() <= SHOT
    assert np.all(labelled == (np.arange(SHOT) < labelled[0].sum()))


PROMISES = {
    AnyClasses: classes_and_distinct_examples,
    FixedLabels: classes_and_distinct_examples,
    OneHand: one_hand,
    PartlyLabelled: some_labelled,
    NoSentenceTwice: no_sentence_twice,
    AnyShot: the_first_of_each_class_labelled,
}


def test_the_examples_of_distractors_are_drawn_anew_as_well():
    draw = redrawn(PartlyLabelled)
    found = {
        tuple(numbers(draw(0, seed, seed)[1].support)[1][WAY * SHOT :].tolist())
        for seed in range(5)
    }
    assert len(found) > 1
