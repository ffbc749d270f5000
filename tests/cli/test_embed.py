"""Features by a model in a file, from the command line: trained on, measured and served."""

import json

import numpy as np
import pytest
from PIL import Image

from quickstudy.cli import main
from quickstudy.data.inputs import Inputs
from quickstudy.data.registry import _data_of
from quickstudy.datasets import embedding
from quickstudy.errors import UserError
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.adapted_file import load
from quickstudy.serving.inputs import read_queries
from quickstudy.settings.run import TaskSettings
from tests.embedding_models import WEIGHTS, features, image_model

SIZES = ("--way", 2, "--query", 2, "--train-way", 2, "--train-query", 2)


@pytest.fixture
def refused(capfd):
    """A command that ends in one line; that line. It reads all files anew."""

    def refused(*words: object) -> str:
        _data_of.cache_clear()
        embedding._opened.cache_clear()
        capfd.readouterr()
        assert main([str(word) for word in words]) == 2
        *_, last = capfd.readouterr().err.splitlines()
        return last

    return refused


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with colours of ten classes, three pictures each, and a model; we are in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for c in range(10):
        colour = rng.integers(20, 230, 3)
        (tmp_path / "colours" / f"colour{c}").mkdir(parents=True)
        for i in range(3):
            pixels = (colour + rng.integers(-9, 10, (8, 8, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "colours" / f"colour{c}" / f"{i}.png")
    image_model(tmp_path / "model.onnx")
    return tmp_path


def test_a_run_on_features_takes_pictures_and_no_other_model(printed, refused, here, capfd):
    train = ("train", "pixels", *SIZES, "--steps", 1, "--validation-episodes", 2)
    printed(*train, "--tasks", "folder:colours", "--embed", "model.onnx", "--run", "runs/a")
    words = SavedRun.open(here / "runs/a").settings.tasks.data.words("test")
    assert words["features"].startswith("model.onnx, SHA-256 ")
    printed("adapt", "runs/a", "--support", "colours", "--out", "a.qs")
    picture = "colours/colour3/1.png"
    (answer,) = json.loads(printed("predict", "a.qs", picture, "--json"))
    assert answer["name"] == "colour3"

    inputs = load(here / "a.qs").inputs
    (x,) = features(np.asarray(Image.open(picture))[None])
    assert len(set(inputs.deviation)) == 1
    expected = (x - inputs.mean) / inputs.deviation

    np.testing.assert_allclose(read_queries(inputs, [here / picture])[1][0], expected, rtol=1e-4)

    # Features in a file are of the same model, and serve as the pictures do.
    printed("data", "folder:colours", "--embed", "model.onnx", "--out", "features.npz")
    rows = json.loads(printed("predict", "a.qs", "features.npz", "--json"))
    assert rows[10]["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
    in_file = TaskSettings("npz:features.npz").data.inputs((2,))
    assert in_file.embedding == inputs.embedding
    np.testing.assert_allclose(in_file.mean, inputs.mean, rtol=1e-6)
    assert "features.npz exists" in refused(
        "data", "folder:colours", "--embed", "model.onnx", "--out", "features.npz"
    )

    # Features of nobody knows which model are refused, and so are those of another one.
    np.savez("unknown.npz", x=np.zeros((4, 2), np.float32), y=np.arange(4) % 2)
    assert "unknown.npz holds features of an unknown model" in refused(
        "adapt", "runs/a", "--support", "unknown.npz", "--out", "c.qs"
    )
    assert "holds features of an unknown model" in refused("predict", "a.qs", "unknown.npz")
    image_model(here / "other.onnx", weights=2 * WEIGHTS)
    other = ("--embed", "other.onnx")
    for words in (
        ("adapt", "runs/a", "--support", "colours", "--out", "c.qs", *other),
        ("predict", "a.qs", picture, *other),
        ("evaluate", "runs/a", *other),
    ):
        assert "other.onnx is not the model that the run was trained with" in refused(*words)
    image_model(here / "model.onnx", weights=2 * WEIGHTS)
    assert "is not the model that the run was trained with" in refused("predict", "a.qs", picture)
    assert "another configuration (--embed SHA-256 " in refused(
        *train, "--tasks", "folder:colours", "--embed", "model.onnx", "--run", "runs/a"
    )

    # A model that has moved is named.
    (here / "model.onnx").unlink()
    assert (
        "there is no model model.onnx: put it there, or name its file with --embed PATH"
        in refused("predict", "a.qs", picture)
    )
    image_model(here / "moved.onnx")
    moved = ("--embed", "moved.onnx")
    (found,) = json.loads(printed("predict", "a.qs", picture, "--json", *moved))
    assert found == answer
    printed("adapt", "runs/a", "--support", "colours", "--out", "d.qs", *moved)
    assert printed("predict", "d.qs", picture)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "pixels", "--tasks", "omniglot", "--run", "r"), "--embed makes features of "),
        (
            ("train", "pixels", "--tasks", "folder:colours", "--color", "--run", "r"),
            "leave out --color",
        ),
        (
            ("train", "pixels", "--tasks", "folder:colours", "--distort", "--run", "r"),
            "leave out --distort",
        ),
        (("data", "folder:colours", "--out", "features"), "add --out FILE.npz"),
        (("data", "table:rows.csv", "--out", "features.npz"), "--embed makes features of "),
        (("data", "folder:colours", "--out", "features.npz", "--ink", "dark"), "leave out --ink"),
    ],
)
def test_options_that_do_not_go_together(refused, here, words, said):
    assert said in refused(*words, "--embed", "model.onnx")
    assert not (here / "r").exists()


def test_a_run_without_a_model_refuses_one(here):
    with pytest.raises(UserError, match="was trained without a model: leave it out"):
        Inputs((28, 28, 1)).with_model(here / "model.onnx")
    assert Inputs((28, 28, 1)).with_model(None) == Inputs((28, 28, 1))
