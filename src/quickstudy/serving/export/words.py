"""What another program has to know of an export, as plain JSON values."""

from __future__ import annotations

from typing import Any

from quickstudy.data.inputs import Inputs
from quickstudy.serving.adapted import Adapted
from quickstudy.serving.functions import AdaptedFunction


def described(adapted: Adapted | AdaptedFunction) -> dict[str, Any]:
    """Inputs, how to bring others to them, outputs, and the names of classes."""
    inputs, shape = adapted.inputs, list(adapted.problem.shape)
    dtype = "float32" if inputs.tokenizer is None else "int32"
    found: dict[str, Any] = {
        "input": {"name": "x", "shape": ["n", *shape], "type": dtype},
        "preprocessing": steps(inputs),
        "inputs": {word: value for word, value in inputs.to_json().items() if value is not None},
    }
    if isinstance(adapted, AdaptedFunction):
        each = [{"name": name, "of": inputs.target, "shape": ["n"]} for name in outputs(adapted)]
        if not adapted.intervals:
            each[1]["of"] = "nothing: it gives no deviation"
        return {**found, "outputs": each, "start": adapted.start}
    shapes = (["n", len(adapted.names)], ["n"])
    return {
        **found,
        "outputs": [
            {"name": name, "shape": shape}
            for name, shape in zip(outputs(adapted), shapes, strict=True)
        ],
        "classes": list(adapted.names),
        "temperature": adapted.temperature,
        "unknown": "score <= false_alarms" if adapted.known else "never: the score is NaN",
        "false_alarms": adapted.false_alarms,
    }


def outputs(adapted: Adapted | AdaptedFunction) -> tuple[str, str]:
    """The names of the outputs."""
    return (
        ("mean", "deviation")
        if isinstance(adapted, AdaptedFunction)
        else ("probabilities", "score")
    )


def steps(inputs: Inputs) -> list[str]:
    """How an input is brought to the form that the function takes, in order."""
    if inputs.tokenizer is not None:
        return ["make tokens of the text as `inputs.tokenizer` says"]
    if inputs.embedding is not None:
        first = [f"take the features of the model with SHA-256 {inputs.embedding.sha256}"]
    elif len(inputs.shape) == 3:
        height, width, channels = inputs.shape
        found = [
            "turn it as its EXIF orientation says",
            "put it on white where it is transparent",
            "grey" if channels == 1 else "RGB",
            f"scale the longer side to {height} pixels (Lanczos), centre on a square of {height} × "
            f"{width} in the median colour of the border",
            "divide by 255",
        ]
        if inputs.ink == "dark":
            found.insert(3, "invert: 255 - pixel (ink is dark in these pictures)")
        return found
    elif inputs.encoding is not None:
        first = [
            "a feature for each column, in the order of `inputs.encoding.columns`: numbers as they "
            "are, `mean` where one is missing; categories as 0 and 1; dates as days since "
            "2000-01-01 with sine and cosine of weekday and day of the year"
        ]
    else:
        first = []
    if inputs.time_column is not None:
        first.append(
            f"{inputs.time_column!r} as a number, a moment in days since 1970-01-01 UTC; minus "
            "`start`, the time of the first row of the support set"
        )
    return [*first, "(x - inputs.mean) / inputs.deviation"] if inputs.mean is not None else first
