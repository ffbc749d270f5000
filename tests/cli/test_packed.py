"""Pictures packed, trained on, measured and served from the command line."""

import json

import jax
import numpy as np
from PIL import Image

from quickstudy.cli import main
from quickstudy.data.registry import _data_of
from quickstudy.runs.saved import SavedRun


def test_packed_pictures_serve_as_the_folder_does_and_damaged_ones_do_not(printed, tmp_path, capfd):
    pictures = tmp_path / "pictures"
    rng = np.random.default_rng(0)
    for c in range(20):
        (pictures / f"class{c}").mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 255, (20, 24), dtype=np.uint8)
            Image.fromarray(pixels).save(pictures / f"class{c}" / f"{i}.png")
    out = tmp_path / "packed"
    assert f"packed:{out}" in printed(
        "data", f"folder:{pictures}", "--out", out, "--image-size", 16
    )
    sizes = ("--way", 3, "--query", 2, "--train-way", 3, "--train-query", 2, "--hidden", 8)
    options = (*sizes, "--network", "mlp-norm", "--steps", 4, "--validation-episodes", 2)
    options += ("--meta-optimizer", "sgd", "--learning-rate", 0.1)  # Adam enlarges roundings …
    options += ("--distort", "False")  # … and distortions round
    learners = []
    for tasks in (f"packed:{out}", f"folder:{pictures}"):
        to = tmp_path / tasks.partition(":")[0]
        folder = to.with_name(f"run-{to.name}")
        printed(
            "train", "protonet", "--tasks", tasks, "--image-size", 16, "--run", folder, *options
        )
        learners.append(jax.tree.leaves(SavedRun.open(folder).learner()))
    for a, b in zip(*learners, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)  # two programs may round otherwise
    found = json.loads(printed("evaluate", tmp_path / "run-packed", "--episodes", 4, "--json"))
    assert "packed" in json.dumps(found)
    some = pictures / "class0" / "0.png"
    said = []
    for name in ("packed", "folder"):
        adapted = tmp_path / f"{name}.qs"
        printed("adapt", tmp_path / f"run-{name}", "--support", pictures, "--out", adapted)
        said.append(printed("predict", adapted, some).replace(f"/{name}.", "/it."))
    assert said[0] == said[1]
    assert "whole: 60 pictures of 20 classes" in printed("data", f"packed:{out}")
    x = np.load(out / "x.npy")
    np.save(out / "x.npy", 255 - x)
    _data_of.cache_clear()  # this process has read the pictures already
    jax.clear_caches()
    for words in (
        ["data", f"packed:{out}"],
        ["evaluate", str(tmp_path / "run-packed"), "--episodes", "4"],
    ):
        capfd.readouterr()
        assert main(words) == 2
        *_, last = capfd.readouterr().err.splitlines()
        assert last.startswith(f"quickstudy: {out}/x.npy is damaged: picture ")
        assert last.endswith("does not have its checksum; pack the data anew")
