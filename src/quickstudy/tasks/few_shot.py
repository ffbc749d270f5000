"""N-way K-shot episodes, and plain batches, from a source of classes."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Num, PRNGKeyArray, Shaped

from quickstudy.likelihood import Categorical
from quickstudy.networks.resampling import resampled
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.tasks.finite import Redrawn
from quickstudy.tasks.source import ClassSource, distinct


class FewShot(Redrawn):
    """`way` distinct classes, in random order, which become labels 0 … way - 1; of each, `shot`
    support and `query` query examples, all distinct (Vinyals et al. 2016, section 2.2).

    With `fixed_labels` the classes are divided into `way` groups once and for all, and label k
    is a class of group k: tasks are not mutually exclusive, and a network may learn the labels
    of classes by heart (Yin et al. 2020, section 6.2).

    `sample(key, examples)` is the task of `key`, with examples drawn by the second key.

    >>> FewShot(source, way=5, shot=1, query=15).sample(key).query.y.shape
    (75,)
    """

    source: ClassSource
    way: int = eqx.field(static=True)
    shot: int = eqx.field(static=True)
    query: int = eqx.field(static=True)
    fixed_labels: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if not 2 <= self.way <= self.source.classes:
            raise ValueError(f"{self.way}-way episodes from {self.source.classes} classes")
        if self.shot < 1 or self.query < 1:
            raise ValueError(f"{self.shot} shots and {self.query} queries: at least 1 of each")

    @property
    def likelihood(self) -> Categorical:
        return Categorical(self.way)

    def chosen(self, key: PRNGKeyArray) -> tuple[Int[Array, " way"], PRNGKeyArray]:
        """Choose the classes of the episode `sample(key)`, in the order of its labels, and the one
        key that the examples of all of them follow from."""
        choose, examples = jax.random.split(key)
        if self.fixed_labels:
            classes = one_of_each_group(choose, self.source.classes, self.way)
        else:
            classes = distinct(choose, self.source.classes, self.way)
        return classes, examples

    def example_keys(
        self, classes: Int[Array, " way"], examples: PRNGKeyArray
    ) -> Key[Array, " way"]:
        """Derive the key that each class draws its examples with. What an episode promises of its
        examples is kept here, since every draw passes through: a first one and each other."""
        return jax.random.split(examples, self.way)

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> Episode:
        """Draw the episode of `key`. With a key for `examples`: the same classes with the same
        labels, but other examples."""
        classes, own = self.chosen(key)
        keys = self.example_keys(classes, own if examples is None else examples)
        x = jax.vmap(lambda k, c: self.source.draw(k, c, self.shot + self.query))(keys, classes)
        labels = jnp.arange(self.way)
        return Episode(
            support=Examples(
                x[:, : self.shot].reshape(-1, *x.shape[2:]), jnp.repeat(labels, self.shot)
            ),
            query=Examples(
                x[:, self.shot :].reshape(-1, *x.shape[2:]), jnp.repeat(labels, self.query)
            ),
            likelihood=self.likelihood,
        )

    def protocol(self) -> dict[str, Any]:
        counts = {"way": self.way, "shot": self.shot, "queries per class": self.query}
        labels = {"labels": "fixed for each class"} if self.fixed_labels else {}
        return {**self.source.protocol(), **counts, **labels}


def one_of_each_group(key: PRNGKeyArray, classes: int, groups: int) -> Int[Array, " groups"]:
    """A random member of each group of classes. Groups are a division into nearly equal parts
    that is random but always the same, so that they do not follow the order of classes: that
    would be alphabets, or rotations."""
    order = jnp.asarray(np.random.default_rng(0).permutation(classes))
    bounds = np.arange(groups + 1) * classes // groups
    return order[jax.random.randint(key, (groups,), bounds[:-1], bounds[1:])]


class Batches(TaskDistribution[Episode]):
    """Batches of labelled examples from all classes of a source, or the first few, as ordinary
    supervised learning takes them: an episode without a support set, whose labels are the
    source's own.
    """

    source: ClassSource
    size: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)

    def __init__(self, source: ClassSource, size: int, classes: int | None = None):
        self.source, self.size = source, size
        self.classes = source.classes if classes is None else classes

    def sample(self, key: PRNGKeyArray) -> Episode:
        choose, draw = jax.random.split(key)
        y = jax.random.randint(choose, (self.size,), 0, self.classes)
        x = jax.vmap(lambda k, c: self.source.draw(k, c, 1)[0])(
            jax.random.split(draw, self.size), y
        )
        return Episode(
            support=Examples(x[:0], y[:0]),
            query=Examples(x, y),
            likelihood=Categorical(self.classes),
        )

    def protocol(self) -> dict[str, Any]:
        return {**self.source.protocol(), "classes": self.classes, "batch": self.size}


class ArraySource(ClassSource):
    """Examples that lie in memory (on the device), grouped by class: those of class c are rows
    first[c] … first[c] + count[c] - 1. Bytes become numbers from 0 to 1.
    """

    x: Array
    first: Int[Array, " classes"]
    count: Int[Array, " classes"]
    classes: int = eqx.field(static=True)
    words: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __init__(self, x: Any, first: Any, count: Any, words: dict[str, Any]):
        """`words` are those of `protocol`: data, split …"""
        self.x, self.first, self.count = jnp.asarray(x), jnp.asarray(first), jnp.asarray(count)
        self.classes = len(first)
        self.words = tuple(words.items())

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Float[Array, "count ..."]:
        return shares(self.x[self.first[label] + distinct(key, self.count[label], count)])

    def protocol(self) -> dict[str, Any]:
        return {**dict(self.words), "classes": self.classes}


def shares(x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """Bytes as numbers from 0 to 1; other numbers as they are."""
    return x.astype(float) / 255 if x.dtype == jnp.uint8 else x


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
    """Every class of images turned by a random multiple of 90°, anew each time that it is drawn
    (Finn et al. 2017): an episode never holds two rotations of one character."""

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
    """Every image sheared and scaled about its middle: a point (x, y) of the original lies at
    scale · (x + shear y, y); what was beyond the border is 0.

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
    """Every image under a random affine map of its own (Koch et al. 2015, section 3.3): rotated
    by θ in ±10°, sheared by ρ_x and ρ_y in ±0.3, scaled by s_x and s_y in [0.8, 1.2], moved by
    t_x and t_y in ± 2 pixels of 105; each of the seven is there with probability 1/2.
    """

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
    """A random one of those that `Distorted` names."""
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
    """`source` with rotations as classes of their own, drawn for each episode, or none."""
    return {"none": lambda s: s, "classes": Rotated, "episode": RandomlyTurned}[mode](source)
