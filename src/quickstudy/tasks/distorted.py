"""Classes of images with rotations, shears, scales or translations."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray

from quickstudy.networks.resampling import resampled
from quickstudy.tasks.source import ClassSource

RotationMode = Literal["none", "classes", "episode"]


class Rotated(ClassSource):
    """The four right-angled rotations of every class of images as classes of their own
    (Santoro et al. 2016; Vinyals et al. 2016): class 4 c + r is class c turned r times."""

    source: ClassSource
    classes: int = eqx.field(static=True)

    def __init__(self, source: ClassSource):
        self.source = source
        self.classes = 4 * source.classes

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Num[Array, "count h w c"]:
        return turn(self.source.draw(key, label // 4, count), label % 4)

    def protocol(self) -> dict[str, Any]:
        return {**self.source.protocol(), "classes": self.classes, "rotations": "as classes"}


class RandomlyTurned(ClassSource):
    """Every class of images, rotated by a random multiple of 90° that is drawn each time (Finn et
    al. 2017). So an episode never has two rotations of one character."""

    source: ClassSource
    classes: int = eqx.field(static=True)

    def __init__(self, source: ClassSource):
        self.source = source
        self.classes = source.classes

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Num[Array, "count h w c"]:
        draw, angle = jax.random.split(key)
        return turn(self.source.draw(draw, label, count), jax.random.randint(angle, (), 0, 4))

    def protocol(self) -> dict[str, Any]:
        return {**self.source.protocol(), "rotations": "of each class in each episode"}


class Warped(ClassSource):
    """Every image sheared and scaled about its middle: a point (x, y) of the original lies at scale
    · (x + shear y, y); values from beyond the border are 0.

    >>> Warped(source, jnp.asarray(0.4), jnp.asarray(1.0)).draw(key, jnp.asarray(3), 5).shape
    (5, 28, 28, 1)
    """

    source: ClassSource
    shear: Float[Array, ""]
    scale: Float[Array, ""]
    classes: int = eqx.field(static=True)

    def __init__(self, source: ClassSource, shear: Float[Array, ""], scale: Float[Array, ""]):
        self.source, self.shear, self.scale = source, shear, scale
        self.classes = source.classes

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Float[Array, "count h w c"]:
        x = self.source.draw(key, label, count)
        inverse = jnp.asarray([[1.0, 0.0], [-self.shear, 1.0]]) / self.scale
        return jax.vmap(lambda image: resampled(image, inverse, jnp.zeros(2)))(x)

    def protocol(self) -> dict[str, Any]:
        words = {"shear": float(self.shear), "scale": float(self.scale)}
        return {**self.source.protocol(), **words}


class Distorted(ClassSource):
    """Every image under a random affine map of its own (Koch et al. 2015, section 3.3): rotated by
    θ in ±10°, sheared by ρ_x and ρ_y in ±0.3, scaled by s_x and s_y in [0.8, 1.2], moved by t_x and
    t_y in ± 2 pixels of 105; each of the seven is applied with probability 1/2."""

    source: ClassSource
    classes: int = eqx.field(static=True)

    def __init__(self, source: ClassSource):
        self.source = source
        self.classes = source.classes

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Num[Array, "count h w c"]:
        draw, distort = jax.random.split(key)
        x = self.source.draw(draw, label, count)
        if x.shape[1:3] == (1, 1):
            return x  # nothing to bend: it is the number of a picture (`mapped.RowNumbers`)
        keys = jax.random.split(jax.random.fold_in(distort, label), count)
        return jax.vmap(lambda image, key: distorted(image, *some_distortion(key)))(x, keys)

    def protocol(self) -> dict[str, Any]:
        return {**self.source.protocol(), "distortions": "affine"}


Distortion = tuple[Float[Array, ""], Float[Array, " 2"], Float[Array, " 2"], Float[Array, " 2"]]
"""θ in radians; ρ; s - 1; t as shares of the side. All 0 is no distortion."""


def some_distortion(key: PRNGKeyArray) -> Distortion:
    """Draw one of the distortions of `Distorted`."""
    draw, drop = jax.random.split(key)
    most = jnp.asarray([math.radians(10), 0.3, 0.3, 0.2, 0.2, 2 / 105, 2 / 105])
    values = most * jax.random.uniform(draw, (7,), minval=-1, maxval=1)
    values = jnp.where(jax.random.bernoulli(drop, shape=(7,)), values, 0.0)
    return values[0], values[1:3], values[3:5], values[5:7]


def distorted(
    x: Float[Array, "h w c"],
    angle: Float[Array, ""],
    shear: Float[Array, " 2"],
    growth: Float[Array, " 2"],
    shift: Float[Array, " 2"],
) -> Float[Array, "h w c"]:
    """A point p of `x`, from its middle, comes to A p + shift · side, where
    A = R(angle) [[1, ρ₀], [ρ₁, 1]] diag(1 + growth)."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turned_back = jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])
    sheared_back = (jnp.eye(2) - jnp.diag(shear)[:, ::-1]) / (1 - shear[0] * shear[1])
    back = sheared_back @ turned_back / (1 + growth)[:, None]
    return resampled(x, back, shift * x.shape[0])


def turn(x: Num[Array, "n h w c"], quarters: Int[Array, ""]) -> Num[Array, "n h w c"]:
    """Square images turned by `quarters` right angles, anticlockwise."""
    turns = [jnp.rot90(x, r, axes=(1, 2)) for r in range(4)]
    return jax.lax.select_n(quarters, *turns)


def rotated(source: ClassSource, mode: RotationMode) -> ClassSource:
    """Return `source` with rotations as separate classes, with a rotation drawn for each episode,
    or without rotations."""
    return {"none": lambda s: s, "classes": Rotated, "episode": RandomlyTurned}[mode](source)
