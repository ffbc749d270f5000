"""Write an adapted learner as a file that other programs run, with a JSON file beside it.

    .stablehlo      a program of `jax.export`: needs JAX alone
    .onnx           an ONNX graph
    .safetensors    the weights, by their paths in the module

The function is f(x) -> (probabilities, score) of classes, and f(x) -> (mean, deviation) of a
function, for any number n of inputs, float32 as the learner takes them. It is checked
before it is written: see `inputs_to_check`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from quickstudy import checkpoint
from quickstudy.data.inputs import TokenShape
from quickstudy.errors import UserError
from quickstudy.files import as_json, require_ours, write_atomically
from quickstudy.serving.adapted import Adapted, scored
from quickstudy.serving.adapting import trained
from quickstudy.serving.export import onnx_file, safetensors_file, stablehlo
from quickstudy.serving.export.words import described, outputs
from quickstudy.serving.functions import AdaptedFunction
from quickstudy.serving.loading import load

ADVICE = "choose another --out"
ALIKE = (1e-5, 1e-4)
"""The largest differences from our own predictions: of probabilities, and of the score, which is a
rank among reference inputs and steep where these are close together. Of a function, in units of
its target's deviation."""
SPACINGS = 4
"""Of float32 at a prediction of a function, which the differences may have beside."""
CHECKED = 64
"""Inputs that are predicted to check a file, beside the support set."""

Function = Callable[[Array], tuple[Array, Array]]

FORMATS = {".stablehlo": stablehlo, ".onnx": onnx_file}
"""What writes and runs functions, by the suffix of the file."""


def export(path: Path, out: Path) -> float:
    """Export the adapted learner in the file `path` to `out`; or, as safetensors, also the learner
    of a run. Gives the largest difference from our own probabilities, on the support set, where
    the file has one, and on inputs like it; or from our own means, on inputs at random.

    Raises `UserError`, before anything is written, where there is no such learner, `out` has
    another suffix or is another file, the learner has no such form, or the form differs by more
    than `ALIKE`.
    """
    beside = out.with_name(f"{out.name}.json")
    if out.suffix not in (*FORMATS, safetensors_file.SUFFIX):
        known = ", ".join((*FORMATS, safetensors_file.SUFFIX))
        raise UserError(f"--out {out}: its name must end in one of {known}")
    require_ours(beside, b'"quickstudy"', "an export", "--out")
    if out.exists() and not beside.exists():
        raise UserError(f"{out} exists and is no export of quickstudy: {ADVICE}")
    if out.suffix == safetensors_file.SUFFIX:
        words, content, difference = *_weights(path), 0.0
    else:
        adapted, form = load(path), FORMATS[out.suffix]
        if isinstance(adapted, Adapted) and adapted.transductive:
            raise UserError(f"{path} is transductive: its predictions depend on each other")
        content = form.written(function_of(adapted), taken(adapted), outputs(adapted))
        found = differences(adapted, form.opened(content))
        difference = found[0]
        if not all(one <= most for one, most in zip(found, ALIKE, strict=True)):
            raise UserError(
                f"{path} as {out.suffix} differs from our predictions by {max(found):.2g}: not "
                "written; take another format"
            )
        words = {"format": form.FORMAT, **described(adapted)}
    write_atomically(out, content, ADVICE)
    text = as_json({"quickstudy": "export", "file": out.name, **words}, indent=2)
    write_atomically(beside, text.encode() + b"\n", ADVICE)
    return difference


def function_of(adapted: Adapted | AdaptedFunction) -> Function:
    """The function that is exported. Predictions are for each input by itself, so it is that of one
    input, by `vmap`."""

    def of_one(x: Array) -> tuple[Array, Array]:
        if isinstance(adapted, Adapted):
            found = scored(
                adapted.predictor, adapted.seen, adapted.known, adapted.temperature, x[None]
            )
        else:
            found = adapted.moments_of(x[None])
        return found[0][0], found[1][0]

    return jax.vmap(of_one)


def taken(adapted: Adapted | AdaptedFunction) -> tuple[tuple[int, ...], Any]:
    """The shape and type of one input."""
    shape = adapted.problem.shape
    return tuple(shape), jnp.int32 if isinstance(shape, TokenShape) else jnp.float32


def differences(adapted: Adapted | AdaptedFunction, run: Callable[..., Any]) -> list[float]:
    """The largest differences of the two outputs of `run` from our own predictions."""
    x, unit = inputs_to_check(adapted), adapted.inputs.target_deviation
    own = adapted.answers(x)[:2] if isinstance(adapted, Adapted) else adapted.moments(x)
    allowed = SPACINGS if isinstance(adapted, AdaptedFunction) else 0

    def largest(a: np.ndarray, b: np.ndarray) -> float:
        a, b = np.nan_to_num(a), np.nan_to_num(b)
        beyond = np.abs(a - b) - allowed * np.spacing(np.abs(b))
        return max(0.0, float(beyond.max())) / unit

    return [largest(a, np.asarray(b)) for a, b in zip(own, run(x), strict=True)]


def inputs_to_check(adapted: Adapted | AdaptedFunction) -> Shaped[np.ndarray, "n ..."]:
    """The support set, where the file has it, and inputs at random: of real numbers around it, or
    as training inputs are, standardised or from 0 to 1; of tokens any."""
    (shape, dtype), rng = taken(adapted), np.random.default_rng(0)
    kept = adapted.kept if isinstance(adapted, Adapted) else None
    if dtype == jnp.int32:
        vocabulary = adapted.problem.shape.vocabulary  # pyright: ignore
        x = rng.integers(0, vocabulary, (CHECKED, *shape)).astype(np.int32)
        return x if kept is None else np.concatenate([kept.x, x])
    if kept is None:
        drawn = rng.random if adapted.inputs.unit_range else rng.normal
        return drawn(size=(CHECKED, *shape)).astype(np.float32)
    near = kept.x[rng.integers(0, len(kept.x), CHECKED)]
    noise = 0.1 * kept.x.std() * rng.normal(size=near.shape)
    return np.concatenate([kept.x, near + noise]).astype(np.float32)


def _weights(path: Path) -> tuple[dict[str, Any], bytes]:
    """The description and the content of a file of weights: of what predicts in an adapted file,
    or of the learner of a run."""
    if path.is_file() and "adapted" in str(checkpoint.read_header(path).get("kind")):
        adapted = load(path)
        words = {"format": safetensors_file.FORMAT, **described(adapted)}
        return words, safetensors_file.written(adapted.predictor)
    saved = trained(path)
    words = {"format": safetensors_file.FORMAT, "configuration": saved.settings.to_json()}
    return words, safetensors_file.written(saved.learner())
