"""The learner of functions and the free regressions on customers that are made up by a rule.

    python -m quickstudy.experiments.customers FOLDER

A customer is a task of 24 rows. A row has six inputs x ~ N(0, 1) and sales

    y = 1000 + 50 (wᵀ x + f(x) + ε),   ε ~ N(0, 0.5²)

| structure | weights w of a customer | f(x) |
|---|---|---|
| shared | m + B u, u ~ N(0, I₂) for each customer, one m and one B (6 × 2) ~ N(0, 1) | 0 |
| curved | the same | 2 sin(2 x₁) |
| independent | N(0, I) for each customer | 0 |
| identical | one m ~ N(0, I) | 0 |

Of 1,100 customers 220 are test tasks, each met once: 8 rows to learn from, 15 others to predict.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from quickstudy.evaluation import Result, evaluate, paired_difference
from quickstudy.runs.opponents import free_opponents
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.tasks import episode_tasks

STRUCTURES = ("shared", "curved", "independent", "identical")
INPUTS, SHARED_DIRECTIONS, NOISE = 6, 2, 0.5
CUSTOMERS, ROWS = 1100, 24
SHOT, QUERY = 8, 15


def write(path: Path, structure: str, *, customers: int = CUSTOMERS, seed: int = 0) -> None:
    """Write a table of customers by the module's rule: customer, x1 … x6, sales."""
    rng = np.random.default_rng(seed)
    m, directions = rng.normal(size=INPUTS), rng.normal(size=(INPUTS, SHARED_DIRECTIONS))
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["customer", *(f"x{i + 1}" for i in range(INPUTS)), "sales"])
        for number in range(customers):
            if structure == "independent":
                w = rng.normal(size=INPUTS)
            elif structure == "identical":
                w = m
            else:
                w = m + directions @ rng.normal(size=SHARED_DIRECTIONS)
            x = rng.normal(size=(ROWS, INPUTS))
            curve = 2 * np.sin(2 * x[:, 0]) if structure == "curved" else 0
            y = 1000 + 50 * (x @ w + curve + NOISE * rng.normal(size=ROWS))
            table.writerows(
                [f"customer {number}", *(f"{v:.6f}" for v in row), f"{sales:.4f}"]
                for row, sales in zip(x, y, strict=True)
            )


def trained(folder: Path, structure: str, steps: int) -> Path:
    """Make the table and train on it, as on the command line; give the run's folder."""
    table, run = folder / f"{structure}.csv", folder / structure
    folder.mkdir(parents=True, exist_ok=True)
    if not table.exists():
        write(table, structure)
    options = f"--task-column customer --target sales --shot {SHOT} --query {QUERY} --steps {steps}"
    words = ["train", "alpaca", "--tasks", f"table:{table}", *options.split(), "--run", str(run)]
    subprocess.run([sys.executable, "-m", "quickstudy", *words], check=True)
    return run


def measured(run: Path) -> dict[str, Result]:
    """The learner of a run and the free regressions, each on every test task of the run once."""
    saved = SavedRun.open(run)
    t = saved.settings.tasks
    tests, training = (episode_tasks(t, part, t.way, t.shot, t.query) for part in ("test", "train"))
    learners = {
        saved.settings.learner.name: saved.learner(),
        **{
            name: learner.settle(training, key=jax.random.key(0))
            for name, learner in free_opponents(saved.problem).items()
        },
    }
    count = tests.protocol()["tasks"]
    return {name: evaluate(learner, tests, episodes=count) for name, learner in learners.items()}


def line(structure: str, name: str, result: Result, own: Result) -> str:
    """One line of the table: squared error, its paired difference from the run's, and calibration
    error."""
    behind = "" if result is own else paired_difference(result, own).plain()
    error = result.calibration_error
    calibration = "" if error is None else f"{error:.3f}"
    return f"| {structure} | {name} | {result.estimate().plain()} | {behind} | {calibration} |"


def run(folder: Path, steps: int = 500) -> None:
    """Train on all structures, and print the table."""
    print(
        "| customers | learner | mse | behind alpaca | calibration error |\n|---|---|---|---|---|"
    )
    for structure in STRUCTURES:
        results = measured(trained(folder, structure, steps))
        own = next(iter(results.values()))
        for name, result in results.items():
            print(line(structure, name, result, own), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
