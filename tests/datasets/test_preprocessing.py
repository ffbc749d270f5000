"""What is declared of a model is read strictly, and pictures become inputs as it says."""

import json
import re
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from quickstudy.datasets.preprocessing import (
    Declaration,
    Images,
    Texts,
    image_input,
    parsed,
    read_declaration,
)
from quickstudy.errors import UserError

numbers = st.floats(-300, 300)
names = st.text(min_size=1, max_size=5)


@st.composite
def images(draw: st.DrawFn) -> Images:
    colours = draw(st.sampled_from(["RGB", "BGR", "grey"]))
    channels, size = 1 if colours == "grey" else 3, draw(st.integers(1, 12))
    fit = draw(st.sampled_from(["crop", "pad", "stretch"]))
    low = draw(st.floats(-100, 100))
    several = st.lists(numbers, min_size=channels, max_size=channels).map(tuple)
    return Images(
        size,
        fit,
        colours,
        (low, low + draw(st.floats(0.1, 300))),
        draw(several),
        draw(several.map(lambda of: tuple(abs(x) + 0.1 for x in of))),
        draw(st.sampled_from(["NCHW", "NHWC"])),
        size + draw(st.integers(0, 5)) if fit == "crop" and draw(st.booleans()) else None,
        draw(st.sampled_from(["bilinear", "bicubic", "lanczos"])),
        draw(st.none() | names),
    )


texts = st.builds(
    Texts,
    st.sampled_from(["tokenizer.json", "words"]),
    st.integers(1, 99),
    names,
)
declarations = st.builds(
    lambda one, output, pooling: Declaration(
        **{"images" if isinstance(one, Images) else "texts": one}, output=output, pooling=pooling
    ),
    images() | texts,
    st.none() | names,
    st.sampled_from(["none", "mean", "first"]),
)


@settings(max_examples=30)
@given(declarations, st.integers(0, 99))
def test_a_declaration_is_read_as_it_was_written(tmp_path_factory, declared, seed):
    """Whatever the order of its fields and the spaces; and its digest is the same."""

    random = Random(seed)

    def shuffled(value):
        if not isinstance(value, dict):
            return value
        fields = [(name, shuffled(inner)) for name, inner in value.items()]
        return dict(random.sample(fields, len(fields)))

    content = json.dumps(shuffled(msgspec.to_builtins(declared)), indent=3).encode()
    assert parsed(content) == declared
    folder = tmp_path_factory.getbasetemp()
    if declared.texts:
        (folder / declared.texts.tokenizer).write_text("a tokenizer")
    assert parsed(content).digest(folder) == declared.digest(folder)


fields = st.sampled_from(["images", "texts", "size", "fit", "mean", "output", "more"])
plain = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=5),
    max_leaves=8,
)


@given(st.binary() | plain.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused_in_one_line(content):
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        parsed(content)


GOOD = {
    "size": 8,
    "fit": "crop",
    "colours": "RGB",
    "range": [0, 1],
    "mean": [0, 0, 0],
    "deviation": [1, 1, 1],
    "layout": "NCHW",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sise": 3}, "images: Object contains unknown field `sise`"),
        ({"size": 0}, "images.size: Expected `int` >= 1"),
        ({"size": 8.5}, "images.size: Expected `int`, got `float`"),
        ({"fit": "squeeze"}, "images.fit: Invalid enum value 'squeeze'"),
        ({"mean": [0]}, "images: mean has 1 numbers for 3 channels"),
        ({"colours": "grey"}, "images: mean has 3 numbers for 1 channels"),
        ({"deviation": [1, 0, 1]}, "images: deviation is above 0"),
        ({"range": [1, 0]}, r"images: range is \[low, high\], low first"),
        ({"resize": 4}, 'images: resize is for fit "crop", and at least size'),
        ({"fit": "pad", "resize": 9}, 'images: resize is for fit "crop"'),
    ],
)
def test_each_mistake_is_named(tmp_path, change, said):
    model = tmp_path / "model.onnx"
    model.with_suffix(".json").write_text(json.dumps({"images": {**GOOD, **change}}))
    with pytest.raises(UserError, match=rf"model\.json: {said}.*docs/embeddings\.md"):
        read_declaration(model)


def test_what_is_not_declared_at_all(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*model\.json: it has to say what"):
        read_declaration(tmp_path / "model.onnx")
    text = {"tokenizer": "../../etc/passwd", "max_length": 3}
    for content, said in (
        ({}, "either images or texts"),
        ({"images": GOOD, "texts": {**text, "tokenizer": "t.json"}}, "either images or texts"),
        ({"texts": text}, "texts: tokenizer names a file in the same folder"),
        ({"images": {**GOOD, "mean": None}}, "images.mean: Expected `array`"),
        ({"images": {"size": 8}}, "images: Object missing required field `fit`"),
    ):
        with pytest.raises(ValueError, match=said):
            parsed(json.dumps(content).encode())


@settings(max_examples=50)
@given(images(), st.data())
def test_a_picture_of_the_right_size_becomes_an_input_pixel_by_pixel(declared, data):
    """The slow, obvious version; no picture is resized."""
    size, longer = declared.size, declared.resize or declared.size
    shape = (
        (size, size) if declared.fit != "crop" else (longer, longer + data.draw(st.integers(0, 3)))
    )
    x = data.draw(arrays(np.uint8, (*shape, declared.channels)))
    if declared.channels == 3 and data.draw(st.booleans()):
        x[..., 1:] = x[..., :1]
        found = image_input(x[..., :1], declared)  # of one channel: the same grey in three
    else:
        found = image_input(x, declared)
    assert found.shape == declared.shape
    assert found.dtype == np.float32
    top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
    low, high = declared.range
    for row in range(size):
        for column in range(size):
            for channel in range(declared.channels):
                colour = 2 - channel if declared.colours == "BGR" else channel
                value = low + (high - low) * x[top + row, left + column, colour] / 255
                value = (value - declared.mean[channel]) / declared.deviation[channel]
                place = (
                    (channel, row, column) if declared.layout == "NCHW" else (row, column, channel)
                )
                assert found[place] == pytest.approx(value, rel=1e-4, abs=0.05)


def of(fit: str, **more) -> Images:
    return Images(8, fit, "RGB", (0, 255), (0,) * 3, (1,) * 3, "NHWC", **more)  # pyright: ignore


def test_fits_of_a_picture_that_is_wide():
    """Red, green and blue thirds, 24 × 48."""
    x = np.zeros((24, 48, 3), np.uint8)
    for third in range(3):
        x[:, 16 * third : 16 * third + 16, third] = 200
    cropped, stretched, padded = (image_input(x, of(fit)) for fit in ("crop", "stretch", "pad"))
    resized = np.asarray(Image.fromarray(x).resize((16, 8), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(cropped, resized[:, 4:12])
    np.testing.assert_array_equal(
        stretched, np.asarray(Image.fromarray(x).resize((8, 8), Image.Resampling.BICUBIC))
    )
    small = np.asarray(Image.fromarray(x).resize((8, 4), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(padded[2:6], small)
    assert np.unique(padded[[0, 1, 6, 7]].reshape(-1, 3), axis=0).shape == (1, 3)  # the ground
    larger = image_input(x, of("crop", resize=12, resampling="bilinear"))
    resized = np.asarray(Image.fromarray(x).resize((24, 12), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(larger, resized[2:10, 8:16])


def test_a_picture_that_is_too_long_for_a_crop_is_refused():
    with pytest.raises(ValueError, match="2000 × 2 is too long"):
        image_input(np.zeros((2, 2000, 3), np.uint8), of("crop"))


def test_the_page_has_every_field_and_its_examples_are_read():
    page = (Path(__file__).parents[2] / "docs" / "embeddings.md").read_text()
    of_images, of_texts = map(parsed, map(str.encode, re.findall(r"```json\n(.*?)```", page, re.S)))
    assert of_images.images is not None
    assert of_texts.texts is not None
    listed = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", page, re.M))))
    fields = {
        f.name: f for kind in (Images, Texts, Declaration) for f in msgspec.structs.fields(kind)
    }
    assert listed - {"images", "texts"} == fields.keys() - {"images", "texts"}
    for row in re.findall(r"^\| `(\w+)`.*\| required \|$", page, re.M):
        assert fields[row].required
