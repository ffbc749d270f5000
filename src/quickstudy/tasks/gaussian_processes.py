"""Functions drawn from Gaussian processes (Garnelo et al. 2018, section 4.1; Kim et al. 2019,
section 4.1), and their exact posterior.

    f ~ GP(0, k),  k(x, x') = σ² exp(-|x - x'|² / 2 l²),   y = f(x) + noise · ε
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.likelihood import HeteroscedasticGaussian
from quickstudy.task import Episode, Examples, TaskDistribution

Range = tuple[float, float]


def rbf(
    a: Float[Array, "n d"],
    b: Float[Array, "m d"],
    length: float | Float[Array, ""],
    amplitude: float | Float[Array, ""],
) -> Float[Array, "n m"]:
    """k(a_i, b_j) with l = `length` and σ = `amplitude`."""
    squared = jnp.sum((a[:, None] - b) ** 2, -1)
    return amplitude**2 * jnp.exp(-squared / (2 * length**2))


def with_random_size(key: PRNGKeyArray, examples: Examples, least: int) -> Examples:
    """Keep the targets of the first few examples and remove the others: the number is uniform from
    `least` to all."""
    most = len(examples.y)
    count = jax.random.randint(key, (), least, most + 1)
    kept = (jnp.arange(most) < count)[:, None]
    return Examples(examples.x, jnp.where(kept, examples.y, jnp.nan))


class GaussianProcesses(TaskDistribution[Episode]):
    """Each episode is a function, whose kernel is drawn for it: l ~ U`length`, σ ~ U`amplitude`; x
    ~ U[-2, 2]. A random number of points from `least` to `shot` are the context, and the rest of
    the support set is unlabelled; `query` other points are the targets.

    >>> GaussianProcesses(shot=10, query=50).sample(jax.random.key(0)).support.x.shape
    (10, 1)
    """

    shot: int = eqx.field(static=True, default=10)
    query: int = eqx.field(static=True, default=10)
    least: int = eqx.field(static=True, default=0)
    length: Range = eqx.field(static=True, default=(0.1, 0.6))
    amplitude: Range = eqx.field(static=True, default=(0.1, 1.0))
    noise: float = eqx.field(static=True, default=0.02)
    likelihood: HeteroscedasticGaussian = HeteroscedasticGaussian()

    def sample(self, key: PRNGKeyArray) -> Episode:
        for_length, for_amplitude, for_x, for_y, for_size = jax.random.split(key, 5)
        length = jax.random.uniform(for_length, minval=self.length[0], maxval=self.length[1])
        low, high = self.amplitude
        amplitude = jax.random.uniform(for_amplitude, minval=low, maxval=high)
        count = self.shot + self.query
        x = jax.random.uniform(for_x, (count, 1), minval=-2.0, maxval=2.0)
        covariance = rbf(x, x, length, amplitude) + self.noise**2 * jnp.eye(count)
        y = jnp.linalg.cholesky(covariance) @ jax.random.normal(for_y, (count, 1))
        context = Examples(x[: self.shot], y[: self.shot])
        return Episode(
            support=with_random_size(for_size, context, self.least),
            query=Examples(x[self.shot :], y[self.shot :]),
            likelihood=self.likelihood,
        )

    def protocol(self) -> dict[str, Any]:
        return {
            "data": "gaussian-processes",
            "length scale": list(self.length),
            "amplitude": list(self.amplitude),
            "noise": self.noise,
            "shot": [self.least, self.shot],
            "queries": self.query,
        }


def fixed_gaussian_process(shot: int = 10, query: int = 10, **options: Any) -> GaussianProcesses:
    """The distribution of Garnelo et al. (2018): l = .4 and σ = 1 in every episode."""
    return GaussianProcesses(shot, query, length=(0.4, 0.4), amplitude=(1.0, 1.0), **options)


def posterior(
    context: Examples,
    x: Float[Array, "m d"],
    *,
    length: float,
    amplitude: float,
    noise: float,
) -> tuple[Float[Array, "m 1"], Float[Array, "m 1"]]:
    """The exact posterior's mean and standard deviation of y at `x`, noise included (Rasmussen and
    Williams 2006, algorithm 2.1):

        L Lᵀ = K + noise² I,   α = L⁻ᵀ L⁻¹ y,   m = k*ᵀ α,   s² = σ² + noise² - |L⁻¹ k*|².

    An unlabelled example is treated as a point without correlation to others, with y = 0."""
    told = ~jnp.isnan(context.y)
    both = told & told.T
    covariance = jnp.where(both, rbf(context.x, context.x, length, amplitude), 0.0)
    covariance += jnp.where(told, noise**2, 1.0) * jnp.eye(len(told))
    across = jnp.where(told, rbf(context.x, x, length, amplitude), 0.0)
    lower = jnp.linalg.cholesky(covariance)
    solved = jax.scipy.linalg.solve_triangular(lower, across, lower=True)
    y = jnp.where(told, context.y, 0.0)
    mean = solved.T @ jax.scipy.linalg.solve_triangular(lower, y, lower=True)
    variance = amplitude**2 + noise**2 - jnp.sum(solved**2, axis=0)
    return mean, jnp.sqrt(jnp.maximum(variance, noise**2))[:, None]
