"""Learned optimisers and their opponents on the same problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optax

from quickstudy.evaluation import Estimate
from quickstudy.optimization import AnyOptimizer, Curves, minimise_many
from quickstudy.recipes.opponents import UNTUNED, tuned_once
from quickstudy.recipes.studies.study import Panel
from quickstudy.task import Problems

ADAM = "Adam"


@dataclass(frozen=True)
class Race:
    """Curves by optimiser, of learned ones first, on the same problems."""

    learned: list[str]
    curves: dict[str, Curves]
    rates: dict[str, float]
    """The opponents' tuned learning rates."""
    steps: int

    @property
    def protocol(self) -> dict[str, Any]:
        """The words that name the problems."""
        return self.curves[self.learned[0]].protocol

    def label(self, name: str) -> str:
        """With its rate, where it was tuned."""
        return f"{name} ({self.rates[name]:g})" if name in self.rates else name

    def best_opponent(self) -> str:
        """With the lowest mean loss at the end."""
        opponents = [name for name in self.curves if name not in self.learned]
        return min(opponents, key=lambda name: self.curves[name].at(self.steps).mean)

    def ahead(self, name: str) -> Estimate:
        """By how much this one's loss is above the first learned optimiser's at the end, problem by
        problem."""
        return self.curves[name].difference(self.curves[self.learned[0]], self.steps)

    def steps_to_adam(self, name: str) -> int | None:
        """Steps until the mean loss is tuned Adam's last one."""
        return self.curves[name].steps_to(self.curves[ADAM].at(self.steps).mean)

    def rows(self) -> list[list[str]]:
        """Of a table: name, loss at the end, how far behind the first, steps to Adam's loss."""
        made = []
        for name, curves in self.curves.items():
            behind = "" if name == self.learned[0] else self.ahead(name).plain()
            steps = self.steps_to_adam(name)
            made.append(
                [
                    self.label(name),
                    curves.at(self.steps).plain(),
                    behind,
                    "–" if steps is None else str(steps),
                ]
            )
        return made

    def panel(self, title: str = "") -> Panel:
        """Mean loss against steps, with its interval over problems."""
        return Panel(
            title or str(self.protocol["problems"]),
            "step",
            "loss",
            {
                self.label(name): {str(t): curves.at(t) for t in range(self.steps + 1)}
                for name, curves in self.curves.items()
            },
            logarithmic=True,
        )

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "protocol": self.protocol,
            "optimizers": {
                name: {
                    "rate": self.rates.get(name),
                    "loss": curves.at(self.steps).mean,
                    "interval_95": curves.at(self.steps).half_width,
                    "steps to Adam's loss": self.steps_to_adam(name),
                }
                for name, curves in self.curves.items()
            },
        }


def race(
    learned: Mapping[str, AnyOptimizer],
    problems: Problems,
    *,
    steps: int,
    count: int,
    tuning: int,
    folder: Path,
    seed: int = 0,
    show_progress: bool = False,
) -> Race:
    """Minimise the same `count` problems with each learned optimiser, with each opponent at its
    tuned rate, and with Adam at the rate that it has where nobody tunes it. The search for rates,
    on `tuning` other problems, is kept in `folder`."""
    tuned = tuned_once(folder, problems, steps=steps, count=tuning, show_progress=show_progress)
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
    return Race(list(learned), curves, {name: t.rate for name, t in tuned.items()}, steps)
