import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.datasets.tokens import (
    NOTHING,
    Tokenizer,
    inverse_document_frequency,
)

TEXTS = ["The cat sat on the mat.", "A cat, a mat", "naïve 猫が好き", "the the the mats"] * 3
ROOM = 4000

anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return dataclasses.replace(Tokenizer.trained(TEXTS, 256), length=ROOM)


def without_space(text: str) -> str:
    return "".join(letter for letter in text if not letter.isspace())


@settings(max_examples=50)
@given(text=anything)
def test_tokens_tell_the_text_again_in_one_spelling(tokenizer, text):
    (row,), cut = tokenizer.tokens([text])
    spelt = tokenizer._model.normalizer.normalize_str(text)
    assert cut == 0
    assert without_space(tokenizer.text(row)) == without_space(spelt)
    assert np.all((row >= 0) & (row < tokenizer.vocabulary))
    there = row != NOTHING
    assert np.all(np.diff(there.astype(int)) <= 0)  # what is beyond the end is at the end


@settings(max_examples=25)
@given(found=st.lists(anything, max_size=4))
def test_a_kept_tokenizer_gives_the_same_tokens(tokenizer, found):
    kept = Tokenizer.from_json(json.loads(json.dumps(dataclasses.asdict(tokenizer))))
    assert kept == tokenizer
    np.testing.assert_array_equal(kept.tokens(found)[0], tokenizer.tokens(found)[0])


@settings(max_examples=25)
@given(found=st.lists(anything, min_size=1, max_size=4), length=st.integers(1, 30))
def test_texts_are_cut_and_counted(tokenizer, found, length):
    whole, _ = tokenizer.tokens(found)
    short, cut = dataclasses.replace(tokenizer, length=length).tokens(found)
    np.testing.assert_array_equal(short, whole[:, :length])
    assert cut == np.sum(whole[:, length] != NOTHING)


def test_training_twice_gives_the_same():
    assert Tokenizer.trained(TEXTS, 256) == Tokenizer.trained(TEXTS, 256)


def test_there_is_room_for_twice_the_longest_text_and_no_more_than_asked(tokenizer):
    longest = np.max(np.sum(tokenizer.tokens(TEXTS)[0] != NOTHING, axis=1))
    assert Tokenizer.trained(TEXTS, 256).length == 2 * longest
    assert Tokenizer.trained(TEXTS, 3).length == 3


def test_a_frequent_word_is_one_token_in_any_case(tokenizer):
    x, _ = tokenizer.tokens(["cat CAT Cat"])
    assert len(set(x[0, :3].tolist())) == 1
    assert x[0, 3] == NOTHING


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=6))
def test_inverse_document_frequency_is_its_formula(rows):
    found = inverse_document_frequency(np.array(rows), 6)
    for token in range(1, 6):
        count = sum(token in row for row in rows)
        assert found[token] == pytest.approx(math.log((1 + len(rows)) / (1 + count)) + 1)
    assert found[NOTHING] == 0
