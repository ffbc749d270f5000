"""The gradient of a regularised optimum against closed forms, and against differentiating all of
the way there."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy import memory
from quickstudy.learners.descent import descend
from quickstudy.learners.gradient.imaml import ImplicitMAML
from quickstudy.likelihood import Gaussian
from quickstudy.metagradients import Backpropagation
from quickstudy.metagradients.implicit import regularised_optimum
from quickstudy.networks import MLP, WithHead
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
A = RNG.normal(size=(6, 6))
A, B, Q = A @ A.T / 6, RNG.normal(size=6), RNG.normal(size=6)
THETA = RNG.normal(size=6)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def quadratic_optimum(theta, b, cg_steps: int, **damping):
    """argmin φᵀAφ/2 - bᵀφ + ‖φ - θ‖²/4, by solving it."""

    def minimise(objective, start):
        slope = jax.grad(objective)
        return start - jnp.linalg.solve(jax.hessian(objective)(start), slope(start))

    return regularised_optimum(
        lambda phi: phi @ A @ phi / 2 - b @ phi, theta, 0.5, minimise, cg_steps=cg_steps, **damping
    )


def test_the_optimum_of_a_quadratic_moves_as_its_closed_form_does():
    """φ* = (A + λI)⁻¹ (λθ + b): the derivatives in θ, and in what the loss closes over."""
    inverse = np.linalg.inv(A + 0.5 * np.eye(6))
    objective = lambda t, b, n: Q @ quadratic_optimum(t, b, n)  # noqa: E731
    slopes = jax.jit(jax.grad(objective, (0, 1)), static_argnums=2)
    of_theta, of_b = slopes(THETA, B, 6)
    np.testing.assert_allclose(quadratic_optimum(THETA, B, 6), inverse @ (0.5 * THETA + B))
    np.testing.assert_allclose(of_theta, 0.5 * inverse @ Q, rtol=1e-6)
    np.testing.assert_allclose(of_b, inverse @ Q, rtol=1e-6)
    errors = [np.linalg.norm(slopes(THETA, B, n)[1] - inverse @ Q) for n in (1, 3, 6)]
    assert errors[0] > 2 * errors[1] > 1000 * errors[2]


def test_forward_and_batched_derivatives_are_the_same():
    inverse = np.linalg.inv(A + 0.5 * np.eye(6))
    ahead = jax.jvp(lambda t: quadratic_optimum(t, B, 6), (THETA,), (Q,))[1]
    np.testing.assert_allclose(ahead, 0.5 * inverse @ Q, rtol=1e-6)
    many = jax.vmap(jax.grad(lambda t, b: Q @ quadratic_optimum(t, b, 6)))(
        jnp.stack([THETA, -THETA]), jnp.stack([B, 2 * B])
    )
    np.testing.assert_allclose(many, np.stack([0.5 * inverse @ Q] * 2), rtol=1e-6)


def test_damped_it_is_the_authors_linear_system():
    """((1 + c) I + A/(λ + d))⁻¹ Q; the optimum itself stays where it is."""
    damping = {"damping": 1.0, "extra_strength": 10.0}
    damped = np.linalg.inv(2 * np.eye(6) + A / 10.5)
    found = jax.grad(lambda t: Q @ quadratic_optimum(t, B, 6, **damping))(THETA)
    np.testing.assert_allclose(found, damped @ Q, rtol=1e-6)
    optimum = quadratic_optimum(THETA, B, 6, **damping)
    np.testing.assert_allclose(optimum, quadratic_optimum(THETA, B, 6))


def task(seed: int = 1) -> Episode:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(11, 2))
    y = np.sin(x.sum(1, keepdims=True))
    x, y = jnp.asarray(x), jnp.asarray(y)
    return Episode(Examples(x[:6], y[:6]), Examples(x[6:], y[6:]), Gaussian(1))


def learner(steps: int, hidden: tuple[int, ...] = (6,), **options) -> ImplicitMAML:
    network = WithHead(MLP((2,), hidden=hidden, key=KEY), 1, key=KEY)
    options = {"damping": 0.0, "extra_strength": 0.0, **options}
    return ImplicitMAML(network, optax.sgd(0.1), train_steps=steps, strength=1.0, **options)


def flat(tree) -> np.ndarray:
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return np.concatenate([np.ravel(x) for x in leaves])


def unrolled(network, episode: Episode, steps: int):
    """The query loss after so many steps, to be differentiated through all of them."""

    def regularised(phi):
        squares = jax.tree.map(lambda p, t: jnp.sum((p - t) ** 2), arrays(phi), arrays(network))
        loss = episode.likelihood.mean_loss(phi(episode.support.x)[0], episode.support.y)
        return loss + sum(squares) / 2

    def arrays(tree):
        return jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))

    adapted = descend(regularised, network, optax.sgd(0.1), steps)
    return episode.likelihood.mean_loss(adapted(episode.query.x)[0], episode.query.y)


def test_at_convergence_it_is_full_back_propagation():
    """Of 300 steps, to a part in 100,000; the paper's 16 and 5 come near."""
    full = flat(eqx.filter_jit(eqx.filter_grad(unrolled))(learner(1).network, task(), 300))

    def error(steps: int, cg_steps: int) -> float:
        made = learner(steps, cg_steps=cg_steps)
        gradient, _ = eqx.filter_jit(Backpropagation().of_task)(made, task(), KEY)
        return float(np.linalg.norm(flat(gradient) - full) / np.linalg.norm(full))

    assert error(300, 30) < 1e-5
    assert 1e-4 < error(16, 5) < 0.1


def kept(network, steps: int):
    """The objective whose slope keeps every step."""
    return unrolled(network, task(), steps)


def test_memory_does_not_grow_with_inner_steps():
    """Back-propagation's does."""
    network, fixed = eqx.partition(learner(1, (40, 40)).network, eqx.is_array)

    def implicit(network, steps: int):
        made = eqx.tree_at(lambda m: m.network, learner(steps), network)
        return made.loss(task(), key=KEY)[0]

    def needed(objective, steps: int) -> int:
        slope = jax.jit(jax.grad(lambda n: objective(eqx.combine(n, fixed), steps)))
        return memory.needed(slope.lower(network).compile())

    flat, grown = ([needed(f, steps) for steps in (5, 100)] for f in (implicit, kept))
    assert flat[1] == pytest.approx(flat[0], rel=0.01)
    assert grown[1] > 5 * max(grown[0], flat[1])


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        regularised_optimum(jnp.sum, THETA, -1.0, lambda objective, start: start, cg_steps=1)
    with pytest.raises(ValueError, match="running"):
        learner(1, normalisation="running")
    with pytest.raises(ValueError, match="has 1 outputs, the task needs 2"):
        learner(1).adapt(task().support, Gaussian(2), key=KEY)
