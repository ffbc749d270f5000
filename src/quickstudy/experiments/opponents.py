"""The hand-designed optimisers that a learned one is compared with, each with the learning rate
that is best for the problems at hand: searched for on problems that are not tested on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.compilation import enable_compilation_cache
from quickstudy.estimate import Estimate
from quickstudy.evaluation import Met
from quickstudy.files import read_json, write_json
from quickstudy.optimization import together
from quickstudy.optimizers.learned import minimise
from quickstudy.progress import progress
from quickstudy.task import Problems, task_keys
from quickstudy.training import VALIDATION_SEED

OPPONENTS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "SGD": optax.sgd,
    "momentum": partial(optax.sgd, momentum=0.9),
    "Nesterov": partial(optax.sgd, momentum=0.9, nesterov=True),
    "Rprop": optax.rprop,
    "Adagrad": optax.adagrad,
    "RMSprop": optax.rmsprop,
    "Adam": optax.adam,
}

RATES = tuple(float(f"{10 ** (k / 4):.3g}") for k in range(-20, 7))
"""From 10⁻⁵ to 32, four in each factor of ten."""

UNTUNED = 1e-3
"""Adam's rate where nobody tunes it (Kingma and Ba 2015)."""

SEARCH_FILE = "opponents.json"


@dataclass(frozen=True)
class Tuned:
    """One opponent with the best of the rates."""

    name: str
    rate: float
    losses: dict[float, Estimate]
    """The final loss by rate, over problems; none where a minimisation diverged."""

    def optimizer(self) -> optax.GradientTransformation:
        """With that rate."""
        return OPPONENTS[self.name](self.rate)


@eqx.filter_jit
def _final_losses(
    make: Callable[[Any], optax.GradientTransformation],
    problems: Problems,
    rates: Float[Array, " rates"],
    steps: int,
    count: int,
    key: PRNGKeyArray,
) -> Float[Array, "rates count"]:
    """Of the same `count` problems under each rate."""

    def of_rate(rate: Float[Array, ""]) -> Float[Array, " count"]:
        def one(index):
            for_task, _ = task_keys(key, index)
            return minimise(make(rate), problems.sample(for_task), steps, for_task)[-1]

        return jax.lax.map(one, jnp.arange(count), batch_size=together(problems, count))

    return jax.lax.map(of_rate, rates)


def tune(
    problems: Problems,
    *,
    steps: int,
    count: int = 50,
    seed: int = VALIDATION_SEED,
    names: Sequence[str] | None = None,
    show_progress: bool = False,
) -> dict[str, Tuned]:
    """Each opponent, or those with these names, with the rate whose mean loss after `steps` steps
    is lowest on `count` problems from this seed.

    >>> tune(Quadratics(), steps=100, names=["Adam"])["Adam"].rate
    1.78
    """
    enable_compilation_cache()
    found, rates, key = {}, jnp.asarray(RATES), jax.random.key(seed)
    chosen = list(OPPONENTS) if names is None else names
    with progress("tuning the opponents", len(chosen), show=show_progress) as reporter:
        for done, name in enumerate(chosen, 1):
            make = OPPONENTS[name]
            losses = np.asarray(_final_losses(make, problems, rates, steps, count, key), float)
            by_rate = {
                rate: Estimate.of(of_rate)
                for rate, of_rate in zip(RATES, losses, strict=True)
                if np.isfinite(of_rate).all()
            }
            best = min(by_rate, key=lambda rate: by_rate[rate].mean)
            found[name] = Tuned(name, best, by_rate)
            reporter.at(done, name)
    return found


def tuned_once(
    folder: Path | None,
    problems: Problems,
    *,
    steps: int,
    count: int = 50,
    names: Sequence[str] | None = None,
    show_progress: bool = False,
) -> dict[str, Tuned]:
    """`tune`, whose result is kept in `opponents.json` of this folder, for each kind of problem and
    number of steps, and read from there the next time; kept nowhere without a folder."""
    if folder is None:
        return tune(problems, steps=steps, count=count, names=names, show_progress=show_progress)
    path = folder / SEARCH_FILE
    words = Met.of(problems, steps=steps, count=count, seed=VALIDATION_SEED).protocol
    if names is not None:
        words["names"] = list(names)
    searches = read_json(path, "take it away", list) if path.exists() else []
    for search in searches:
        if search["protocol"] == words:
            return {
                name: Tuned(
                    name,
                    one["rate"],
                    {
                        rate: Estimate(mean, math.nan if half is None else half, n)
                        for rate, mean, half, n in one["losses"]
                    },
                )
                for name, one in search["opponents"].items()
            }
    found = tune(problems, steps=steps, count=count, names=names, show_progress=show_progress)
    opponents = {
        name: {
            "rate": one.rate,
            "losses": [[rate, e.mean, e.half_width, e.episodes] for rate, e in one.losses.items()],
        }
        for name, one in found.items()
    }
    searches.append({"protocol": words, "opponents": opponents})
    write_json(path, searches)
    return found
