"""One-shot language modelling: words as classes (Vinyals et al. 2016, section 4.1.3).

An example of a word is a sentence in which a blank replaces the word. An episode has `way` words, a
few sentences for each, and asks for the missing word in other sentences. Inputs are the tokens
around the blank. Text comes from one part of a corpus and words from one part of the vocabulary, so
no test word was a blank in training."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key, PRNGKeyArray

from quickstudy.tasks.few_shot import AnyClasses, Draw, FewShot
from quickstudy.tasks.source import ClassSource, distinct

CONTEXT = 10
"""The number of tokens on each side of the blank."""

NOTHING, BLANK = 0, 1
"""The tokens for positions beyond the sentence, and for the blank."""

NO_WORDS = ("<unk>", "N")
"""Tokens that stand for many words, and are never classes."""


class BlankedWords(ClassSource):
    """Words of a vocabulary with the sentences of a text that contain them, each sentence once,
    words with more sentences first.

    All other occurrences of the word in the sentence become blanks too.

    >>> source.draw(key, jnp.asarray(3), 5).shape      # five sentences with a blank for word 3
    (5, 21)
    """

    text: Int[Array, " tokens"]
    """All sentences, with `CONTEXT` times `NOTHING` before, between and after them."""
    word: Int[Array, " words"]
    """The token of each class."""
    first: Int[Array, " words"]
    """Where a word's sentences begin among …"""
    count: Int[Array, " words"]
    place: Int[Array, " occurrences"]
    """… where in the text each occurrence is …"""
    sentence: Int[Array, " occurrences"]
    """… and the number of its sentence."""
    classes: int = eqx.field(static=True)
    vocabulary: int = eqx.field(static=True)
    """The number of tokens."""
    words: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    """The entries of `protocol`: data, part …"""

    def occurrences(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Int[Array, " count"]:
        """Return the occurrences that `draw` shows."""
        return self.first[label] + distinct(key, self.count[label], count)

    def draw(self, key: PRNGKeyArray, label: Int[Array, ""], count: int) -> Int[Array, "count l"]:
        place = self.place[self.occurrences(key, label, count)]
        window = self.text[place[:, None] + jnp.arange(-CONTEXT, CONTEXT + 1)]
        return jnp.where(window == self.word[label], BLANK, window)

    def with_at_least(self, sentences: int) -> "BlankedWords":
        """Leave out the words that occur in fewer sentences. The others keep their labels."""
        classes = int(np.sum(np.asarray(self.count) >= sentences))
        return dataclasses.replace(self, classes=classes)

    def protocol(self) -> dict[str, Any]:
        left_out = {"words left out": len(self.word) - self.classes}
        return {**dict(self.words), "classes": self.classes, **left_out}


class NoSentenceTwice(Draw):
    """Episodes of blanked words in which no sentence comes twice, also not for different words:
    `draw` is repeated until all sentences differ.

    >>> tasks = FewShot(source.with_at_least(2), 5, 1, 1, NoSentenceTwice())
    >>> tasks.sample(key).support.x.shape
    (5, 21)
    """

    draw: Draw = AnyClasses()

    def classes(self, key, tasks):
        def repeats(key: PRNGKeyArray) -> Bool[Array, ""]:
            words, examples = self.draw.classes(key, tasks)
            return sentence_twice(tasks, words, self.draw.example_keys(examples, words, tasks))

        return self.draw.classes(jax.lax.while_loop(repeats, another, key), tasks)

    def example_keys(self, examples, classes, tasks):
        """Draw until all sentences differ. For words from `classes` this ends, because `classes`
        has found different sentences for them."""

        def repeats(examples: PRNGKeyArray) -> Bool[Array, ""]:
            keys = self.draw.example_keys(examples, classes, tasks)
            return sentence_twice(tasks, classes, keys)

        examples = jax.lax.while_loop(repeats, another, examples)
        return self.draw.example_keys(examples, classes, tasks)

    def protocol(self) -> dict[str, Any]:
        return self.draw.protocol()


def sentence_twice(
    tasks: FewShot, words: Int[Array, " way"], keys: Key[Array, " way"]
) -> Bool[Array, ""]:
    """Whether a sentence comes twice among the sentences that the words draw with their keys."""
    source = tasks.source
    assert isinstance(source, BlankedWords)
    each = tasks.shot + tasks.query
    drawn = jax.vmap(lambda k, w: source.occurrences(k, w, each))(keys, words)
    sentences = jnp.sort(source.sentence[drawn].ravel())
    return jnp.any(sentences[1:] == sentences[:-1])


def another(key: PRNGKeyArray) -> PRNGKeyArray:
    """Return the next key of a chain."""
    return jax.random.split(key, 1)[0]


def vocabulary(texts: Iterable[Iterable[Sequence[str]]]) -> dict[str, int]:
    """Give a token to each word of the sentences of some texts."""
    found = sorted({word for text in texts for sentence in text for word in sentence})
    return {word: number for number, word in enumerate(found, start=BLANK + 1)}


def blanked_words(
    sentences: Iterable[Sequence[str]],
    asked: Iterable[str],
    tokens: Mapping[str, int],
    words: dict[str, Any],
) -> tuple[BlankedWords, list[str]]:
    """Return the given words with the sentences that contain them, and the words in the order of
    their labels. Equal sentences count once. `words` are the entries of `protocol`."""
    unique = [np.asarray([tokens[w] for w in s], int) for s in dict.fromkeys(map(tuple, sentences))]
    length = np.asarray([len(s) for s in unique], int)
    gap = np.full(CONTEXT, NOTHING, int)
    text = np.concatenate([part for s in unique for part in (gap, s)] + [gap])
    place = np.flatnonzero(text != NOTHING)
    sentence = np.repeat(np.arange(len(unique)), length)

    class_of = np.full(max(tokens.values()) + 1, -1, int)
    asked = list(asked)
    class_of[[tokens[word] for word in asked]] = np.arange(len(asked))
    is_asked = class_of[text[place]] >= 0
    place, sentence = place[is_asked], sentence[is_asked]
    label = class_of[text[place]]
    pair = label * len(unique) + sentence
    _, once = np.unique(pair, return_index=True)  # sorted by word, then by sentence
    count = np.bincount(label[once], minlength=len(asked))
    first = np.cumsum(count) - count
    order = np.argsort(-count, kind="stable")
    source = BlankedWords(
        text=jnp.asarray(text),
        word=jnp.asarray([tokens[asked[i]] for i in order]),
        first=jnp.asarray(first[order]),
        count=jnp.asarray(count[order]),
        place=jnp.asarray(place[once]),
        sentence=jnp.asarray(sentence[once]),
        classes=len(asked),
        vocabulary=len(class_of),
        words=tuple(words.items()),
    )
    return source.with_at_least(1), [asked[i] for i in order]


def divided(words: Iterable[str], sizes: tuple[int, int], seed: int) -> dict[str, list[str]]:
    """Shuffle the words without `NO_WORDS`, and divide them into validation, test and training
    words."""
    mixed = np.random.default_rng(seed).permutation(sorted(set(words) - set(NO_WORDS))).tolist()
    validation, test = sizes
    return {
        "validation": mixed[:validation],
        "test": mixed[validation : validation + test],
        "train": mixed[validation + test :],
    }
