"""Strokes of a pen -> a picture like those of characters: ink bright on dark, in the middle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from quickstudy.datasets.images import RESAMPLING

EXTENT = 0.64
"""The longer side of a drawing as a share of the picture's: the median of Omniglot's characters."""
PEN = 4.2 / 105
"""The width of lines as a share of the side. Strokes of Omniglot's validation characters are told
apart as well as their pictures, when they are drawn so."""
FINER = 8
"""How many times as fine lines are drawn, before the picture shrinks."""
MOST_POINTS = 20_000

Point = tuple[float, float]


def drawn(strokes: Sequence[Sequence[Point]], size: int) -> np.ndarray:
    """Draw strokes, points (x, y) with y downwards in any unit, as uint8 (size, size, 1). They are
    scaled and centred: where and how large they were drawn does not count. A point alone is a dot.

    Raises `ValueError` where there is no point, there are too many, or one is not finite.

    >>> drawn([[(0, 0), (1, 1)], [(0, 1), (1, 0)]], 28).shape
    (28, 28, 1)
    """
    lines = [np.asarray(stroke, float).reshape(-1, 2) for stroke in strokes if len(stroke)]
    if not lines:
        raise ValueError("there are no strokes")
    points = np.concatenate(lines)
    if len(points) > MOST_POINTS:
        raise ValueError(f"there are {len(points):,} points: at most {MOST_POINTS:,}")
    if not np.isfinite(points).all() or np.abs(points).max() > 1e9:
        raise ValueError("a point is not a finite number below 10⁹")
    low, high = points.min(0), points.max(0)
    extent = float((high - low).max())
    side = size * FINER
    scale = EXTENT * side / extent if extent > 0 else 0.0
    picture, pen = Image.new("L", (side, side), 0), PEN * side
    draw = ImageDraw.Draw(picture)
    for line in lines:
        path = [tuple(p) for p in (line - (low + high) / 2) * scale + side / 2]
        draw.line(path, fill=255, width=round(pen), joint="curve")
        for x, y in (path[0], path[-1]):
            draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=255)
    return np.asarray(picture.resize((size, size), RESAMPLING))[..., None]
