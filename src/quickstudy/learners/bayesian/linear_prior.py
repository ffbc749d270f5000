"""The prior of Bayesian linear regression, estimated from many regressions at once by the EM
algorithm (Dempster, Laird and Rubin 1977, section 4.5; Laird and Ware 1982).

The weights of regression t are random, k_t ~ N(m, S), and its targets are y_t ~ N(Φ_t k_t, σ² I).
Given m, S and σ, with G_t = Φ_t S Φ_tᵀ + σ² I,

    k_t | y_t ~ N(m + S Φ_tᵀ G_t⁻¹ (y_t - Φ_t m),  C_t),     C_t = S - S Φ_tᵀ G_t⁻¹ Φ_t S

One step sets m to the generalised least squares estimate, which does not need the new S, and S and
σ to their expectations under the posterior:

    m  ←  (Σ_t Φ_tᵀ G_t⁻¹ Φ_t + I)⁻¹ Σ_t Φ_tᵀ G_t⁻¹ y_t         (I: a weak prior, m ~ N(0, I))
    S  ←  mean_t [C_t + (k̄_t - m)(k̄_t - m)ᵀ]
    σ² ←  mean over targets of (y - φᵀ k̄_t)² + φᵀ C_t φ
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

EM_STEPS = 100
LEAST_NOISE = 1e-3
"""The smallest σ, in units of the target."""
LEAST_VARIANCE = 1e-8
"""Added to the diagonal of S before its Cholesky factor is taken."""


class Regressions(eqx.Module):
    """Many regressions along the leading axis."""

    phi: Float[Array, "*tasks n p"]
    y: Float[Array, "*tasks n k"]
    counted: Bool[Array, "*tasks n"]
    """The rows that exist."""


class Prior(eqx.Module):
    """m is `mean`, a column for each target; S is σ² L Lᵀ with L the `factor`."""

    mean: Float[Array, "p targets"]
    factor: Float[Array, "p p"]
    log_noise: Float[Array, ""]


def estimated(given: Regressions, start: Prior) -> Prior:
    """Take `EM_STEPS` steps from `start`. Where the prior has one column and targets have several,
    each target is a separate regression with the same prior."""
    counted = given.counted[..., None]
    phi, y = jnp.where(counted, given.phi, 0.0), jnp.where(counted, given.y, 0.0)
    count = jnp.maximum(jnp.sum(given.counted), 1)
    variance = jnp.exp(2 * start.log_noise)
    factor = jnp.tril(start.factor)

    def step(_: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        return em_step(phi, y, count, *now)

    first = start.mean, variance * factor @ factor.T, variance
    mean, s, variance = jax.lax.fori_loop(0, EM_STEPS, step, first)
    lower = jnp.linalg.cholesky(s + LEAST_VARIANCE * jnp.eye(len(s)))
    return Prior(mean, lower / jnp.sqrt(variance), jnp.log(variance) / 2)


def em_step(
    phi: Float[Array, "t n p"],
    y: Float[Array, "t n k"],
    count: Array,
    mean: Float[Array, "p targets"],
    s: Float[Array, "p p"],
    variance: Float[Array, ""],
) -> tuple[Float[Array, "p targets"], Float[Array, "p p"], Float[Array, ""]]:
    """Take one step of the module's equations, for m, S and σ²; rows that do not exist are
    zeros."""
    (tasks, n, p), k = phi.shape, y.shape[2]
    spread = phi @ s
    g = jnp.einsum("tnp,tmp->tnm", spread, phi) + variance * jnp.eye(n)
    solved = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(g), True), phi)  # G⁻¹ Φ
    information = jnp.einsum("tnp,tnq->pq", phi, solved)
    told = jnp.einsum("tnp,tnk->pk", solved, y)
    regressions = 1  # that share a column of the mean, in each task
    if mean.shape[1] < k:
        told, regressions = jnp.sum(told, 1, keepdims=True), k
    mean = jnp.linalg.solve(regressions * information + jnp.eye(p), told)
    shift = jnp.einsum("pq,tnq,tnk->tpk", s, solved, y - phi @ mean)  # k̄ - m
    of_shifts = jnp.einsum("tpk,tqk->pq", shift, shift) / (tasks * k)
    s_next = s - s @ (information / tasks) @ s + of_shifts
    residual = jnp.sum((y - phi @ (mean + shift)) ** 2) / k
    of_posterior = variance * jnp.sum(solved * spread)  # Σ φᵀ C φ, as S - S Φᵀ G⁻¹ Φ S has it
    noise = (residual + of_posterior) / count
    return mean, (s_next + s_next.T) / 2, jnp.maximum(noise, LEAST_NOISE**2)
