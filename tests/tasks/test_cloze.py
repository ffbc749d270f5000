"""Episodes of blanked words against the sentences that they come from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.tasks.cloze import (
    BLANK,
    CONTEXT,
    NO_WORDS,
    NOTHING,
    NoSentenceTwice,
    blanked_words,
    divided,
    vocabulary,
)
from quickstudy.tasks.few_shot import FewShot

RNG = np.random.default_rng(0)
WORDS = [f"w{i}" for i in range(30)]
SENTENCES = [
    tuple(RNG.choice(WORDS, RNG.integers(1, 2 * CONTEXT + 12)).tolist()) for _ in range(60)
]
TEXT = [*SENTENCES, *SENTENCES[:20], ("alone", "w0")]
TOKENS = vocabulary([TEXT])
ASKED = [*WORDS[:8], "alone", "never"]
TOKENS["never"] = 1 + max(TOKENS.values())
SOURCE, NAMES = blanked_words(TEXT, ASKED, TOKENS, {"data": "a"})
WAY, SHOT, QUERY = 3, 2, 1


@functools.cache
def sampler():
    tasks = FewShot(SOURCE.with_at_least(SHOT + QUERY), WAY, SHOT, QUERY, NoSentenceTwice())

    @jax.jit
    def sample(seed):
        key = jax.random.key(seed)
        return tasks.sample(key), tasks.chosen(key)

    return sample


def windows(word: str) -> dict[tuple[int, ...], tuple[str, ...]]:
    """What may be seen of a word, and the sentence that it is of: found by reading."""
    found = {}
    for sentence in dict.fromkeys(TEXT):
        if word not in sentence:
            continue
        middle = sentence.index(word)
        seen = []
        for place in range(middle - CONTEXT, middle + CONTEXT + 1):
            inside = 0 <= place < len(sentence)
            token = TOKENS[sentence[place]] if inside else NOTHING
            seen.append(BLANK if inside and sentence[place] == word else token)
        found[tuple(seen)] = sentence
    return found


@settings(max_examples=30)
@given(st.integers(0, 2**31 - 1))
def test_an_episode_is_sentences_with_the_word_of_their_class_blanked_out(seed):
    episode, classes = sampler()(seed)
    sentences = []
    for examples, each in ((episode.support, SHOT), (episode.query, QUERY)):
        np.testing.assert_array_equal(examples.y, np.repeat(np.arange(WAY), each))
        for x, label in zip(np.asarray(examples.x), np.asarray(examples.y), strict=True):
            word = NAMES[int(classes[label])]
            assert x[CONTEXT] == BLANK
            assert TOKENS[word] not in x
            sentences.append(windows(word)[tuple(x.tolist())])
    assert len(set(sentences)) == len(sentences) == WAY * (SHOT + QUERY)
    assert len(set(classes.tolist())) == WAY


def test_words_are_in_order_of_their_sentences_and_rare_ones_are_left_out():
    expected = sorted((-len({s for s in TEXT if w in s}), i) for i, w in enumerate(ASKED))
    assert [ASKED[i] for _, i in expected] == NAMES
    assert SOURCE.protocol() == {"data": "a", "classes": 9, "words left out": 1}
    assert SOURCE.with_at_least(2).protocol()["words left out"] == 2
    counts = [-count for count, _ in expected]
    for least in (1, 5, counts[0]):
        assert SOURCE.with_at_least(least).classes == sum(count >= least for count in counts)


def test_every_sentence_of_a_word_can_be_drawn():
    for label in (0, 8):
        word = NAMES[label]
        drawn = SOURCE.draw(jax.random.key(label), jnp.asarray(label), len(windows(word)))
        assert {tuple(x) for x in np.asarray(drawn).tolist()} == set(windows(word))


def test_words_that_share_all_sentences_are_never_in_one_episode():
    """Two words that are always together, and two more: of the six pairs, five remain."""
    text = [("a", "b", "x"), ("a", "b", "y"), ("c", "x"), ("c", "y"), ("d", "x"), ("d", "y")]
    source, names = blanked_words(text, "abcd", vocabulary([text]), {})
    tasks = FewShot(source, 2, 1, 1, NoSentenceTwice())
    drawn = jax.jit(jax.vmap(lambda key: tasks.chosen(key)))(
        jax.random.split(jax.random.key(0), 300)
    )
    pairs = {frozenset(names[i] for i in pair) for pair in np.asarray(drawn)}
    assert pairs == {frozenset(p) for p in ("ac", "ad", "bc", "bd", "cd")}


def test_words_are_divided_without_those_that_stand_for_many():
    words = [*map(str, range(50)), *NO_WORDS]
    parts = divided(words, (5, 10), seed=0)
    assert [len(parts[p]) for p in ("validation", "test", "train")] == [5, 10, 35]
    assert sorted(w for part in parts.values() for w in part) == sorted(map(str, range(50)))
    assert divided(words, (5, 10), seed=1) != parts == divided(words, (5, 10), seed=0)


def test_impossible_episodes_are_refused():
    with pytest.raises(ValueError, match="9 classes"):
        FewShot(SOURCE, 10, 1, 1, NoSentenceTwice())
