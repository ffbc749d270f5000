"""Glyphs are what they say: endless, reproducible, alike within a class and not between."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.tasks import glyphs
from quickstudy.tasks.glyphs import Glyphs, glyph_splits, perform, render

SOURCE = Glyphs(classes=1000)
PAGE = 20  # classes drawn together: one shape, so that it compiles once
draw = jax.jit(lambda key, label: SOURCE.draw(key, label, 4))
draw_page = jax.jit(jax.vmap(lambda key, label: SOURCE.draw(key, label, 4)))
program = jax.jit(lambda label: SOURCE.program(label))
run = jax.jit(perform)
image = jax.jit(render, static_argnums=2)
label = st.integers(0, SOURCE.classes - 1).map(jnp.asarray)
seed = st.integers(0, 2**31 - 1)


@pytest.fixture(scope="module")
def pages() -> np.ndarray:
    """Four drawings of each of the first classes: (pages, classes, 4, 28, 28)."""
    labels = jnp.arange(10 * PAGE).reshape(10, PAGE)
    keys = jr.split(jr.key(0), labels.shape)
    return np.stack([draw_page(*page)[..., 0] for page in zip(keys, labels, strict=True)])


@settings(max_examples=40, deadline=None)
@given(label, seed)
def test_drawings_are_images_with_some_ink(label, seed):
    images = draw(jr.key(seed), label)
    assert images.shape == (4, 28, 28, 1)
    assert images.dtype == jnp.float32
    assert images.min() >= 0
    assert images.max() <= 1
    ink = images.mean((1, 2, 3))
    assert np.all((ink > 0.005) & (ink < 0.4))


def test_size_is_the_callers():
    source = Glyphs(classes=10, size=64)
    images = jax.eval_shape(lambda: source.draw(jr.key(0), jnp.asarray(3), 2))
    assert images.shape == (2, 64, 64, 1)


def test_a_drawing_holds_the_same_share_of_ink_at_every_size():
    points = run(program(3), jr.key(0))
    shares = [image(points, glyphs.PEN, size).mean() for size in (28, 56)]
    np.testing.assert_allclose(*shares, rtol=0.05)


def test_a_drawing_is_a_function_of_key_and_label():
    key, label = jr.key(5), jnp.asarray(7)
    np.testing.assert_array_equal(draw(key, label), draw(key, label))
    assert not np.array_equal(draw(key, label), draw(jr.key(6), label))
    assert not np.array_equal(draw(key, label), draw(key, jnp.asarray(8)))


def test_vmap_is_the_loop(pages):
    keys = jr.split(jr.key(0), (10, PAGE))[0]
    loop = [draw(key, jnp.asarray(label))[..., 0] for label, key in enumerate(keys)]
    np.testing.assert_allclose(pages[0], np.stack(loop), atol=1e-4)


def test_the_drawings_of_a_class_differ(pages):
    for images in pages.reshape(-1, 4, 28 * 28):
        apart = np.linalg.norm(images[:, None] - images, axis=-1)[np.triu_indices(4, 1)]
        assert apart.min() > 0.5


@settings(max_examples=20, deadline=None)
@given(label)
def test_every_label_has_a_program_of_its_own(label):
    assert eqx.tree_equal(program(label), program(label))
    assert not eqx.tree_equal(program(label), program((label + 1) % SOURCE.classes))


def test_a_class_is_its_number_in_any_source():
    shifted = Glyphs(classes=10, first=40).program(jnp.asarray(2))
    for here, there in zip(*map(jax.tree.leaves, (shifted, program(42))), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-5)


def test_a_class_does_not_depend_on_the_default_random_generator():
    with jax.default_prng_impl("rbg"):
        shapes = jax.jit(lambda label: SOURCE.program(label).shapes)(jnp.asarray(7))
    np.testing.assert_allclose(shapes, program(7).shapes, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(label)
def test_an_unperturbed_glyph_is_centred_and_fits(label):
    strokes = program(label)
    points = glyphs._place(strokes, strokes.shapes)
    low, high = points.min((0, 1)), points.max((0, 1))
    np.testing.assert_allclose((low + high) / 2, 0.5, atol=1e-4)
    assert 0.3 < jnp.max(high - low) < 0.9


@settings(max_examples=40, deadline=None)
@given(label, seed)
def test_attached_strokes_touch_what_they_are_attached_to(label, seed):
    strokes = program(label)
    points = np.asarray(run(strokes, jr.key(seed)))
    assert points.shape == (glyphs.STROKES, glyphs.POINTS, 2)
    for i in np.flatnonzero(strokes.attached):
        parent = points[int(strokes.parent[i])]
        assert strokes.parent[i] < i
        assert np.linalg.norm(points[i][:, None] - parent, axis=-1).min() < 1e-5


def test_every_number_of_strokes_occurs_about_as_often_as_said():
    programs = jax.jit(jax.vmap(SOURCE.program))(jnp.arange(1000))
    strokes = np.sum(np.any(programs.shapes != 0, axis=(2, 3)), axis=1)
    shares = np.bincount(strokes, minlength=glyphs.STROKES + 1)[1:] / 1000
    np.testing.assert_allclose(shares, glyphs.STROKE_COUNTS, atol=0.06)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(programs))


def test_class_means_of_raw_pixels_beat_chance_but_not_by_too_much(pages):
    """20-way, 3-shot, nearest mean: chance is 5 %. A task to learn, not one that is solved."""
    correct = []
    for images in pages.reshape(-1, PAGE, 4, 28 * 28):
        means, queries = images[:, :3].mean(1), images[:, 3]
        nearest = np.linalg.norm(queries[:, None] - means, axis=-1).argmin(1)
        correct.append(np.mean(nearest == np.arange(PAGE)))
    assert 0.25 < np.mean(correct) < 0.75


def test_drawings_of_one_class_are_closer_than_of_two(pages):
    images = pages.reshape(-1, 4, 28 * 28)
    within = np.linalg.norm(images[:, 0] - images[:, 1], axis=-1).mean()
    between = np.linalg.norm(images[:-1, 0] - images[1:, 1], axis=-1).mean()
    assert within < 0.95 * between


def slow_render(points: np.ndarray, pen: float, size: int) -> np.ndarray:
    """The obvious way: for every pixel, the ink of every step of the pen, by distance."""
    depth = np.zeros((size, size))
    for stroke in points.astype(np.float64):
        for a, b in itertools.pairwise(stroke):
            for row in range(size):
                for column in range(size):
                    pixel = np.array([column + 0.5, row + 0.5]) / size
                    distance = np.linalg.norm(pixel - (a + b) / 2)
                    footprint = np.exp(-(distance**2) / (2 * pen**2)) / (pen * np.sqrt(2 * np.pi))
                    depth[row, column] += glyphs.DARKNESS * np.linalg.norm(b - a) * footprint
    return 1 - np.exp(-depth)


def test_fast_rendering_is_the_slow_one():
    points = np.random.default_rng(0).uniform(0, 1, (2, 6, 2)).astype(np.float32)
    for pen in (0.3 / 28, 2 / 28):
        fast = image(jnp.asarray(points), pen, 12)
        np.testing.assert_allclose(fast, slow_render(points, pen, 12), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(0.25, 0.75)] * 4))
def test_a_straight_stroke_is_as_dark_as_said_in_its_middle(ends):
    a, b = np.reshape(ends, (2, 2))
    if np.linalg.norm(b - a) < 0.2:
        return
    # A pixel centre under the middle of the line, wherever the line goes.
    middle = (np.floor((a + b) / 2 * 28) + 0.5) / 28
    line = middle + np.linspace(-0.5, 0.5, 200)[:, None] * (b - a)
    row, column = (middle[::-1] * 28).astype(int)
    darkest = image(jnp.asarray(line[None], jnp.float32), glyphs.PEN, 28)[row, column]
    assert abs(darkest - (1 - np.exp(-glyphs.DARKNESS))) < 0.01


def test_a_pen_that_stands_still_leaves_no_ink():
    still = jnp.full((3, 10, 2), 0.5)
    np.testing.assert_allclose(image(still, glyphs.PEN, 28), 0, atol=1e-3)
    gradient = jax.grad(lambda points: image(points, glyphs.PEN, 28).sum())(still)
    assert np.all(np.isfinite(gradient))


def test_splits_share_no_class():
    splits = glyph_splits()
    assert set(splits) == {"train", "validation", "test"}
    ranges = sorted((int(s.first), int(s.first) + s.classes) for s in splits.values())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))
    assert len({str(s.protocol()) for s in splits.values()}) == 3


def test_a_program_has_a_gradient_even_for_strokes_that_are_not_there():
    def ink(shapes):
        strokes = eqx.tree_at(lambda p: p.shapes, program(1), shapes)
        return render(perform(strokes, jr.key(0)), glyphs.PEN, 8).mean()

    assert not np.all(np.any(program(1).shapes != 0, axis=(1, 2)))
    assert np.all(np.isfinite(jax.jit(jax.grad(ink))(program(1).shapes)))
