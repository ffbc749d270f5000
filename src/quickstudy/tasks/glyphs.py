"""Glyphs: procedural characters without end, so that a first run needs no download.

In the spirit of the generative account of characters of Lake, Salakhutdinov and Tenenbaum,
"Human-level concept learning through probabilistic program induction" (Science, 2015):

    class    ψ ~ p(ψ)       a small program: strokes, their control points, how they relate
    drawing  θ ~ p(θ | ψ)   a noisy run of it: where the pen went this time
    image    I = render(θ)  the ink that the pen left

We keep their parts (strokes, relations, motor noise, affine distortion, ink) and replace what
they fit to drawings by a few hand-set distributions; strokes are turtle walks, not sequences of
learned primitives. A class is a pure function of its number, and drawings are made on the
device inside the compiled step.

Coordinates are in the unit square, x to the right and y down.
"""

from typing import Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.tasks.source import ClassSource

SEED = 2015
"""Names the universe of glyphs: another seed, other characters."""

STROKE_COUNTS = (0.22, 0.33, 0.24, 0.13, 0.08)
"""p(1 stroke), p(2 strokes) …"""
STROKES = len(STROKE_COUNTS)
CONTROLS = 7
"""Control points of a stroke."""
POINTS = 48
"""Pen positions along a stroke when it is drawn: about half a pixel apart at 28 × 28."""

PEN = 0.45 / 28
"""Standard deviation of the pen's footprint, in the unit square: Omniglot's pen."""
DARKNESS = 3.5
"""Optical depth in the middle of a stroke: it lets exp(-3.5) = 3 % of the ground through."""


class Program(eqx.Module):
    """ψ, what all drawings of one glyph share.

    >>> points = perform(glyphs.program(jnp.asarray(7)), key)     # (strokes, points, 2)
    >>> image = render(points, PEN, 28)                           # (28, 28)
    """

    shapes: Float[Array, "strokes controls 2"]
    """Control points of each stroke, from its first; all 0 for a stroke that is not there."""
    smooth: Float[Array, " strokes"]
    """1: the stroke is a cubic B-spline of its control points; 0: a polygon through them."""
    attached: Float[Array, " strokes"]
    """1: the stroke is placed on an earlier stroke; 0: on the page."""
    start: Float[Array, "strokes 2"]
    """Where on the page a free stroke is placed."""
    parent: Int[Array, " strokes"]
    """Which earlier stroke an attached one is placed on …"""
    along: Float[Array, " strokes"]
    """… and how far along it: 0 is its start, 1 its end."""
    pivot: Float[Array, " strokes"]
    """How far along a stroke lies its own point that is placed: 0 is its start."""


def _spline(controls: int, points: int) -> Float[np.ndarray, "points controls"]:
    """The matrix from control points to points of a uniform cubic B-spline, whose end control
    points count three times, so that it begins and ends on them."""
    knots = controls + 1  # pieces of the spline, once the ends are repeated
    piece = np.minimum(np.linspace(0, knots, points).astype(int), knots - 1)
    u = np.linspace(0, knots, points) - piece
    blends = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, 3 * (u + u**2 - u**3) + 1, u**3]) / 6
    matrix = np.zeros((points, controls), np.float32)
    for offset, blend in enumerate(blends):
        control = np.clip(piece + offset - 2, 0, controls - 1)
        np.add.at(matrix, (np.arange(points), control), blend)
    return matrix


def _polygon(controls: int, points: int) -> Float[np.ndarray, "points controls"]:
    """The matrix from control points to points of the polygon through them."""
    u = np.linspace(0, controls - 1, points)[:, None]
    return np.maximum(0, 1 - np.abs(u - np.arange(controls))).astype(np.float32)


SPLINE = _spline(CONTROLS, POINTS)
POLYGON = _polygon(CONTROLS, POINTS)


def _place(
    program: Program, shapes: Float[Array, "strokes controls 2"]
) -> Float[Array, "strokes points 2"]:
    """Strokes of the given shapes, each put where the program says."""
    smooth = program.smooth[:, None, None]
    curves = smooth * (SPLINE @ shapes) + (1 - smooth) * (POLYGON @ shapes)
    pivot = jnp.round(program.pivot * (POINTS - 1)).astype(int)
    along = jnp.round(program.along * (POINTS - 1)).astype(int)
    placed = []
    for i, curve in enumerate(curves):
        origin = program.start[i]
        if placed:
            joint = jnp.stack(placed)[program.parent[i], along[i]]
            origin = jnp.where(program.attached[i] > 0, joint, origin)
        placed.append(origin + curve - curve[pivot[i]])
    return jnp.stack(placed)


def sample_program(key: PRNGKeyArray) -> Program:
    """ψ ~ p(ψ): a new glyph, scaled and moved to the middle of the unit square."""
    keys = iter(jr.split(key, 20))
    present = jnp.arange(STROKES) <= jr.categorical(next(keys), jnp.log(jnp.array(STROKE_COUNTS)))

    # Each stroke is a turtle walk. Hands like to go right and down; a stroke goes straight, or
    # bends all along, or turns at corners.
    downwards = jr.bernoulli(next(keys), 0.5, (STROKES,)) * np.pi / 2
    anywhere = jr.uniform(next(keys), (STROKES,), maxval=2 * np.pi)
    heading = jnp.where(jr.bernoulli(next(keys), 0.35, (STROKES,)), anywhere, downwards)
    heading += 0.2 * jr.normal(next(keys), (STROKES,))
    bent, cornered = jr.bernoulli(next(keys), jnp.array([[0.5], [0.4]]), (2, STROKES))
    turns = (STROKES, CONTROLS - 2)
    sign = jr.rademacher(next(keys), (STROKES, 1))
    bend = bent[:, None] * sign * jr.uniform(next(keys), (STROKES, 1), minval=0.3, maxval=6.0)
    corner = jr.rademacher(next(keys), turns) * jr.uniform(
        next(keys), turns, minval=1.0, maxval=2.6
    )
    corners = cornered[:, None] * jr.bernoulli(next(keys), 0.35, turns) * corner
    turn = bend / turns[1] + corners + 0.1 * jr.normal(next(keys), turns)
    headings = heading[:, None] + jnp.pad(jnp.cumsum(turn, 1), ((0, 0), (1, 0)))
    length = jnp.exp(0.4 * jr.normal(next(keys), (STROKES, 1))) * jnp.where(present[:, None], 1, 0)
    steps = length * jnp.exp(0.3 * jr.normal(next(keys), (STROKES, CONTROLS - 1)))
    walk = steps[..., None] * jnp.stack([jnp.cos(headings), jnp.sin(headings)], -1)
    shapes = jnp.pad(jnp.cumsum(walk, 1), ((0, 0), (1, 0), (0, 0)))

    # Strokes lie anywhere, or touch an earlier one with their start, or cross it.
    attached = jr.bernoulli(next(keys), 0.7, (STROKES,)) | ~present
    parent = jnp.floor(jr.uniform(next(keys), (STROKES,)) * jnp.arange(STROKES)).astype(int)
    where = jr.uniform(next(keys), (2, STROKES), minval=-0.3, maxval=1.3)
    along, crossing = jnp.clip(where, 0, 1)
    crosses = jr.bernoulli(next(keys), 0.35, (STROKES,))
    place, size = jr.split(next(keys))
    program = Program(
        shapes=shapes,
        smooth=1.0 - cornered,
        attached=attached.at[0].set(False).astype(jnp.float32),
        start=2.5 * jr.normal(place, (STROKES, 2)),
        parent=parent,
        along=along,
        pivot=jnp.where(attached, jnp.where(crosses, crossing, 0.0), 0.5),
    )
    return _centre(program, jr.uniform(size, minval=0.5, maxval=0.8))


def _centre(program: Program, size: Float[Array, ""]) -> Program:
    """The same program with its longer side `size`, in the middle of the unit square."""
    points = _place(program, program.shapes)
    low, high = points.min((0, 1)), points.max((0, 1))
    scale = size / jnp.max(high - low)
    return eqx.tree_at(
        lambda p: (p.shapes, p.start),
        program,
        (program.shapes * scale, 0.5 + (program.start - (low + high) / 2) * scale),
    )


def perform(program: Program, key: PRNGKeyArray) -> Float[Array, "strokes points 2"]:
    """θ ~ p(θ | ψ): the path of the pen in one run of the program.

    A stroke that is not there is a pen that stands still: all its points are equal.
    """
    motor, stretch, start, slip, affine, shift = jr.split(key, 6)
    # The errors of the hand add up along a stroke, in proportion to its size.
    size = jnp.sqrt(jnp.mean(jnp.var(program.shapes, 1), -1))[:, None, None]
    error = jnp.cumsum(0.12 * jr.normal(motor, program.shapes.shape), 1)
    warp = jnp.eye(2) + 0.12 * jr.normal(stretch, (STROKES, 2, 2))
    shapes = program.shapes @ warp + size * error
    performed = eqx.tree_at(
        lambda p: (p.start, p.along),
        program,
        (
            program.start + 0.04 * jr.normal(start, program.start.shape),
            jnp.clip(program.along + 0.05 * jr.normal(slip, program.along.shape), 0, 1),
        ),
    )
    points = _place(performed, shapes)
    distortion = jnp.eye(2) + 0.12 * jr.normal(affine, (2, 2))
    return 0.5 + (points - 0.5) @ distortion + 0.04 * jr.normal(shift, (2,))


def render(
    points: Float[Array, "strokes points 2"], pen: float | Float[Array, ""], size: int
) -> Float[Array, "size size"]:
    """I: the ink on `size` × `size` pixels that a pen leaves on its path, in [0, 1].

    Each step of the pen deposits ink in proportion to its length, spread as a Gaussian of
    standard deviation `pen` (in the unit square), and ink absorbs as Beer and Lambert say:
    I(p) = 1 - exp(-c Σ |step| exp(-|p - q|² / 2 pen²)), q the middle of the step. The Gaussian
    is a product over x and y, so an image is one small matrix product.
    """
    steps = jnp.diff(points, axis=1).reshape(-1, 2)
    middles = (points[:, 1:] + points[:, :-1]).reshape(-1, 2) / 2
    pixels = (jnp.arange(size) + 0.5) / size
    x, y = jnp.exp(-0.5 * ((pixels - middles.T[:, :, None]) / pen) ** 2)
    depth = DARKNESS / (pen * np.sqrt(2 * np.pi)) * jnp.sqrt(jnp.sum(steps**2, -1))
    return 1 - jnp.exp(-(y * depth[:, None]).T @ x)


@final
class Glyphs(ClassSource):
    """Glyphs number `first` … `first + classes - 1`, drawn anew each time.

    >>> Glyphs(classes=1000).draw(key, jnp.asarray(7), 5).shape     # five drawings of glyph 7
    (5, 28, 28, 1)
    """

    classes: int = eqx.field(static=True)
    first: int = eqx.field(static=True, default=0)
    size: int = eqx.field(static=True, default=28)

    def program(self, label: Int[Array, ""]) -> Program:
        """The program of class `label`: the same on every machine, in every run."""
        universe = jr.key(SEED, impl="threefry2x32")
        return sample_program(jr.fold_in(universe, self.first + label))

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Float[Array, "count size size 1"]:
        """`count` drawings of one class, ink 1 on ground 0, each by another hand and pen."""
        program = self.program(label)

        def drawing(key: PRNGKeyArray) -> Float[Array, "size size"]:
            hand, pen = jr.split(key)
            width = PEN * jnp.exp(0.1 * jr.normal(pen))
            return render(perform(program, hand), width, self.size)

        return jax.vmap(drawing)(jr.split(key, count))[..., None]

    def protocol(self) -> dict[str, Any]:
        """Which glyphs, at which size."""
        return {
            "data": "glyphs",
            "classes": self.classes,
            "first": self.first,
            "size": self.size,
            "seed": SEED,
        }


def glyph_splits(size: int = 28) -> dict[Literal["train", "validation", "test"], Glyphs]:
    """Three sources without a class in common: a million glyphs to train on, then 100,000 to
    validate and 100,000 to test on.

    >>> glyph_splits()["test"].first
    1100000
    """
    return {
        "train": Glyphs(1_000_000, 0, size),
        "validation": Glyphs(100_000, 1_000_000, size),
        "test": Glyphs(100_000, 1_100_000, size),
    }
