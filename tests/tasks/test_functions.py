"""Functions as tasks: Gaussian processes against slow formulas, pictures against their pixels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.data import mnist as kinds
from quickstudy.datasets import mnist
from quickstudy.errors import UserError
from quickstudy.likelihood import HeteroscedasticGaussian
from quickstudy.runs.plan import problem_of
from quickstudy.runs.problem_json import problem_from_json, problem_to_json
from quickstudy.runs.tasks import episode_tasks
from quickstudy.settings.learners import MultiTaskSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.task import Examples
from quickstudy.tasks.completion import Completion, places
from quickstudy.tasks.gaussian_processes import (
    GaussianProcesses,
    fixed_gaussian_process,
    posterior,
)
from quickstudy.tasks.sinusoid import Sinusoid

KEYS = jax.random.split(jax.random.key(0), 4000)


def test_functions_have_the_covariance_of_their_kernel():
    """Of the products y y' of pairs of points, by distance."""
    drawn = jax.jit(jax.vmap(fixed_gaussian_process(3, 3).sample))(KEYS)
    x, y = np.asarray(drawn.query.x)[..., 0], np.asarray(drawn.query.y)[..., 0]
    assert (np.abs(x) <= 2).all()
    np.testing.assert_allclose(np.mean(y**2), 1 + 0.02**2, atol=0.06)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        distance = np.abs(x[:, i] - x[:, j])
        for low, high in ((0.0, 0.2), (0.3, 0.5), (1.5, 4.0)):
            some = (low <= distance) & (distance < high)
            expected = np.mean(np.exp(-(distance[some] ** 2) / (2 * 0.4**2)))
            found = y[some, i] * y[some, j]
            assert np.mean(found) == pytest.approx(
                expected, abs=5 * np.std(found) / np.sqrt(some.sum())
            )


def test_the_exact_posterior_is_calibrated_on_samples():
    """(y - m) / s has variance 1, as the noise of both is the same: most of what is left to say
    near the points that are told."""
    noise = 0.3
    tasks = fixed_gaussian_process(8, 4, noise=noise, least=8)

    @jax.jit
    @jax.vmap
    def standardised(key):
        task = tasks.sample(key)
        mean, scale = posterior(task.support, task.query.x, length=0.4, amplitude=1.0, noise=noise)
        return (task.query.y - mean) / scale

    found = np.asarray(standardised(KEYS))
    assert np.mean(found**2) == pytest.approx(1, abs=0.06)


def test_sine_curves_have_the_amplitudes_and_phases_of_the_paper():
    """a sin(x - b) = a cos b sin x - a sin b cos x, a from .1 to 5 and b from 0 to π, whose cosine
    and sine are found by least squares."""
    drawn = jax.jit(jax.vmap(Sinusoid(10, 10).sample))(KEYS[:500])
    x, y = (
        np.concatenate([getattr(part, n) for part in (drawn.support, drawn.query)], axis=1)[..., 0]
        for n in "xy"
    )
    assert 4.99 < np.abs(x).max() <= 5
    waves = np.stack([np.sin(x), -np.cos(x)], axis=-1).astype(float)
    found = np.stack([np.linalg.lstsq(w, t, rcond=None)[0] for w, t in zip(waves, y, strict=True)])
    np.testing.assert_allclose(np.einsum("nkc,nc->nk", waves, found), y, atol=1e-4)
    amplitude, phase = np.hypot(*found.T), np.arctan2(found[:, 1], found[:, 0])
    for drawn, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, np.pi)):
        assert drawn.min() > low - 1e-3
        assert drawn.max() < high + 1e-3
        np.testing.assert_allclose(
            np.quantile(drawn, [0.25, 0.5, 0.75]),
            low + (high - low) * np.asarray([0.25, 0.5, 0.75]),
            atol=0.1 * (high - low),
        )


def test_random_kernels_differ_from_function_to_function():
    drawn = jax.jit(jax.vmap(GaussianProcesses(2, 20).sample))(KEYS[:500])
    spread = np.std(np.asarray(drawn.query.y)[..., 0], axis=1)
    assert np.quantile(spread, 0.9) > 3 * np.quantile(spread, 0.1)


def test_context_sets_are_of_every_size_and_the_first_examples_are_told():
    drawn = jax.jit(jax.vmap(GaussianProcesses(3, 1, least=1).sample))(KEYS[:600])
    told = ~np.isnan(np.asarray(drawn.support.y)[..., 0])
    np.testing.assert_array_equal(told, np.arange(3) < told.sum(1)[:, None])
    sizes = np.bincount(told.sum(1), minlength=4)
    assert sizes[0] == 0
    np.testing.assert_allclose(sizes[1:] / 600, 1 / 3, atol=0.08)
    assert not np.isnan(drawn.query.y).any()


def test_the_posterior_is_the_slow_formula_and_leaves_out_the_unlabelled():
    rng = np.random.default_rng(0)
    x, y, new = rng.uniform(-2, 2, (4, 1)), rng.normal(size=(4, 1)), rng.uniform(-2, 2, (6, 1))
    kernel = lambda a, b: 0.8**2 * np.exp(-((a - b.T) ** 2) / (2 * 0.5**2))  # noqa: E731
    inverse = np.linalg.inv(kernel(x, x) + 0.1**2 * np.eye(4))
    mean = kernel(new, x) @ inverse @ y
    variance = 0.8**2 + 0.1**2 - np.sum(kernel(new, x) @ inverse * kernel(new, x), axis=1)
    context = Examples(
        jnp.asarray(np.concatenate([x, rng.normal(size=(3, 1))]), jnp.float32),
        jnp.asarray(np.concatenate([y, np.full((3, 1), np.nan)]), jnp.float32),
    )
    order = rng.permutation(7)
    found = posterior(
        jax.tree.map(lambda a: a[order], context),
        jnp.asarray(new, jnp.float32),
        length=0.5,
        amplitude=0.8,
        noise=0.1,
    )
    np.testing.assert_allclose(found[0], mean, atol=1e-3)
    np.testing.assert_allclose(found[1][:, 0], np.sqrt(variance), atol=1e-3)


def test_pictures_are_their_pixels_and_no_pixel_comes_twice():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (5, 4, 6, 1)).astype(np.uint8)
    tasks = Completion(jnp.asarray(pictures), 10, 14)
    task = eqx.filter_jit(tasks.sample)(KEYS[0])
    x = np.concatenate([task.support.x, task.query.x])
    at = np.round((x + 2) / 4 * [3, 5]).astype(int)
    assert len(np.unique(at, axis=0)) == 24
    y = np.concatenate([task.support.y, task.query.y])[:, 0]
    known = ~np.isnan(y)
    same = [np.allclose(p[at[:, 0], at[:, 1], 0][known] / 255, y[known]) for p in pictures]
    assert sum(same) == 1
    again = eqx.filter_jit(tasks.sample)(KEYS[0], KEYS[1])
    assert np.isin(np.round(255 * again.query.y), pictures[same.index(True)]).all()
    assert not np.array_equal(again.query.x, task.query.x)
    np.testing.assert_allclose(places(4, 6)[9], [-2 + 4 / 3, -2 + 12 / 5], rtol=1e-5)
    with pytest.raises(ValueError, match="20 and 5 pixels of a picture of 24"):
        Completion(jnp.asarray(pictures), 20, 5)


def test_of_a_picture_at_least_so_many_pixels_are_told():
    pictures = np.arange(2 * 16, dtype=np.uint8).reshape(2, 4, 4, 1)
    tasks = Completion(jnp.asarray(pictures), 5, 3, least=3)
    y = jax.jit(jax.vmap(lambda key: tasks.sample(key).support.y))(KEYS[:600])
    sizes = np.bincount((~np.isnan(np.asarray(y)[..., 0])).sum(1), minlength=6)
    assert sizes[:3].sum() == 0
    np.testing.assert_allclose(sizes[3:] / 600, 1 / 3, atol=0.08)


def test_each_part_has_pictures_of_its_own(monkeypatch):
    x = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 1), np.uint8)
    digits = mnist.MNIST(x[:6], np.zeros(6), x[6:], np.zeros(2))
    monkeypatch.setattr(mnist, "load", lambda: digits)
    monkeypatch.setattr(kinds, "VALIDATION_PICTURES", 2)
    kinds.mnist_pictures.cache_clear()
    t = TaskSettings("mnist-completion", image_size=16)
    seen = {}
    for part in ("train", "validation", "test"):
        tasks = episode_tasks(t, part, 5, 3, 4)
        assert isinstance(tasks, Completion)
        seen[part] = set(np.unique(np.asarray(tasks.pictures)).tolist())
    assert seen == {"train": {0, 1, 2, 3}, "validation": {4, 5}, "test": {6, 7}}
    with pytest.raises(UserError, match="--shot 200 --query 100: 200 and 100 pixels"):
        episode_tasks(t, "test", 5, 200, 100)
    kinds.mnist_pictures.cache_clear()


def test_a_learner_of_functions_is_built_for_their_inputs_and_likelihood():
    problem = problem_of(RunSettings(MultiTaskSettings(), TaskSettings("gaussian-processes")))
    assert problem.shape == (1,)
    assert problem.likelihood == HeteroscedasticGaussian(2)
    assert not problem.classifies
    assert problem_from_json(problem_to_json(problem)) == problem
    with pytest.raises(UserError, match="take --tasks sinusoid"):
        MultiTaskSettings().grouped(GaussianProcesses())
