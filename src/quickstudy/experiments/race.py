"""Learned optimisers and their opponents on the same problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optax

from quickstudy import memory
from quickstudy.estimate import NORMAL_QUANTILE, Estimate
from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.opponents import UNTUNED, Tuned, tuned_once
from quickstudy.optimization import Curves, minimise_many
from quickstudy.optimizers.learned import AnyOptimizer
from quickstudy.task import Problems

ADAM = "Adam"
REDRAWN = 200
"""How often problems are drawn again for an interval."""


@dataclass(frozen=True)
class Race:
    """Curves by optimiser, of learned ones first, on the same problems."""

    learned: list[str]
    curves: dict[str, Curves]
    tuned: dict[str, Tuned]
    """The opponents."""
    steps: int

    @property
    def protocol(self) -> dict[str, Any]:
        """The words that name the problems."""
        return self.curves[self.learned[0]].protocol

    def label(self, name: str) -> str:
        """With its rate, where it was tuned."""
        return f"{name} ({self.tuned[name].rate:g})" if name in self.tuned else name

    def ahead(self, name: str) -> Estimate:
        """By how much this one's loss is above the first learned optimiser's at the end, problem by
        problem."""
        return self.curves[name].difference(self.curves[self.learned[0]], self.steps)

    def steps_to_adam(self, name: str) -> Estimate | None:
        """Steps until the mean loss is no higher than tuned Adam's last one, with an interval by
        drawing problems again (bootstrap). None where that does not come about."""
        mine, adam = self.curves[name].losses, self.curves[ADAM].losses[:, -1]
        steps = first_below(mine.mean(0), adam.mean())
        if steps is None:
            return None
        rng, n = np.random.default_rng(0), len(adam)
        draws = [rng.integers(n, size=n) for _ in range(REDRAWN)]
        again = [first_below(mine[i].mean(0), adam[i].mean()) for i in draws]
        spread = float(np.std([self.steps if step is None else step for step in again]))
        return Estimate(float(steps), NORMAL_QUANTILE * spread, n)

    def rows(self) -> list[list[str]]:
        """Of a table: name, loss at the end, how far behind the first, steps to Adam's loss."""
        made = []
        for name, curves in self.curves.items():
            behind = "" if name == self.learned[0] else self.ahead(name).compact()
            steps = self.steps_to_adam(name)
            made.append(
                [
                    self.label(name),
                    curves.at(self.steps).compact(),
                    behind,
                    "–" if steps is None else f"{steps.mean:.0f} ± {steps.half_width:.0f}",
                ]
            )
        return made

    def panel(self, title: str = "") -> Panel:
        """Mean loss against steps, with its interval over problems; where one has diverged, the
        curve has no more points."""
        return Panel(
            title or str(self.protocol["problems"]),
            "step",
            "loss",
            {
                self.label(name): {
                    str(t): curves.at(t)
                    for t in range(self.steps + 1)
                    if np.isfinite(curves.losses[:, t]).all()
                }
                for name, curves in self.curves.items()
            },
            logarithmic="y",
        )

    def search_panel(self, title: str) -> Panel:
        """What each opponent's rate was chosen by."""
        return Panel(
            title,
            "learning rate",
            "loss",
            {
                name: {f"{rate:g}": e for rate, e in tuned.losses.items()}
                for name, tuned in self.tuned.items()
            },
            logarithmic="xy",
        )

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "protocol": self.protocol,
            "optimizers": {
                name: {
                    "rate": self.tuned[name].rate if name in self.tuned else None,
                    "loss": curves.at(self.steps).mean,
                    "interval_95": curves.at(self.steps).half_width,
                    "steps to Adam's loss": steps and [steps.mean, steps.half_width],
                }
                for name, curves in self.curves.items()
                for steps in [self.steps_to_adam(name)]
            },
        }


def first_below(losses: np.ndarray, level: float) -> int | None:
    """The first step at which the loss is no higher than `level`."""
    reached = np.flatnonzero(losses <= level)
    return int(reached[0]) if len(reached) else None


@memory.named("--dimensions, --hidden, --kernels and --batch")
def race(
    learned: Mapping[str, AnyOptimizer],
    problems: Problems,
    *,
    steps: int,
    count: int,
    tuning: int,
    folder: Path | None = None,
    seed: int = 0,
    opponents: Sequence[str] | None = None,
    show_progress: bool = False,
) -> Race:
    """Minimise the same `count` problems with each learned optimiser, with each opponent (or those
    with these names, Adam among them) at its tuned rate, and with Adam at the rate that it has
    where nobody tunes it. The search for rates, on `tuning` other problems, is kept in `folder`, if
    there is one."""
    tuned = tuned_once(
        folder,
        problems,
        steps=steps,
        count=tuning,
        names=opponents,
        show_progress=show_progress,
    )
    all_of_them: dict[str, AnyOptimizer] = {
        **learned,
        **{name: opponent.optimizer() for name, opponent in tuned.items()},
        f"Adam, untuned ({UNTUNED:g})": optax.adam(UNTUNED),
    }
    curves = {
        name: minimise_many(
            optimizer, problems, steps=steps, count=count, seed=seed, show_progress=show_progress
        )
        for name, optimizer in all_of_them.items()
    }
    return Race(list(learned), curves, tuned, steps)
