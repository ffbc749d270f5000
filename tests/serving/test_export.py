"""Exported files say what we say, in processes that have no quickstudy."""

import json
import re
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from safetensors.numpy import load_file

from quickstudy.errors import UserError
from quickstudy.serving.adapted_file import load
from quickstudy.serving.export import exporting, onnx_file, safetensors_file
from quickstudy.serving.predicting import predict

ROOT = Path(__file__).parent.parent.parent
WITHOUT = "import sys; sys.modules['quickstudy'] = None\n"
RUNS = {
    "stablehlo": "import jax.export; f = jax.export.deserialize(bytearray(open(sys.argv[1],'rb')"
    ".read())); p, s = f.call(x)",
    "onnx": "import onnxruntime; f = onnxruntime.InferenceSession(sys.argv[1])\n"
    "p, s = f.run(None, {'x': x})",
}


def without_quickstudy(program: str, *words: object) -> str:
    """What a program prints that cannot import quickstudy."""
    command = [sys.executable, "-c", WITHOUT + program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("suffix", RUNS)
def test_a_thousand_inputs_without_quickstudy(
    adapted_file: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"symbols.{suffix}"
    assert exporting.export(adapted_file, out) <= 1e-5
    adapted, rng = load(adapted_file), np.random.default_rng(1)
    near = adapted.support.x[rng.integers(0, 9, 1000)]
    x = np.clip(near + 0.2 * rng.normal(size=near.shape), 0, 1).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    without_quickstudy(
        f"import numpy as np; x = np.load(sys.argv[2])\n{RUNS[suffix]}\n"
        "np.savez(sys.argv[3], p=np.asarray(p), s=np.asarray(s))",
        *(out, tmp_path / "x.npy", tmp_path / "found.npz"),
    )
    found = np.load(tmp_path / "found.npz")
    p, score, _ = adapted.answers(x)
    np.testing.assert_allclose(found["p"], p, atol=1e-5)
    np.testing.assert_allclose(found["s"], score, atol=1e-4)
    about = json.loads((tmp_path / f"symbols.{suffix}.json").read_text())
    assert about["classes"] == list(adapted.names)
    assert about["input"] == {"name": "x", "shape": ["n", 16, 16, 1], "type": "float32"}


def test_pictures_as_the_page_tells(
    adapted_file: Path, queries: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "exporting.md").read_text()
    with_jax, with_onnx = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    strokes = Image.open(queries[0])
    clear = Image.new("LA", strokes.size, (0, 0))  # black, and nothing of it is to be seen
    clear.putalpha(ImageOps.invert(strokes))
    clear.save("clear.png")
    turned, exif = Image.open(queries[5]).crop((0, 8, 40, 32)), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned.save("turned.jpg", exif=exif)
    queries = [*queries, Path("clear.png"), Path("turned.jpg")]
    for suffix in RUNS:
        exporting.export(adapted_file, Path(f"symbols.{suffix}"))
    said = without_quickstudy(with_jax, *queries).splitlines()
    for line, row in zip(said, predict(adapted_file, queries), strict=True):
        path, name, *p = line.rsplit(" ", 4)
        assert (path, name) == (row.input, row.name)
        np.testing.assert_allclose(list(map(float, p)), list(row.probabilities.values()), atol=1e-5)
    assert without_quickstudy(with_onnx).strip() == "(5, 3)"


def test_weights_by_their_paths(adapted_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "symbols.safetensors"
    exporting.export(adapted_file, out)
    found, adapted = load_file(out), load(adapted_file)
    leaves = [leaf for leaf in jax.tree.leaves(adapted.predictor) if eqx.is_array(leaf)]
    mine, theirs = (
        sorted((np.shape(x), np.asarray(x).tobytes()) for x in arrays)
        for arrays in (leaves, found.values())
    )
    assert mine == theirs
    about = json.loads((tmp_path / "symbols.safetensors.json").read_text())
    assert about["format"] == safetensors_file.FORMAT
    assert about["temperature"] == adapted.temperature
    scalar = safetensors_file.weights({"scale": jnp.asarray(2.0)})["scale"]
    assert (scalar.shape, float(scalar)) == ((), 2.0)
    assert any(name.endswith("weight") and "network" in name for name in found)
    exporting.export(Path("characters"), tmp_path / "characters.safetensors")
    assert load_file(tmp_path / "characters.safetensors")


def test_what_cannot_be_exported_is_refused(
    adapted_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.onnx").write_text("years of work")
    refused = {
        "must end in one of .stablehlo, .onnx, .safetensors": "symbols.pb",
        "is no export of quickstudy": "thesis.onnx",
    }
    for match, name in refused.items():
        with pytest.raises(UserError, match=match):
            exporting.export(adapted_file, tmp_path / name)
    assert (tmp_path / "thesis.onnx").read_text() == "years of work"

    class Off:
        FORMAT = "off"

        @staticmethod
        def written(*_):
            return b""

        @staticmethod
        def opened(_):
            return lambda x: (np.zeros((len(x), 3)), np.zeros(len(x)))

    monkeypatch.setitem(exporting.FORMATS, ".onnx", Off)
    with pytest.raises(UserError, match="differs from our predictions by"):
        exporting.export(adapted_file, tmp_path / "symbols.onnx")
    assert not (tmp_path / "symbols.onnx").exists()


W = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)


def pooled(x):
    """A convolution, a maximum over windows, and operations of many kinds."""
    y = jax.lax.conv_general_dilated(
        x, W, (2, 1), ((1, 0), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    y = jnp.where(jnp.isfinite(y), jax.nn.gelu(y) + jax.nn.sigmoid(y), 0)
    y = jnp.clip(y[:, ::2, 1:], -1, 2) ** 3 + jnp.log1p(jnp.abs(y[:, ::2, 1:]))
    one, *_, other = jnp.split(y, [1, 3], axis=-1)
    y = jnp.concatenate([one, jnp.maximum(y, other)], -1)
    y = jnp.stack([y.max(1), y.min(1)], 1).reshape(x.shape[0], -1)
    return jax.nn.log_softmax(y), jnp.any(y > 1, -1) * jnp.sum(y, -1)


def test_operations_mean_in_onnx_what_they_mean_in_jax() -> None:
    content = onnx_file.written(
        jax.vmap(lambda x: jax.tree.map(lambda o: o[0], pooled(x[None]))), ((6, 5, 2), jnp.float32)
    )
    for n in (1, 7):
        x = np.random.default_rng(n).normal(size=(n, 6, 5, 2)).astype(np.float32)
        for mine, theirs in zip(pooled(x), onnx_file.opened(content)(x), strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="no form as ONNX: it uses 'sort'"):
        onnx_file.written(lambda x: (jnp.sort(x), x[:, 0]), ((3,), jnp.float32))
