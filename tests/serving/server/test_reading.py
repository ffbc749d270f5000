"""Numbers, rows with names and texts, as requests bring them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from quickstudy.data.inputs import Inputs
from quickstudy.datasets.columns import Column
from quickstudy.datasets.encoding import Encoding
from quickstudy.datasets.tokens import Tokenizer
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.reading import BadInput, Item, TooMuch, read, takes
from quickstudy.terminal import collected

from .conftest import bytes_of, in_base64

LIMITS = Limits(most_inputs=10)
PLAIN = Inputs((2,), mean=(1.0, 2.0), deviation=(2.0, 4.0))
NAMED = Inputs((2,), mean=(1.0, 2.0), deviation=(2.0, 4.0), columns=("size", "age"))


def items(*values):
    return [Item(str(i), value) for i, value in enumerate(values, 1)]


def encoded() -> Inputs:
    """A table of a number and a word."""
    columns = [Column("size", "number"), Column("city", "category", ("Bern", "Oslo"))]
    encoding = Encoding.of("x", columns, np.array([[1.0, 0], [3.0, 1], [5.0, 1]]))
    return Inputs.unscaled((len(encoding.features),), encoding)


def test_rows_of_numbers_are_standardised_as_in_training():
    x = read(PLAIN, items([3, 6], [1.0, 2.0]), LIMITS)
    np.testing.assert_allclose(x, [[1, 1], [0, 0]])
    assert x.dtype == np.float32
    assert takes(PLAIN).kind == "numbers"


def test_named_cells_are_put_in_order():
    x = read(NAMED, items({"age": 6, "size": 3}, {"age": 2, "size": 1}), LIMITS)
    np.testing.assert_allclose(x, [[1, 1], [0, 0]])
    np.testing.assert_allclose(read(NAMED, items([3, 6]), LIMITS), [[1, 1]])
    assert takes(NAMED).columns == ["size", "age"]


def test_words_become_the_features_of_training():
    inputs = encoded()
    by_name = read(inputs, items({"city": "Oslo", "size": 3}), LIMITS)
    by_place = read(inputs, items([3, "Oslo"]), LIMITS)
    np.testing.assert_array_equal(by_name, by_place)
    other = read(inputs, items({"city": "Bern", "size": 3}), LIMITS)
    assert (by_name != other).any()
    assert takes(inputs).columns == ["size", "city"]


def test_each_request_is_told_of_words_that_training_did_not_have():
    for _ in range(2):
        with collected() as warnings:
            read(encoded(), items([3, "Rome"]), LIMITS)
        (said,) = warnings
        assert "'Rome'" in said


def test_the_input_at_fault_is_named_where_it_is_one():
    for values, which in (
        (([3, "Oslo"], [3, True]), "2"),
        (([3, "Oslo"], [3]), "2"),
        (([3, "Oslo"], ["old", "Oslo"]), None),
        (({"size": 1}, {"size": 2}), None),
    ):
        with pytest.raises(BadInput) as caught:
            read(encoded(), items(*values), LIMITS)
        assert caught.value.which == which, values


WRONG = [
    [1],
    [1, 2, 3],
    [1, "a"],
    [1, True],
    [1, None],
    [[1], [2, 3]],
    [1, 1e999],
    [1, 10**400],
    "text",
    5,
    None,
    {"size": 1},
    {"size": 1, "age": [2]},
    {"size": 1, "age": "old"},
    {"size": 1, "age": 2, "more": 3},
    {},
]


@pytest.mark.parametrize("value", WRONG, ids=str)
def test_what_is_no_row_is_refused(value):
    with pytest.raises(BadInput) as caught:
        read(NAMED, items([1, 2], value), LIMITS)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput):
        read(NAMED, items(value), LIMITS)


@pytest.mark.parametrize("inputs", [PLAIN, NAMED, encoded()], ids=str)
def test_lists_in_lists_are_refused_however_deep(inputs):
    for depth in (3, 150, 400, 900):
        value = 1
        for _ in range(depth):
            value = [value, value][: 1 + (depth < 4)]
        with pytest.raises(BadInput):
            read(inputs, items(value), LIMITS)


def test_names_need_names():
    with pytest.raises(BadInput, match="no names"):
        read(PLAIN, items({"a": 1, "b": 2}), LIMITS)


def test_texts_become_tokens():
    pytest.importorskip("tokenizers")
    tokenizer = Tokenizer.trained(["a red kite", "a red wren"], length=4)
    inputs = Inputs((tokenizer.length,), tokenizer=tokenizer)
    x = read(inputs, items("a kite", "red wren"), LIMITS)
    np.testing.assert_array_equal(x, tokenizer.tokens(["a kite", "red wren"])[0])
    assert takes(inputs).kind == "texts"
    for value in (None, 5, "", " ", "a\0b", ["a"], {"text": "a"}):
        with pytest.raises(BadInput, match="no text"):
            read(inputs, items(value), LIMITS)


def test_limits():
    with pytest.raises(TooMuch, match="at most 10"):
        read(PLAIN, items(*[[1, 2]] * 11), LIMITS)
    assert read(PLAIN, [], LIMITS).shape == (0, 2)


def test_pictures_and_texts_become_features_of_a_model(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tokenizers")
    from quickstudy.datasets.embedding import open_model
    from tests.embedding_models import features, image_model, text_model

    image_model(tmp_path / "i.onnx")
    model = open_model(tmp_path / "i.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    count = features(pixels).shape[1]
    inputs = replace(Inputs.unscaled((count,)), embedding=model.file)
    files = [bytes_of(Image.fromarray(one)) for one in pixels]
    x = read(inputs, items(files[0], in_base64(files[1])), LIMITS)
    np.testing.assert_allclose(x, features(pixels), rtol=1e-4, atol=1e-5)
    assert takes(inputs).kind == "pictures"
    with pytest.raises(BadInput, match="strokes"):
        read(inputs, items({"strokes": [[[0, 0], [1, 1]]]}), LIMITS)
    vectors = np.arange(12.0).reshape(4, 3).astype(np.float32)
    text_model(tmp_path / "t.onnx", vectors, ["[pad]", "[unk]", "red", "kite"])
    model = open_model(tmp_path / "t.onnx")
    inputs = replace(Inputs.unscaled((3,)), embedding=model.file)
    x = read(inputs, items("red kite", "red"), LIMITS)
    np.testing.assert_allclose(x, model.of_texts(["red kite", "red"]), rtol=1e-6)
    assert takes(inputs).kind == "texts"
