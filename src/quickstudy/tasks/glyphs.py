"""Glyphs: unlimited procedural characters, so a first run needs no download.

In the spirit of the generative account of characters of Lake, Salakhutdinov and Tenenbaum,
"Human-level concept learning through probabilistic program induction" (Science, 2015):

    class    ψ ~ p(ψ)       a small program: strokes, their control points, how they relate
    drawing  θ ~ p(θ | ψ)   a noisy run of it: where the pen went this time
    image    I = render(θ)  the ink that the pen left

We keep their parts (strokes, relations, motor noise, affine distortion, ink) and replace the
distributions that they fit to drawings by a few hand-set ones. Strokes are turtle walks, not
sequences of learned primitives, and their curves are Bézier curves, not B-splines. A class is a
pure function of its number, and drawings are made on the device inside the compiled step.

Coordinates are in the unit square, x to the right and y down.
"""

import math
from typing import Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.tasks.source import DescribedSource

SEED = 2015
"""The seed of all glyphs: another seed gives other characters."""

STROKE_COUNTS = (0.22, 0.33, 0.24, 0.13, 0.08)
"""p(1 stroke), p(2 strokes) …"""
STROKES = len(STROKE_COUNTS)
PARTS = 3
"""Sub-strokes of a stroke: it may have corners where they join."""
STEPS = 4
"""Steps between the control points of a sub-stroke, which has 5, as in Lake's model."""
CONTROLS = PARTS * STEPS + 1
"""Control points of a stroke."""
POINTS = 60
"""Pen positions along a stroke when it is drawn: about half a pixel apart at 28 × 28."""

# p(ψ): chances that a part of a stroke is straight, that it starts with a corner; that a stroke
# has the shape of the one before, is attached to an earlier one, crosses it where attached.
STRAIGHT, CORNERED, REPEATED, ATTACHED, CROSSING = 0.5, 0.4, 0.2, 0.7, 0.35

# p(θ | ψ): standard deviations of what differs from one drawing to the next.
MOTOR = 0.08
"""Error of the hand from control point to control point, as a share of the stroke's size."""
WARP = 0.12
"""Linear distortion of each stroke, entry by entry of its 2 × 2 matrix."""
START = 0.04
"""The region in which a free stroke starts, in the unit square."""
SLIP = 0.05
"""The position of an attached stroke on its parent, as a share of the parent's length."""
AFFINE, SHIFT = 0.12, 0.03
"""Distortion of the whole drawing: linear as `WARP`, and translation in the unit square."""

PEN = 0.4 / 28
"""Standard deviation of the pen's footprint, in the unit square: lines as wide as Omniglot's."""
DARKNESS = 3.5
"""Optical depth in the middle of a stroke: exp(-3.5) = 3 % of the ground stays visible."""
SPREAD = 0.25
"""A typical distance between positions on the page, in the unit square."""
TINY = 1e-16
"""A constant under a square root: it gives absent strokes a gradient (0) and no visible ink."""


class Program(eqx.Module):
    """ψ, the part that all drawings of one glyph share.

    >>> points = perform(glyphs.program(jnp.asarray(7)), key)     # (strokes, points, 2)
    >>> image = render(points, PEN, 28)                           # (28, 28)
    """

    shapes: Float[Array, "strokes controls 2"]
    """Control points of each stroke, relative to its first; all 0 for an absent stroke."""
    attached: Bool[Array, " strokes"]
    """Whether a stroke is attached to an earlier stroke; else it is placed on the page."""
    start: Float[Array, "strokes 2"]
    """The position of a free stroke on the page."""
    parent: Int[Array, " strokes"]
    """The earlier stroke that a stroke is attached to …"""
    along: Float[Array, " strokes"]
    """… and the position along it: 0 is its start, 1 its end."""
    pivot: Float[Array, " strokes"]
    """The position, along the stroke itself, of the point that is placed: 0 is its start."""


def _spline() -> Float[np.ndarray, "points controls"]:
    """The matrix from the control points of a stroke to points along it: its sub-strokes are
    Bézier curves that share their ends, where the stroke may turn sharply."""
    part = np.linspace(0, PARTS, POINTS, dtype=np.float32)
    first = np.minimum(part.astype(int), PARTS - 1)
    u = part - first
    matrix = np.zeros((POINTS, CONTROLS), np.float32)
    for i in range(STEPS + 1):
        blend = math.comb(STEPS, i) * u**i * (1 - u) ** (STEPS - i)
        matrix[np.arange(POINTS), first * STEPS + i] = blend
    return matrix


SPLINE = _spline()


def _place(
    program: Program, shapes: Float[Array, "strokes controls 2"]
) -> Float[Array, "strokes points 2"]:
    """Place strokes of the given shapes as the program specifies."""
    curves = SPLINE @ shapes
    stroke = jnp.arange(STROKES)
    pivots = curves[stroke, jnp.round(program.pivot * (POINTS - 1)).astype(int)]
    joints = curves[program.parent, jnp.round(program.along * (POINTS - 1)).astype(int)]
    hops = joints - pivots[program.parent]  # from where the parent is placed to where I am

    def place(origins: Array, i: Array) -> tuple[Array, None]:
        attached = origins[program.parent[i]] + hops[i]
        origin = jnp.where(program.attached[i], attached, program.start[i])
        return origins.at[i].set(origin), None

    origins, _ = jax.lax.scan(place, program.start, stroke)
    return (origins - pivots)[:, None] + curves


def sample_program(key: PRNGKeyArray) -> Program:
    """ψ ~ p(ψ): a new glyph, scaled and moved to the middle of the unit square."""
    # One flat draw of all randomness: it compiles several times faster than many.
    chance = jr.uniform(key, (27 * STROKES,)).reshape(27, STROKES)
    angle, tilt, scale, repeat, touch, cross, parent, along, pivot, x, y = chance[:11]
    joint, straight, arc, corner, length = chance[11:26].reshape(5, PARTS, STROKES).swapaxes(1, 2)
    count, size = chance[26, :2]
    present = jnp.arange(STROKES) <= jnp.sum(count > np.cumsum(STROKE_COUNTS))

    # A stroke is a turtle walk: it heads right, or down, or anywhere; at each joint of its parts
    # it turns a corner and begins another arc (of another length), or goes on as before.
    anywhere = 2 * np.pi * (angle - 0.7) / 0.3
    heading = jnp.where(angle < 0.35, 0.0, jnp.where(angle < 0.7, np.pi / 2, anywhere))
    heading += 0.6 * (tilt - 0.5)
    turned = (joint < CORNERED).at[:, 0].set(False)
    origin = jax.lax.cummax(jnp.where(turned, jnp.arange(PARTS), 0), axis=1)
    bend = jnp.where(straight < STRAIGHT, 0.0, _signed(arc, 0.4, 2.4))
    bend = jnp.take_along_axis(bend, origin, 1)
    turns = jnp.repeat(bend / STEPS, STEPS, 1)
    turns = turns.at[:, ::STEPS].add(jnp.where(turned, _signed(corner, 1.2, 2.5), 0.0))
    headings = heading[:, None] + jnp.cumsum(turns, 1)
    length = jnp.take_along_axis(0.5 + length, origin, 1)
    length *= jnp.where(present, jnp.exp(1.6 * (scale - 0.5)), 0.0)[:, None]
    steps = jnp.repeat(length, STEPS, 1)
    walk = steps[..., None] * jnp.stack([jnp.cos(headings), jnp.sin(headings)], -1)
    shapes = jnp.pad(jnp.cumsum(walk, 1), ((0, 0), (1, 0), (0, 0)))
    repeats = (repeat < REPEATED) & present & (jnp.arange(STROKES) > 0)
    shapes = shapes[jnp.arange(STROKES) - repeats]

    # It lies anywhere, or touches an earlier stroke with its start, or crosses it.
    attached = (touch < ATTACHED) | ~present
    parent = jnp.floor(parent * jnp.arange(STROKES)).astype(int)
    along, crossing = jnp.clip(1.6 * jnp.stack([along, pivot]) - 0.3, 0, 1)
    program = Program(
        shapes=shapes,
        attached=attached.at[0].set(False),
        start=10 * jnp.stack([x, y], -1),
        parent=parent,
        along=along,
        pivot=jnp.where(attached, jnp.where(cross < CROSSING, crossing, 0.0), 0.5),
    )
    return _centre(program, 0.5 + 0.3 * size)


def _signed(chance: Float[Array, "*shape"], low: float, high: float) -> Float[Array, "*shape"]:
    """From uniform on (0, 1) to uniform on ±(low, high)."""
    signed = 2 * chance - 1
    return jnp.sign(signed) * low + signed * (high - low)


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


def flat(program: Program) -> Float[Array, " numbers"]:
    """A program as one vector of numbers of the order of 1. For each stroke: its control points;
    whether it is attached; where on the page it starts if not; and on which earlier stroke
    (one-hot), how far along it, and with which point of its own, if it is."""
    attached = program.attached[:, None].astype(float)
    place = jnp.stack([program.along, program.pivot], -1) - 0.5
    parent = jax.nn.one_hot(program.parent, STROKES - 1)
    return jnp.concatenate(
        [
            program.shapes.reshape(STROKES, -1) / SPREAD,
            attached,
            (1 - attached) * (program.start - 0.5) / SPREAD,
            attached * parent,
            attached * place / SPREAD,
        ],
        1,
    ).ravel()


def perform(program: Program, key: PRNGKeyArray) -> Float[Array, "strokes points 2"]:
    """θ ~ p(θ | ψ): the path of the pen in one run of the program.

    An absent stroke is a pen that stands still: all its points are equal."""
    normal = jr.normal(key, ((STROKES + 1) * (CONTROLS + 4) * 2,)).reshape(STROKES + 1, -1, 2)
    strokes, whole = normal[:-1], normal[-1]
    motor, warp, start, slip = jnp.split(strokes, (CONTROLS, CONTROLS + 2, CONTROLS + 3), 1)
    # The errors of the hand add up along a stroke, in proportion to its size.
    size = jnp.sqrt(jnp.mean(jnp.var(program.shapes, 1), -1) + TINY)[:, None, None]
    shapes = program.shapes @ (jnp.eye(2) + WARP * warp) + size * MOTOR * jnp.cumsum(motor, 1)
    performed = eqx.tree_at(
        lambda p: (p.start, p.along),
        program,
        (
            program.start + START * start[:, 0],
            jnp.clip(program.along + SLIP * slip[:, 0, 0], 0, 1),
        ),
    )
    points = _place(performed, shapes)
    distortion = jnp.eye(2) + AFFINE * whole[:2]
    return 0.5 + (points - 0.5) @ distortion + SHIFT * whole[2]


def render(
    points: Float[Array, "strokes points 2"], pen: float | Float[Array, ""], size: int
) -> Float[Array, "size size"]:
    """I: the ink on `size` × `size` pixels that a pen leaves on its path, in [0, 1].

    Each step of the pen deposits ink in proportion to its length, spread as a Gaussian with
    standard deviation `pen` (in the unit square), and ink absorbs by the law of Beer and Lambert:
    I(p) = 1 - exp(-c Σ |step| exp(-|p - q|² / 2 pen²)), q the middle of the step. The Gaussian is a
    product over x and y, so an image is one small matrix product."""
    steps = jnp.diff(points, axis=1).reshape(-1, 2)
    middles = (points[:, 1:] + points[:, :-1]).reshape(-1, 2) / 2
    pixels = (jnp.arange(size) + 0.5) / size
    x, y = jnp.exp(-0.5 * ((pixels - middles.T[:, :, None]) / pen) ** 2)
    depth = DARKNESS / (pen * np.sqrt(2 * np.pi)) * jnp.sqrt(jnp.sum(steps**2, -1) + TINY)
    return 1 - jnp.exp(-(y * depth[:, None]).T @ x)


@final
class Glyphs(DescribedSource):
    """Glyphs number `first` … `first + classes - 1`, with new drawings each time.

    >>> Glyphs(classes=1000).draw(key, jnp.asarray(7), 5).shape     # five drawings of glyph 7
    (5, 28, 28, 1)
    """

    classes: int = eqx.field(static=True)
    first: Int[Array, ""] = eqx.field(converter=jnp.asarray, default=0)
    size: int = eqx.field(static=True, default=28)

    def program(self, label: Int[Array, ""]) -> Program:
        """The program of class `label`: the same on every machine, in every run."""
        universe = jr.key(SEED, impl="threefry2x32")
        return sample_program(jr.fold_in(universe, self.first + label))

    def describe(self, label: Int[Array, ""]) -> Float[Array, " numbers"]:
        """The program of class `label` as one vector."""
        return flat(self.program(label))

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Float[Array, "count size size 1"]:
        """Draw `count` drawings of one class, ink 1 on ground 0, each with different hand noise."""
        program = self.program(label)

        def drawing(key: PRNGKeyArray) -> Float[Array, "size size"]:
            return render(perform(program, key), PEN, self.size)

        return jax.vmap(drawing)(jr.split(key, count))[..., None]

    def protocol(self) -> dict[str, Any]:
        """Describe the glyphs and their size."""
        return {
            "data": "glyphs",
            "classes": self.classes,
            "first": int(self.first),
            "size": self.size,
            "universe": SEED,
        }


def glyph_splits(size: int = 28) -> dict[Literal["train", "validation", "test"], Glyphs]:
    """Return three sources without a common class: a million glyphs for training, then 100,000 for
    validation and 100,000 for test.

    >>> int(glyph_splits()["test"].first)
    1100000
    """
    return {
        "train": Glyphs(1_000_000, 0, size),
        "validation": Glyphs(100_000, 1_000_000, size),
        "test": Glyphs(100_000, 1_100_000, size),
    }
