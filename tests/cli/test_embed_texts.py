"""Texts as features by a model in a file, from the command line: trained on, measured and served.

A class has a word of its own, which stands in each of its texts among words that say nothing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from quickstudy.cli.main import main
from quickstudy.data.registry import _data_of
from quickstudy.datasets import embedding
from quickstudy.runs.own_data import for_own_data
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.adapted_file import load
from quickstudy.serving.inputs import read_queries, read_support
from quickstudy.settings.registry import LEARNERS
from quickstudy.settings.run import RunSettings, TaskSettings
from tests.embedding_models import image_model, text_model

CLASSES, EACH = 10, 4
OWN, OTHERS = [f"own{c}" for c in range(CLASSES)], [f"all{i}" for i in range(5)]
WORDS = ["[pad]", "[unknown]", *OWN, *OTHERS]
VECTORS = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)
VECTORS[-len(OTHERS) :] /= 4
SIZES = "--way 2 --query 2 --train-way 2 --train-query 2 --validation-episodes 2"
COLUMNS = "--text-column said --label-column kind"
TRAIN = f"train pixels {SIZES} {COLUMNS} --steps 1 --tasks text:texts.csv --embed model.onnx"


def write_model(path: Path, scale: float = 1.0) -> None:
    text_model(path, scale * VECTORS, WORDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a model, a table of texts, some of them as files, and a run on the table."""
    path = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    rows = [(" ".join([*rng.choice(OTHERS, i % 3), own]), own) for own in OWN for i in range(EACH)]
    with (path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("said", "kind"), *rows])
    for i, (text, own) in enumerate(rows[: 3 * EACH]):
        (path / "new" / own).mkdir(parents=True, exist_ok=True)
        (path / "new" / own / f"{i:02}.txt").write_text(text)
    write_model(path / "model.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        assert main([*TRAIN.split(), "--run", "run"]) == 0
        assert main(["adapt", "run", "--support", "new", "--out", "new.qs"]) == 0
    return path


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))


@pytest.fixture
def refused(capfd):
    """A command that ends in one line; that line. It reads all files anew."""

    def refused(words: str) -> str:
        _data_of.cache_clear()
        embedding._opened.cache_clear()
        capfd.readouterr()
        assert main(words.split()) == 2
        *_, last = capfd.readouterr().err.splitlines()
        return last

    return refused


def test_a_run_names_texts_by_their_features(place, printed):
    tasks = SavedRun.open(place / "run").settings.tasks
    assert tasks.inputs.embedding.path == "model.onnx"
    assert tasks.data.words("test")["features"].startswith("model.onnx, SHA-256 ")
    protonet, _ = for_own_data(RunSettings(LEARNERS["protonet"](), tasks), [])
    assert protonet.learner.network.network == "residual"
    inputs = load(place / "new.qs").inputs
    (file,) = place.glob("new/own1/05.txt")
    (x,) = read_queries(inputs, [file])[1]
    ids = [WORDS.index(word) for word in file.read_text().split()]
    expected = (VECTORS[ids].mean(0) - inputs.mean) / inputs.deviation
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-5)

    of_files = json.loads(printed("predict", "new.qs", "new", "--json"))
    of_table = json.loads(printed("predict", "new.qs", "texts.csv", "--json"))
    names = [Path(row["input"]).parent.name for row in of_files]
    assert [row["name"] for row in of_files] == names
    for a, b in zip(of_files, of_table, strict=False):  # the same texts
        assert a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-5)
    assert of_files[0]["nearest"][0]["example"].endswith(".txt")


def test_features_in_a_file_serve_as_texts_do(place, printed):
    printed("data", "text:texts.csv", "--embed", "model.onnx", "--out", "x.npz", *COLUMNS.split())
    of_rows = json.loads(printed("predict", "new.qs", "x.npz", "--json"))
    of_table = json.loads(printed("predict", "new.qs", "texts.csv", "--json"))
    for a, b in zip(of_rows, of_table, strict=True):
        assert a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-5)
    inputs = load(place / "new.qs").inputs
    of_file = TaskSettings("npz:x.npz").data.inputs((6,))  # a run on these takes texts as well
    a, b = (read_queries(one, [Path("new")])[1] for one in (inputs, of_file))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(read_support(of_file, Path("new"))[0].x, b)


def test_another_model_or_tokenizer_is_refused(place, refused, tmp_path):
    write_model(tmp_path / "other.onnx", 2)
    for words in (
        "adapt run --support new --out c.qs",
        "predict new.qs new",
        "evaluate run",
    ):
        said = refused(f"{words} --embed {tmp_path / 'other.onnx'}")
        assert "is not the model that the run was trained with" in said
    tokenizer = place / "tokenizer.json"
    content = tokenizer.read_text()
    tokenizer.write_text(content.replace("[unknown]", "[other]"))
    assert "is not the model that the run was trained with" in refused("predict new.qs new")
    assert "another configuration (--embed SHA-256 " in refused(f"{TRAIN} --run run")
    tokenizer.write_text(content)
    assert not (place / "c.qs").exists()


def test_what_does_not_go_together_is_refused_in_a_line(place, refused):
    text = "--tasks text:texts.csv --embed model.onnx --run r"
    assert "leave out --text-length" in refused(f"train pixels {text} --text-length 9")
    assert "--ink dark is for " in refused(
        "data text:new --embed model.onnx --out y.npz --ink dark"
    )
    assert "add --out FILE.npz" in refused("data text:new --embed model.onnx")
    image_model(place / "images.onnx")
    words = "train pixels --tasks text:new --embed images.onnx --run r"
    assert "is a model of images: --embed one of texts" in refused(words)
    assert "has no column 'label'; known: said, kind" in refused(f"train pixels {text}")
    assert not (place / "r").exists()
