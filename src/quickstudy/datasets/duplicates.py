"""Identical examples, which make figures too good: one stands in the support set, and another among
the queries."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from quickstudy.datasets.grouped import Grouped


class Place(NamedTuple):
    """Where an example stands."""

    part: str
    label: int
    """Its class in the part."""
    row: int
    """Its place in the `x` of the part."""


Pair = tuple[Place, Place]


def identical(parts: Mapping[str, Grouped]) -> list[list[Place]]:
    """Find the examples whose numbers are equal byte for byte: those of each input together, in
    their order. Examples that lie in a file are not looked at."""
    found: dict[bytes, list[Place]] = defaultdict(list)
    for part, examples in parts.items():
        if isinstance(examples.x, np.memmap):
            continue
        labels = np.repeat(np.arange(examples.classes), examples.count)
        for row, (label, x) in enumerate(zip(labels.tolist(), examples.x, strict=True)):
            digest = hashlib.blake2b(x.tobytes(), digest_size=16).digest()
            found[digest].append(Place(part, label, row))
    return [places for places in found.values() if len(places) > 1]


def copies(parts: Mapping[str, Grouped]) -> dict[str, list[Pair]]:
    """Find the inputs that come more than once within a class, in two classes of a part, and in two
    parts: by these words, two examples of each such input.

    >>> pictures = Grouped.from_labels(np.array([[1], [2], [1], [3]]), ["ant", "ant", "bee", "bee"])
    >>> {words: len(pairs) for words, pairs in copies({"train": pictures}).items()}
    {'in two train classes': 1}
    """
    found: dict[str, list[Pair]] = defaultdict(list)
    for places in identical(parts):
        for words, pair in _of_one_input(places).items():
            found[words].append(pair)
    return dict(found)


def _of_one_input(places: Iterable[Place]) -> dict[str, Pair]:
    """The first two places of each kind."""
    of_class: dict[tuple[str, int], Place] = {}
    of_part: dict[str, Place] = {}
    found: dict[str, Pair] = {}
    for place in places:
        part, label, _ = place
        if (part, label) in of_class:
            found.setdefault("within a class", (of_class[part, label], place))
            continue
        of_class[part, label] = place
        if part in of_part:
            found.setdefault(f"in two {part} classes", (of_part[part], place))
            continue
        for other, first in of_part.items():
            found.setdefault(f"in a {other} and a {part} class", (first, place))
        of_part[part] = place
    return found
