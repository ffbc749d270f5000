"""Tiny ONNX models whose features are known in closed form."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.array([[1.0, 2.0], [-1.0, 0.5], [0.25, -3.0]], np.float32)
"""(channels, features)."""

IMAGES: dict[str, Any] = {
    "size": 8,
    "fit": "stretch",
    "colours": "RGB",
    "range": [0, 1],
    "mean": [0.5, 0.25, 0.125],
    "deviation": [0.5, 2.0, 1.0],
    "layout": "NCHW",
}


def save(path: Path, nodes: list, inputs: list, outputs: list, weights: dict, **more: Any) -> None:
    """A graph in a file."""
    initial = [numpy_helper.from_array(x, name) for name, x in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initial)
    domains = {node.domain for node in nodes} - {""}
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(name, 1) for name in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path, **more)


def image_model(
    path: Path,
    *,
    weights: np.ndarray = WEIGHTS,
    batch: Any = "n",
    takes: int = 8,
    **declared: Any,
) -> None:
    """Write a model of images, `takes` × `takes`: the mean of each channel, times the weights; and
    beside it what is `declared`, which may be wrong."""
    shape = [batch, len(weights), takes, takes]
    save(
        path,
        [
            helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["means", "weights"], ["y"]),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, weights.shape[1]])],
        {"weights": weights},
    )
    path.with_suffix(".json").write_text(json.dumps({"images": {**IMAGES, **declared}}))


def features(pictures: np.ndarray, weights: np.ndarray = WEIGHTS) -> np.ndarray:
    """What `image_model` gives for uint8 pictures (n, height, width, 3), however they are shrunk
    to 8 × 8 as long as their means stay."""
    x = pictures.astype(np.float64) / 255
    x = (x - IMAGES["mean"]) / IMAGES["deviation"]
    return x.mean((1, 2)) @ weights


TEXTS: dict[str, Any] = {"tokenizer": "tokenizer.json", "max_length": 4}


def save_tokenizer(path: Path, words: list[str], **padding: Any) -> None:
    """A tokenizer of words: word 0 stands for padding, 1 for unknown ones. A word "[begin]" is set
    before each text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=words[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if "[begin]" in words:
        first = [("[begin]", vocabulary["[begin]"])]
        tokenizer.post_processor = processors.TemplateProcessing("[begin] $0", None, first)
    if padding:
        tokenizer.enable_padding(**padding)
    tokenizer.save(str(path))


def text_model(
    path: Path,
    vectors: np.ndarray,
    words: list[str],
    *,
    own: str = "",
    axes: tuple[Any, Any] = ("n", "t"),
    padding: dict[str, Any] | None = None,
    **declared: Any,
) -> None:
    """Write a model of texts, and beside it what is `declared`: the vector of each word; or its
    `own` features of a text, which are their "sum" over the words that the mask shows, or their
    "mean" over padding too."""
    f = vectors.shape[1]
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["words"]),
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["shown"]),
        helper.make_node("Cast", ["shown"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["words", "weights"], ["counted"]),
    ]
    outputs = {
        "": (["Identity", ["words"]], {}, [*axes, f]),
        "sum": (["ReduceSum", ["counted", "middle"]], {"keepdims": 0}, [axes[0], f]),
        "mean": (["ReduceMean", ["words"]], {"axes": [1], "keepdims": 0}, [axes[0], f]),
    }
    (kind, given), options, shape = outputs[own]
    save(
        path,
        [*nodes, helper.make_node(kind, given, ["y"], **options)],
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, axes)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        {"vectors": vectors, "last": np.array([2]), "middle": np.array([1])},
    )
    save_tokenizer(path.with_name("tokenizer.json"), words, **padding or {})
    said = {"texts": TEXTS, "pooling": "none" if own else "mean"}
    path.with_suffix(".json").write_text(json.dumps({**said, **declared}))
