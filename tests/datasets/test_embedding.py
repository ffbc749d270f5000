"""Features by a model in a file: in closed form, computed once, and of no other model."""

import json
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quickstudy.data.packed import as_photographed
from quickstudy.datasets import embedding, packed
from quickstudy.datasets.embedding import EmbeddingModel, ahead, embedded, open_model
from quickstudy.datasets.feature_cache import FeatureCache
from quickstudy.datasets.grouped import Grouped, standardise
from quickstudy.datasets.onnx_graph import Graph
from quickstudy.datasets.pooling import pooled
from quickstudy.datasets.preprocessing import Declaration, Images, Texts
from quickstudy.errors import UserError
from quickstudy.terminal import forget_said
from tests.embedding_models import IMAGES, WEIGHTS, features, image_model, text_model


@pytest.fixture
def model(tmp_path: Path, folders) -> Path:
    """A model of images, with a cache of its own."""
    forget_said()
    image_model(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many inputs were given to a graph, each time that one was run."""
    counts: list[int] = []
    run = Graph.run

    def counted(self: Graph, feed):
        counts.append(len(next(iter(feed.values()))))
        return run(self, feed)

    monkeypatch.setattr(Graph, "run", counted)
    return counts


def anew(path: Path) -> EmbeddingModel:
    """The model as another process opens it."""
    embedding._opened.cache_clear()
    return open_model(path)


def pictures(count: int, size: int = 8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_features_of_files_and_pictures_are_those_of_the_closed_form(model, tmp_path):
    x = pictures(70)
    paths = [tmp_path / f"{i}.png" for i in range(len(x))]
    for path, pixels in zip(paths, x, strict=True):
        Image.fromarray(pixels).save(path)
    for found in (anew(model).of_files(paths), anew(model).of_pictures(x)):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, features(x), atol=1e-5)
    assert anew(model).of_files([]).shape[0] == 0


def test_features_are_computed_once(model, runs):
    x = pictures(40)
    first = anew(model).of_pictures(np.concatenate([x, x[:10]]))
    assert runs == [32, 8]  # the last ten are among the forty
    np.testing.assert_array_equal(first[40:], first[:10])
    np.testing.assert_array_equal(anew(model).of_pictures(x[::-1]), first[39::-1])
    assert runs == [32, 8]
    anew(model).of_pictures(pictures(41, seed=1)[:1])
    assert runs == [32, 8, 1]
    image_model(model, weights=2 * WEIGHTS)
    np.testing.assert_allclose(anew(model).of_pictures(x[:5]), 2 * first[:5], atol=1e-5)
    image_model(model, mean=[0, 0, 0])
    anew(model).of_pictures(x[:5])
    assert runs == [32, 8, 1, 5, 5]


def test_damaged_entries_and_a_damaged_cache_are_computed_again(model, runs, folders, capsys):
    x = pictures(6)
    first = anew(model).of_pictures(x)
    file = folders[1] / "features.sqlite"
    with sqlite3.connect(file) as cache:
        cache.execute("UPDATE features SET x = zeroblob(8) WHERE rowid <= 2")
        cache.execute("UPDATE features SET x = 'words' WHERE rowid = 3")
    cache.close()
    np.testing.assert_array_equal(anew(model).of_pictures(x), first)
    assert runs == [6, 3]
    np.testing.assert_array_equal(anew(model).of_pictures(x), first)
    assert runs == [6, 3]
    file.write_bytes(b"no database" * 1000)
    np.testing.assert_array_equal(anew(model).of_pictures(x), first)
    np.testing.assert_array_equal(anew(model).of_pictures(x), first)
    assert runs == [6, 3, 6]
    assert "features.sqlite is damaged" in capsys.readouterr().err


def test_a_cache_that_cannot_be_used_is_done_without(model, runs, folders, capsys):
    (folders[1] / "features.sqlite").mkdir(parents=True)
    for _ in range(2):
        np.testing.assert_allclose(
            anew(model).of_pictures(pictures(3)), features(pictures(3)), atol=1e-5
        )
    assert runs == [3, 3]
    assert capsys.readouterr().err.count("features are not kept for later") == 1


def test_the_cache_gives_what_was_written_and_nothing_else(tmp_path):
    cache = FeatureCache(tmp_path / "features.sqlite")
    rows = {bytes([i]): np.full(3, i, np.float32) for i in range(200)}
    cache.write(rows)
    cache.write({b"\x00": np.float32([7])})
    found = cache.read([bytes([i]) for i in range(255, -1, -1)] + [b"other"] * 800)
    assert found.keys() == rows.keys()
    np.testing.assert_array_equal(found.pop(b"\x00"), [7])
    assert all((found[key] == rows[key]).all() for key in found)


def test_a_graph_of_a_fixed_number_of_inputs(model):
    image_model(model, batch=4)
    np.testing.assert_allclose(
        anew(model).of_pictures(pictures(6)), features(pictures(6)), atol=1e-5
    )


VECTORS = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
WORDS = ["[pad]", "[unknown]", "red", "green", "blue", "bird"]


def test_features_of_texts_are_means_over_their_own_tokens(tmp_path, folders, runs):
    path = tmp_path / "text.onnx"
    text_model(path, VECTORS, WORDS)
    texts = ["red bird", "green", "blue green red bird red red", "a red bird", "red bird"]
    ids = [[2, 5], [3], [4, 3, 2, 5], [1, 2, 5], [2, 5]]  # cut after four
    expected = [VECTORS[row].mean(0) for row in ids]
    found = anew(path).of_texts(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(anew(path).of_texts(texts[1:2]), expected[1:2], atol=1e-6)
    assert [count for count in runs if count > 1] == [4]  # beside one text, which is padded
    said = {"texts": {"tokenizer": "tokenizer.json", "max_length": 4}, "pooling": "first"}
    path.with_suffix(".json").write_text(json.dumps(said))
    firsts = [VECTORS[row[0]] for row in ids]
    np.testing.assert_allclose(anew(path).of_texts(texts), firsts, atol=1e-6)
    with pytest.raises(UserError, match="is a model of texts"):
        anew(path).of_pictures(pictures(1))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="cannot read the tokenizer"):
        anew(path)


def test_features_of_a_text_depend_on_no_other_text(tmp_path, folders, capsys):
    """Whatever the pooling, the order, the padding, and the shapes that the graph takes."""
    path = tmp_path / "text.onnx"
    texts = ["red", "blue bird", "green red bird", "bird red blue green red"]
    ids = [[2], [4, 5], [3, 2, 5], [5, 2, 4, 3]]
    sums = np.array([VECTORS[row].sum(0) for row in ids])
    means = sums / [[len(row)] for row in ids]
    first = VECTORS[[row[0] for row in ids]]
    left = {"direction": "left"}
    for expected, model in (
        (means, {}),
        (means, {"axes": (3, 4)}),
        (first, {"pooling": "first"}),
        (first, {"pooling": "first", "padding": left}),
        (sums, {"own": "sum"}),
        (sums / np.linalg.norm(sums, axis=1, keepdims=True), {"own": "sum", "unit_length": True}),
    ):
        forget_said()
        capsys.readouterr()
        text_model(path, VECTORS, WORDS, **model)
        for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
            found = anew(path).of_texts([texts[i] for i in order])
            np.testing.assert_allclose(found, expected[order], atol=1e-5)
        assert "1 of 4 texts are longer than 4 tokens" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"the text ' ': .*tokenizer\.json makes no tokens of it"):
        anew(path).of_texts(["red", " "])


def test_a_graph_that_leaves_its_mask_out_is_refused(tmp_path, folders):
    path = tmp_path / "text.onnx"
    text_model(path, VECTORS, WORDS, own="mean")
    with pytest.raises(UserError, match=r"padding changes the features of a text.*attention_mask"):
        anew(path)
    text_model(path, VECTORS, WORDS, own="mean", axes=("n", 4))  # always the same padding
    np.testing.assert_allclose(
        anew(path).of_texts(["red"]), VECTORS[[2, 0, 0, 0]].mean(0)[None], atol=1e-6
    )


def test_pooling_goes_with_the_shape():
    images = Images(8, "pad", "grey", (0, 1), (0,), (1,), "NCHW")
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    mean = Declaration(images=images, pooling="mean")
    np.testing.assert_allclose(pooled(x, mean), x.mean((2, 3)), rtol=1e-6)
    last = Declaration(images=Images(8, "pad", "grey", (0, 1), (0,), (1,), "NHWC"), pooling="mean")
    np.testing.assert_allclose(pooled(x, last), x.mean((1, 2)), rtol=1e-6)
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    texts = Declaration(texts=Texts("t.json", 3), pooling="mean")
    expected = [x[0, :2, :, 0].mean(0), x[1, 0, :, 0]]
    np.testing.assert_allclose(pooled(x[..., 0], texts, mask), expected, rtol=1e-6)
    np.testing.assert_array_equal(
        pooled(x[:, :, :1, :1], Declaration(images=images)), x[:, :, 0, 0]
    )
    for declared, shape in ((Declaration(images=images), x), (mean, x[..., 0, 0]), (texts, x)):
        with pytest.raises(UserError, match=r"shape \(2, 3.*does not go with"):
            pooled(shape, declared)


def test_vectors_of_unit_length(model):
    said = {"images": IMAGES, "unit_length": True}
    model.with_suffix(".json").write_text(json.dumps(said))
    expected = features(pictures(5))
    expected /= np.sqrt((expected**2).sum(1, keepdims=True))
    np.testing.assert_allclose(anew(model).of_pictures(pictures(5)), expected, atol=1e-5)


def test_features_of_a_model_keep_their_distances_in_proportion(model):
    found = embedded(Grouped.from_labels(pictures(6), list("aabbcc")), anew(model))
    parts = {"train": found.named(["a", "b"]), "test": found.named(["c"])}
    scaled = standardise(parts)
    train, test = (scaled[part].x for part in ("train", "test"))
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    assert (train**2).mean() == pytest.approx(1, rel=1e-5)
    ratio = (test - train[:1]) / (parts["test"].x - parts["train"].x[:1])
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-3)


def test_groups_are_prepared_one_ahead():
    asked = []
    with ThreadPoolExecutor(2) as pool:
        ready = ahead(pool, lambda i: 2 * i, (asked.append(n) or [n, n + 1] for n in range(5)))
        assert next(ready) == [0, 2]
        assert asked == [0, 1]
        assert list(ready) == [[2 * n, 2 * n + 2] for n in range(1, 5)]


def test_the_model_of_a_run_is_found_where_it_lay_and_no_other_is_taken(
    model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    kept = open_model("model.onnx").file
    assert kept.path == "model.onnx"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert open_model("model.onnx", kept).file.same_model(kept)
    image_model(Path("model.onnx"), weights=2 * WEIGHTS)  # another one of the same name
    assert open_model("model.onnx", kept).file.same_model(kept)
    for change in ({"weights": 2 * WEIGHTS}, {"mean": [0, 0, 0]}):
        image_model(model, **change)
        with pytest.raises(UserError, match=r"is not the model that the run .*--embed PATH"):
            open_model("model.onnx", kept)
    model.unlink()
    Path("model.onnx").unlink()
    with pytest.raises(UserError, match=r"there is no model model\.onnx: .*--embed PATH"):
        open_model("model.onnx", kept)
    image_model(Path("again.onnx"))
    assert open_model("again.onnx", kept.at("again.onnx")).file.same_model(kept)


def test_inputs_that_are_no_pictures_or_give_no_numbers(model):
    image_model(model, weights=np.float32([[np.inf, 1]] * 3))
    with pytest.raises(UserError, match="gives numbers that are not finite for picture 0"):
        anew(model).of_pictures(pictures(1))
    for x in (np.zeros((1, 8, 8, 4), np.uint8), np.zeros((1, 8)), np.zeros((1, 8, 8, 3))):
        with pytest.raises(UserError, match=r"pictures of bytes with 1 or 3 channels, and picture"):
            anew(model).of_pictures(x)
    with pytest.raises(UserError, match="is a model of images"):
        anew(model).of_texts(["a"])


def test_without_the_packages_the_extra_is_named(model, tmp_path, monkeypatch):
    text_model(tmp_path / "text.onnx", VECTORS, WORDS)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"pip install 'quickstudy\[onnx-text\]'"):
        anew(tmp_path / "text.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'quickstudy\[onnx\]'"):
        anew(model)


def test_packed_strokes_are_seen_as_in_their_files(model, tmp_path):
    grey = pictures(4)[..., :1]
    three = np.repeat(grey, 3, axis=3)
    for ink, x in (("dark", 255 - grey), ("light", grey)):
        packed.write(tmp_path / ink, x, {"a": 2, "b": 2}, (8, 8, 1), ink=packed.Ink(ink))
        read = packed.load(tmp_path / ink)
        found = embedded(read, anew(model), as_photographed(read))
        np.testing.assert_allclose(found.x, features(three), atol=1e-5)
        assert (found.names, found.ink) == (("a", "b"), None)


def test_features_of_another_model_stay_apart(model, tmp_path):
    found = embedded(Grouped.from_labels(pictures(4), list("abab")), anew(model))
    assert embedded(found, anew(model)) is found
    image_model(tmp_path / "other.onnx", weights=2 * WEIGHTS)
    with pytest.raises(UserError, match="is another model: leave out --embed"):
        embedded(found, anew(tmp_path / "other.onnx"))
