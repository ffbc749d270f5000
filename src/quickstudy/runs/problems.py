"""Problems from settings."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from quickstudy.datasets import cifar10, mnist
from quickstudy.datasets.images import resized
from quickstudy.errors import UserError, nearest
from quickstudy.settings.problems import ProblemSettings
from quickstudy.task import Optimizee, Problems, TaskDistribution
from quickstudy.tasks.problems.classification import Classifiers
from quickstudy.tasks.problems.functions import FUNCTIONS, TestFunctions
from quickstudy.tasks.problems.logistic import LogisticRegressions
from quickstudy.tasks.problems.quadratics import Quadratics
from quickstudy.tasks.problems.several import SeveralKinds
from quickstudy.user_file import class_in_file, named_class

NETWORKS = ("mnist", "cifar10")
KINDS = ("quadratics", "logistic", *FUNCTIONS, *NETWORKS, "several")
TINY = ProblemSettings("mnist", image_size=8, batch=64)
SEVERAL = {
    "quadratics": ProblemSettings("quadratics"),
    "logistic regression": ProblemSettings("logistic"),
    "styblinski": ProblemSettings("styblinski"),
    "20 sigmoid units": TINY,
    "two layers of 16 ReLUs": replace(TINY, hidden=(16, 16), activation=("relu",), batch=32),
}
"""What `several` has: one problem of each."""


def problems_of(settings: ProblemSettings) -> Problems:
    """The distribution. Raises `UserError` for an unknown one, with the nearest names, and where
    data cannot be had."""
    kind = settings.tasks
    if kind.endswith(".py"):
        if (own := named_class(kind)) is None:
            raise UserError(
                f"--tasks {kind} is code of the user's own, which runs only if you name it: add "
                "--tasks FILE.py if you trust that file"
            )
        return own()
    if kind == "several":
        return SeveralKinds(*(problems_of(one) for one in SEVERAL.values()))
    if kind == "quadratics":
        return Quadratics(settings.dimensions)
    if kind == "logistic":
        return LogisticRegressions(settings.dimensions)
    if kind in FUNCTIONS:
        return TestFunctions(kind, settings.dimensions)  # pyright: ignore[reportArgumentType]
    if kind in NETWORKS:
        images, labels = training_images(kind, settings.image_size)
        if smallest_side(images.shape) < 2 ** len(settings.kernels):
            raise UserError(f"--kernels: {len(settings.kernels)} blocks halve {kind} to nothing")
        return Classifiers(
            images,
            labels,
            kernels=settings.kernels,
            hidden=settings.hidden,
            activations=settings.activation,
            batch=settings.batch,
            data=kind,
        )
    raise UserError(f"there are no problems {kind!r}: {nearest(kind, list(KINDS))}, or FILE.py")


def smallest_side(shape: tuple[int, ...]) -> int:
    """Of images (n, h, w, c)."""
    return min(shape[1:3])


@functools.lru_cache(maxsize=2)
def training_images(kind: str, size: int | None) -> tuple[Any, Any]:
    """Images and labels on the device."""
    data = mnist.load() if kind == "mnist" else cifar10.load()
    images = data.train_x if size is None else resized(data.train_x, size)
    return jnp.asarray(images), jnp.asarray(data.train_y)


def own_problems(name: str) -> Problems:
    """The distribution that a file defines that the user has named: the one subclass of
    `TaskDistribution` in it, which can be made without arguments and whose tasks are `Optimizee`s.
    The file is run, and from now on `problems_of` knows it.

    Raises `UserError` where it defines none or more than one, or tasks of another kind.
    """
    own: Any = class_in_file(name, TaskDistribution, "docs/methods/learned-optimizers.md")
    problems = own()
    task = jax.eval_shape(problems.sample, jax.random.key(0))
    if not isinstance(task, Optimizee):
        raise UserError(f"{name}: its tasks are {type(task).__name__}, not an Optimizee")
    return problems
