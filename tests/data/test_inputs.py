"""Inputs are brought to those of the training, or refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quickstudy.data.inputs import Inputs
from quickstudy.data.registry import kind_of
from quickstudy.datasets.columns import Column, in_order
from quickstudy.datasets.encoding import EncodedColumn, Encoding
from quickstudy.datasets.grouped import Grouped, Scaling
from quickstudy.errors import UserError
from quickstudy.settings.learners import ProtoNetSettings
from quickstudy.settings.run import RunSettings, TaskSettings

NAMES = ("height", "weight", "span")


def numbers_called(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "number") for name in names)


def encoding_of(*names: str) -> Encoding:
    return Encoding(tuple(EncodedColumn(name, "number") for name in names))


numbers = st.floats(-100, 100, width=32)


def trained(x: np.ndarray, tasks: str = "npz:x.npz", **of_table) -> Inputs:
    """What a training on these inputs keeps, once it was written and read."""
    y = np.arange(len(x)) % 2
    train = Grouped(x, np.array([0]), np.array([len(y)]), ("a",), **of_table)
    data = kind_of(tasks)(TaskSettings(tasks))
    vars(data)["parts"] = {"train": train}
    inputs = data.inputs(x.shape[1:])
    kept = Inputs.from_json(json.loads(json.dumps(inputs.to_json())))
    assert kept == inputs
    return kept


@given(arrays(np.float32, (6, 3), elements=numbers), st.permutations(range(3)))
def test_columns_come_in_the_order_of_the_training_and_standardised_by_it(x, order):
    scaling = Scaling(np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.1, 30.0]))
    inputs = trained(scaling(x), "table:x.csv", encoding=encoding_of(*NAMES), scaling=scaling)
    names = tuple(NAMES[i] for i in order)
    expected = ((x.astype(np.float64) - scaling.mean) / scaling.deviation).astype(np.float32)
    np.testing.assert_array_equal(
        inputs.brought("x.csv", x[:, order], numbers_called(*names)), expected
    )
    np.testing.assert_array_equal(inputs.brought("x.npz", x), expected)  # without names


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=4, unique=True), st.data())
def test_columns_are_the_same_or_refused(wanted, data):
    found = data.draw(st.permutations(wanted))
    assert [found[i] for i in in_order("x", found, wanted)] == wanted
    other = data.draw(st.text("abc", min_size=1).filter(lambda name: name not in wanted))
    for names in ([*wanted, other], wanted[1:], [other, *wanted[1:]]):
        with pytest.raises(UserError, match="x has the features"):
            in_order("x", names, wanted)


SHAPES = [(5,), (6,), (28, 28, 1), (28, 28, 3), (4, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("other", SHAPES)
def test_inputs_of_another_shape_are_refused(shape, other):
    inputs = trained(np.random.default_rng(0).uniform(0, 1, (4, *shape)).astype(np.float32))
    x = np.full((2, *other), 0.5, np.float32)
    if shape == other:
        inputs.brought("x.npz", x)
        return
    with pytest.raises(UserError, match=r"the learner takes .*; x\.npz holds"):
        inputs.brought("x.npz", x)


@pytest.mark.parametrize(
    ("high", "x", "says"),
    [
        ("bytes", np.uint8(255), None),
        ("bytes", 1.0, None),
        ("bytes", 255.0, "go from 0 to 255; the learner was trained on pixels from 0 to 1"),
        ("bytes", -0.5, "go from -0.5 to 0; the learner was trained on pixels from 0 to 1"),
        (1.0, np.uint8(255), None),
        (1.0, 1.0, None),
        (255.0, 255.0, None),
        (255.0, np.uint8(255), "holds bytes.* trained on real numbers from 0 to 255"),
    ],
)
def test_units_of_pictures(high, x, says):
    """Bytes go in as numbers from 0 to 1; nothing says in which units real numbers are but what
    was trained on."""
    top = np.uint8(255) if high == "bytes" else np.float32(high)
    train = np.zeros((4, 8, 8, 1), top.dtype)
    train[0] = top
    inputs = trained(train)
    new = np.zeros((3, 8, 8, 1), np.uint8 if isinstance(x, np.uint8) else np.float32)
    new[1] = x
    if says is None:
        np.testing.assert_array_equal(inputs.brought("x.npz", new), new)
    else:
        with pytest.raises(UserError, match=rf"x\.npz:? .*{says}"):
            inputs.brought("x.npz", new)


def test_a_range_far_from_the_training_is_only_said(capsys):
    x = np.linspace(-1, 1, 20, dtype=np.float32).reshape(10, 2)
    inputs = trained(x, encoding=encoding_of("height", "weight"))
    inputs.brought("x.csv", 3 * x)
    assert capsys.readouterr().err == ""
    far = x.copy()
    far[4, 1] = 41  # 40 beyond a range of width 2
    np.testing.assert_array_equal(inputs.brought("x.csv", far), far)
    assert "x.csv: weight lies up to 20 times the width" in capsys.readouterr().err
    far[4] = -6.8, 1  # 2.9 widths below
    inputs.brought("x.csv", far)
    assert capsys.readouterr().err == ""
    far[4] = -9, 1
    inputs.brought("x.csv", far)
    assert "x.csv: height lies up to 4 times the width" in capsys.readouterr().err
    pictures = np.linspace(0, 255, 128, dtype=np.float32).reshape(2, 8, 8, 1)
    trained(pictures).brought("x.npz", pictures / 255)
    assert "from 0 to 1, those of the training from 0 to 255" in capsys.readouterr().err
    trained(pictures).brought("x.npz", pictures / 3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("x", [np.array([["a"]]), np.array([[1j]]), np.array([[np.nan]])])
def test_what_are_no_numbers_is_refused(x):
    with pytest.raises(UserError, match=r"x\.npz"):
        trained(np.eye(1, dtype=np.float32)).brought("x.npz", x)


def test_files_of_an_older_quickstudy_have_a_defined_meaning():
    shape = (28, 28, 1)
    for tasks, ink in [("folder:x", "auto"), ("packed:x", "auto"), ("npz:x", None)]:
        inputs = TaskSettings(tasks).data.older_inputs(shape, None)
        assert (inputs.ink, inputs.unit_range) == (ink, ink is not None)
    assert TaskSettings("folder:x", color=True).data.older_inputs((28, 28, 3), None).ink is None
    by = {"mean": [1.0, 2.0], "deviation": [3.0, 4.0], "columns": ["a", "b"]}
    older = TaskSettings("table:x").data.older_inputs((2,), by)
    assert (older.mean, older.columns) == ((1.0, 2.0), ("a", "b"))
    kept = {"shape": [28, 28, 1], "ink": True, "unit_range": True, "label_column": "label"}
    assert Inputs.from_json(kept).ink == "auto"
    assert Inputs.from_json({**kept, "ink": False}).ink is None


def test_what_a_run_is_keeps_its_words():
    """Folders of trainings are named by them."""
    found = RunSettings(ProtoNetSettings(), TaskSettings("omniglot")).to_json()["tasks"]
    assert not {"ink", "inputs"} & set(found)
    inputs = Inputs((28, 28, 1), "dark", True)
    said = RunSettings(ProtoNetSettings(), TaskSettings("folder:x", ink="light", inputs=inputs))
    found = json.loads(json.dumps(said.to_json()))
    assert found["tasks"]["ink"] == "light"
    assert RunSettings.from_json(found).tasks.ink == "light"
    assert RunSettings.from_json(found).tasks.inputs is None


@pytest.mark.parametrize("options", [{"tasks": "omniglot"}, {"tasks": "folder:x", "color": True}])
def test_ink_is_for_strokes_in_folders(options):
    with pytest.raises(UserError, match="--ink dark is for --tasks folder:PATH without --color"):
        TaskSettings(**options, ink="dark")
