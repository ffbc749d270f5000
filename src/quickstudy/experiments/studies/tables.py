"""Is a transformer that learns in context what to take on small tables? (Hollmann et al. 2023)

Real tables that it was not trained on, nor chosen by: so many rows are labelled, one of each class
at least, and the rest are told. Opponents see the same draws, so differences are taken draw by
draw. One episode is drawn: which rows the rows look at.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from quickstudy.estimate import Estimate
from quickstudy.experiments.diagrams import Map, Panel
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.learners.memory.in_context import InContext
from quickstudy.likelihood import Categorical
from quickstudy.progress import progress
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.scikit_learn import data_sets, opponents
from quickstudy.serving.table_classifier import TableClassifier
from quickstudy.settings.learners import InContextSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.task import Examples

SHIPPED = RunSettings(
    InContextSettings(),
    TaskSettings("synthetic-tables", way=10, shot=8, query=3, features=30),
    TrainingSettings(validate_every=500, validation_episodes=300),
)
"""What the weights that come with the package were trained by."""

OURS = "in context, no training"
LABELLED = (5, 10, 20, 50, 100)
DRAWS = 20
TOLD = 300
"""Rows to be told in each draw, at most."""

SHOWN, SHOWN_EACH = "wine", 10
"""The table of the picture, and its labelled rows, and rows that look at them, of each class."""


def draw(
    y: Int[np.ndarray, " n"], labelled: int, seed: int
) -> tuple[Int[np.ndarray, " labelled"], Int[np.ndarray, " told"]]:
    """The numbers of random labelled rows, one of each class at least, and of others."""
    order = np.random.default_rng(seed).permutation(len(y))
    _, first = np.unique(y[order], return_index=True)
    order = np.concatenate([order[np.sort(first)], np.delete(order, first)])
    return order[:labelled], order[labelled : labelled + TOLD]


def accuracies(
    name: str, x: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"]
) -> dict[str, dict[str, np.ndarray]]:
    """On the table `name`, by method, then by number of labelled rows: one accuracy a draw."""
    ours = TableClassifier()
    methods = {OURS: lambda x, y, others: ours.fit(x, y).predict(others), **opponents()}
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in methods}
    counts = [labelled for labelled in LABELLED if labelled >= len(np.unique(y))]
    with progress(name, len(counts) * len(methods)) as reporter:
        for labelled in counts:
            draws = [draw(y, labelled, seed) for seed in range(DRAWS)]
            for method, fitted in methods.items():
                right = [
                    np.mean(fitted(x[some], y[some], x[told]) == y[told]) for some, told in draws
                ]
                found[method][str(labelled)] = np.asarray(right)
                reporter.at(sum(map(len, found.values())), method)
    return found


def looks(x: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"]) -> Map:
    """Which labelled rows are near others in one episode, both ordered by class."""
    order = np.random.default_rng(0).permutation(len(y))
    of_class = [order[y[order] == k] for k in np.unique(y)]
    some = np.concatenate([rows[:SHOWN_EACH] for rows in of_class])
    told = np.concatenate([rows[SHOWN_EACH : 2 * SHOWN_EACH] for rows in of_class])
    learner = SavedRun.shipped("tables").learner()
    assert isinstance(learner, InContext)
    support = Examples(jnp.asarray(x[some], jnp.float32), jnp.asarray(y[some]))
    read = learner.adapt(support, Categorical(len(of_class)), key=jax.random.key(0))
    return Map(
        f"How near labelled rows are, {SHOWN}",
        "labelled row, by its class",
        "row to be told, by its class",
        np.asarray(read.attention(jnp.asarray(x[told], jnp.float32))),
        tuple(str(k) for k in y[some]),
    )


def panels(budget: Budget, trained: Trained) -> Iterator[Panel | Map]:
    """Accuracies, and differences from each opponent, for each table; and one episode."""
    tables = data_sets()
    for name, (x, y) in tables.items():
        found = accuracies(name, x, y)
        yield Panel(
            f"{name.capitalize()}: accuracy",
            "labelled rows",
            "accuracy",
            {
                method: {n: Estimate.of(right) for n, right in by_count.items()}
                for method, by_count in found.items()
            },
        )
        yield Panel(
            f"{name.capitalize()}: ahead of each opponent, draw by draw",
            "labelled rows",
            "difference in accuracy",
            {
                method: {n: Estimate.of(found[OURS][n] - right) for n, right in by_count.items()}
                for method, by_count in found.items()
                if method != OURS
            },
        )
    yield looks(*tables[SHOWN])


STUDY = Study(
    "A transformer that learns in context, on small real tables",
    "Hollmann et al. 2023",
    f"scikit-learn's tables, {DRAWS} random draws of labelled rows with one of each class at "
    f"least, tested on the rest, {TOLD} rows at most; weights as they come with the package",
    panels,
)
