"""Graphs that are not what is declared of them, or name what is not run, are refused."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quickstudy.datasets.embedding import EmbeddingModel, _opened, open_model
from quickstudy.errors import UserError
from tests.embedding_models import IMAGES, image_model, save


@pytest.fixture
def model(tmp_path: Path, folders) -> Path:
    """A model of images, with a cache of its own."""
    image_model(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def anew(path: Path) -> EmbeddingModel:
    """The model as another process opens it."""
    _opened.cache_clear()
    return open_model(path)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"size": 9}, r"declares inputs of 3 × 9 × 9 \(NCHW\), and .*'x' takes 3 × 8 × 8"),
        ({"layout": "NHWC"}, r"declares inputs of 8 × 8 × 3 \(NHWC\)"),
        ({"colours": "grey", "mean": [0], "deviation": [1]}, "declares inputs of 1 × 8 × 8"),
        ({"input": "pixels"}, r"has no input 'pixels' .*known: x"),
    ],
)
def test_a_graph_that_takes_something_else_is_refused(model, declared, said):
    image_model(model, **declared)
    with pytest.raises(UserError, match=said):
        anew(model)


def value(name: str, *shape: object, kind: int = TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def test_graphs_that_cannot_serve_are_refused_in_a_line(model, tmp_path):
    plain, y = helper.make_node("Identity", ["x"], ["y"]), value("y", "n", 3, 8, 8)
    own = helper.make_node("Identity", ["x"], ["y"], domain="of.ones.own")
    two = [helper.make_node("Add", ["x", "z"], ["y"])]
    image = value("x", "n", 3, 8, 8)
    for nodes, inputs, outputs, said in (
        ([own], [image], [y], "only the operators that ONNX Runtime brings along are run"),
        (two, [image, value("z", "n", 3, 8, 8)], [y], r'has to say which "input": x, z'),
        ([plain], [value("x", "n", 3)], [value("y", "n", 3)], "with 4 axes"),
        (
            [plain],
            [value("x", "n", 3, 8, 8, kind=TensorProto.INT64)],
            [value("y", "n", 3, 8, 8, kind=TensorProto.INT64)],
            r"is tensor\(int64\)",
        ),
    ):
        save(model, nodes, inputs, outputs, {})
        with pytest.raises(UserError, match=said):
            anew(model)
    save(model, [plain], [image], [y], {})
    with pytest.raises(UserError, match=r"shape \(1, 3, 8, 8\), which does not go with"):
        anew(model).of_pictures(np.zeros((1, 8, 8, 3), np.uint8))
    model.with_suffix(".json").write_text(json.dumps({"images": IMAGES, "output": "z"}))
    with pytest.raises(UserError, match=r"has no output 'z'"):
        anew(model)
    for content in (b"", b"junk" * 100, model.read_bytes()[:50]):
        model.write_bytes(content)
        with pytest.raises(UserError, match=r"cannot open the model .*model\.onnx"):
            anew(model)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_weights_in_another_file_are_not_read(model, tmp_path, monkeypatch, location):
    monkeypatch.chdir(tmp_path)
    graph = onnx.load(model)
    onnx.save(graph, model, save_as_external_data=True, location="weights.bin", size_threshold=0)
    graph = onnx.load(model, load_external_data=False)
    for entry in graph.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    onnx.save(graph, model)
    with pytest.raises(UserError, match="its weights must be in the file itself"):
        anew(model)
