"""The meta-gradient at a regularised inner optimum, independent of the path to it (Rajeswaran,
Finn, Kakade and Levine, "Meta-Learning with Implicit Gradients", NeurIPS 2019).

    φ*(θ) = argmin_φ L(φ) + λ/2 ‖φ - θ‖²                                   (eq. 3)
    dφ*/dθ = (I + ∇²L(φ*)/λ)⁻¹                                             (lemma 1)

The condition ∇L(φ*) + λ (φ* - θ) = 0 determines the derivative of φ* with respect to θ, and to
everything else that L depends on. A product with the inverse is a linear system, which conjugate
gradients solve with one Hessian-vector product for each step (section 3.2). The path to φ* is not
kept, so memory does not grow with inner steps.

The authors' code damps the system. After a few steps, the Hessian at φ may have eigenvalues below
-λ, and conjugate gradients on an indefinite matrix are unreliable:

    (1 + c) I + ∇²L(φ*)/(λ + d)    in the place of    I + ∇²L(φ*)/λ

with c = 1 and d = 10. Without damping, c = d = 0, the gradient is the gradient of the equations
above."""

from collections.abc import Callable
from typing import TypeVar, cast

import equinox as eqx
import jax
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float, PyTree

Parameters = TypeVar("Parameters")
Loss = Callable[[Parameters], Float[Array, ""]]

TOLERANCE = 1e-8
"""Conjugate gradients end early where the residual, relative to the right-hand side, is this
small."""


def regularised_optimum(
    loss: Loss,
    centre: Parameters,
    strength: float,
    minimise: Callable[[Loss, Parameters], Parameters],
    *,
    cg_steps: int,
    damping: float = 0.0,
    extra_strength: float = 0.0,
) -> Parameters:
    """φ* = argmin L(φ) + λ/2 ‖φ - θ‖² for the centre θ (a module or any pytree) and the strength
    λ, as `minimise(objective, start)` finds it from θ; differentiable in θ and in whatever `loss`
    closes over, by at most `cg_steps` conjugate gradients. `damping` is c and `extra_strength` d.
    Raises `ValueError` unless λ is above 0.

    Without damping, the derivatives are exact at the optimum. Where `minimise` does not reach it,
    or the Hessian has an eigenvalue below -λ, they are wrong.

    >>> import jax.numpy as jnp
    >>> half_way = lambda objective, start: start / 2
    >>> optimum = lambda w: regularised_optimum(lambda w: w**2 / 2, w, 1.0, half_way, cg_steps=1)
    >>> optimum(jnp.asarray(1.0)), jax.grad(optimum)(jnp.asarray(1.0))
    (Array(0.5, dtype=float32), Array(0.5, dtype=float32))
    """
    if not strength > 0:
        raise ValueError(f"strength {strength}: it must be above 0")
    theta, fixed = eqx.partition(centre, eqx.is_inexact_array)

    def of_arrays(phi: PyTree) -> Float[Array, ""]:
        return loss(cast(Parameters, eqx.combine(phi, fixed)))

    plain, captured = jax.closure_convert(of_arrays, theta)
    held = jax.lax.stop_gradient((theta, captured))

    def regularised(parameters: Parameters) -> Float[Array, ""]:
        phi = eqx.filter(parameters, eqx.is_inexact_array)
        centre, captured = held
        squares = jax.tree.map(lambda p, c: ((p - c) ** 2).sum(), phi, centre)
        return plain(phi, *captured) + strength / 2 * sum(jax.tree.leaves(squares))

    def slope(phi: PyTree, centre: PyTree, captured: list[Array]) -> PyTree:
        """∇L(φ) + λ (φ - θ), which is zero at φ*."""
        return jax.tree.map(
            lambda g, p, c: g + strength * (p - c), jax.grad(plain)(phi, *captured), phi, centre
        )

    found = minimise(regularised, cast(Parameters, eqx.combine(held[0], fixed)))
    phi = eqx.filter(found, eqx.is_inexact_array)
    _, hessian = jax.linearize(lambda phi: jax.grad(plain)(phi, *held[1]), phi)

    def product(v: PyTree) -> PyTree:
        """λ ((1 + c) v + ∇²L(φ*) v / (λ + d))"""
        share = strength / (strength + extra_strength)
        return jax.tree.map(lambda v, h: strength * (1 + damping) * v + share * h, v, hessian(v))

    residual = slope(phi, theta, captured)
    moved = jax.tree.map(lambda r: r - jax.lax.stop_gradient(r), residual)  # zero; its slope is not
    correction, _ = cg(product, moved, tol=TOLERANCE, maxiter=cg_steps)
    return cast(Parameters, eqx.combine(jax.tree.map(lambda p, c: p - c, phi, correction), fixed))
