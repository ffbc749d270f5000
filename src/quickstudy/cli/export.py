"""quickstudy export FILE --out OTHER: what adapt has made, for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read


@dataclass(frozen=True)
class Export:
    """Write what adapt has made as a file that other programs run, with its classes and its
    preprocessing in a JSON file beside it."""

    file: tyro.conf.Positional[Path]
    """What adapt has written; for weights, also the folder of a run, or characters."""
    out: Path
    """FILE.stablehlo (a program that needs JAX alone), FILE.onnx, or FILE.safetensors (weights)."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Export, words, "quickstudy export")

    from quickstudy.serving.export.exporting import export

    difference = export(options.file, options.out)
    if options.out.suffix != ".safetensors":
        show.line(f"the largest difference from our predictions: {difference:.2g}")
    show.line(f"written: {options.out}, and {options.out.name}.json beside it")
    return 0
