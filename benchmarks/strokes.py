"""Squiggles, stars and houses in one stroke, as a hand draws them: each a little different."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Stroke = list[tuple[float, float]]
"""Points of a stroke in a square of side 1, y downwards."""


def squiggle(seed: int) -> Stroke:
    """A wave along a line."""
    hand = np.random.default_rng(seed)
    height, waves = hand.uniform(0.15, 0.24), hand.uniform(1.8, 2.6)
    wave = [(i / 30, height * math.sin(waves * 2 * math.pi * i / 30)) for i in range(31)]
    return [(0.15 + 0.7 * along, 0.5 - up) for along, up in wave]


def star(seed: int) -> Stroke:
    """Five corners."""
    hand = np.random.default_rng(seed)
    turn, size = hand.normal(0, 0.06), hand.uniform(0.32, 0.4)
    angles = [turn + i * 4 * math.pi / 5 - math.pi / 2 for i in range(6)]
    corners = [(0.5 + size * math.cos(a), 0.53 + size * math.sin(a)) for a in angles]
    return _through(_shaken(corners, hand))


def house(seed: int) -> Stroke:
    """A wall, a roof, a wall and the floor."""
    hand = np.random.default_rng(seed)
    corners = [(0.27, 0.82), (0.27, 0.45), (0.5, 0.17), (0.73, 0.45), (0.73, 0.82), (0.27, 0.82)]
    return _through(_shaken(corners, hand))


def _shaken(points: Sequence[tuple[float, float]], hand: np.random.Generator) -> Stroke:
    return [(x + hand.normal(0, 0.015), y + hand.normal(0, 0.015)) for x, y in points]


def _through(corners: Stroke) -> Stroke:
    """Straight lines from corner to corner."""
    between = [
        ((1 - t) * x + t * u, (1 - t) * y + t * v)
        for (x, y), (u, v) in pairwise(corners)
        for t in (0, 0.25, 0.5, 0.75)
    ]
    return [*between, corners[-1]]
