"""python -m benchmarks.memory: the memory of a meta-gradient of MAML and of implicit MAML, and what
it grows with.

Nothing is run: the compiler says what it allots for a program (`quickstudy.memory.needed`), which
is what the program will take.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import PRNGKeyArray, PyTree

from benchmarks.cases import FILTERS, HIDDEN, PICTURE, Network
from benchmarks.ours import random_pictures
from quickstudy import memory
from quickstudy.checkpoint import write_atomically
from quickstudy.devices import task_mesh
from quickstudy.learners.gradient.imaml import ImplicitMAML
from quickstudy.learners.gradient.maml import MAML
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, Conv4, WithHead
from quickstudy.progress import progress
from quickstudy.runs.evidence import provenance
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.training.meta_batch import mean_gradient

RESULTS = Path("results/benchmarks/memory-cpu.json")
PICTURE_OF_IT = Path("docs/memory.png")

NETWORKS: tuple[Network, ...] = ("conv4 stride 2", "conv4 pooled", "mlp 2x40")
INNER_STEPS = (1, 10, 50, 100)
META_BATCHES = (1, 8, 32)
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """One program: the mean meta-gradient of second-order (or implicit) MAML over a meta-batch,
    5-way 1-shot with 15 queries a class, or 10-shot sinusoids with 10 queries."""

    network: Network
    inner_steps: int = 1
    rematerialise: bool = False
    implicit: bool = False
    meta_batch: int = 1
    tasks_at_once: int = 1


def cases() -> Iterator[Case]:
    """Against inner steps: values kept, re-materialised, or not needed; and against the
    meta-batch, one task at a time and all at once."""
    for network in NETWORKS:
        for steps in INNER_STEPS:
            yield Case(network, steps)
            yield Case(network, steps, rematerialise=True)
            yield Case(network, steps, implicit=True)
    for meta_batch in META_BATCHES[1:]:
        yield Case("conv4 stride 2", meta_batch=meta_batch)
        yield Case("conv4 stride 2", meta_batch=meta_batch, tasks_at_once=meta_batch)


def needed(case: Case) -> int:
    """Bytes, beyond the parameters and the data."""
    key = jax.random.key(0)
    if case.network == "mlp 2x40":
        tasks, body, outputs = Sinusoid(10, 10), MLP((1,), hidden=HIDDEN, key=key), 1
    else:
        stride = 2 if case.network == "conv4 stride 2" else 1
        tasks = FewShot(random_pictures(), 5, 1, 15)
        body, outputs = Conv4(PICTURE, filters=FILTERS, stride=stride, key=key), 5
    network, optimizer = WithHead(body, outputs, key=key), optax.sgd(0.01)
    if case.implicit:
        learner = ImplicitMAML(network, optimizer, train_steps=case.inner_steps)
    else:
        learner = MAML(
            network,
            optimizer,
            train_steps=case.inner_steps,
            rematerialise=case.rematerialise,
        )
    arrays, rest = eqx.partition((learner, tasks), eqx.is_array)
    mesh = task_mesh(case.meta_batch)

    def step(arrays: PyTree, key: PRNGKeyArray) -> PyTree:
        learner, tasks = eqx.combine(arrays, rest)
        gradient, _, _ = mean_gradient(
            learner, tasks, key, Backpropagation(), case.meta_batch, case.tasks_at_once, mesh
        )
        return eqx.filter(gradient, eqx.is_inexact_array)

    return memory.needed(jax.jit(step).lower(arrays, key).compile())


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Memory against inner steps, and against the meta-batch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    by_steps, by_batch = figure.subplots(1, 2)
    for i, network in enumerate(NETWORKS):
        for words, remat, implicit, style in (
            ("", False, False, "o-"),
            (", re-materialised", True, False, "s--"),
            (", implicit", False, True, "^:"),
        ):
            wanted = (network, remat, implicit, 1)
            chosen = [
                row
                for row in rows
                if (row["network"], row["rematerialise"], row["implicit"], row["meta_batch"])
                == wanted
            ]
            by_steps.loglog(
                [row["inner_steps"] for row in chosen],
                [row["bytes"] / MIB for row in chosen],
                style,
                color=f"C{i}",
                label=network + words,
            )
    by_steps.set(xlabel="inner steps", ylabel="memory of one task's meta-gradient, MiB")
    by_steps.legend(fontsize=7)
    for at_once, style in (("one task at a time", "o-"), ("all tasks at once", "s--")):
        chosen = [
            row
            for row in rows
            if (row["network"], row["inner_steps"], row["rematerialise"], row["implicit"])
            == ("conv4 stride 2", 1, False, False)
            and (
                row["tasks_at_once"]
                == (1 if at_once == "one task at a time" else row["meta_batch"])
            )
        ]
        by_batch.loglog(
            [row["meta_batch"] for row in chosen],
            [row["bytes"] / MIB for row in chosen],
            style,
            label=at_once,
        )
    by_batch.set(xlabel="tasks in a meta-batch, conv4 stride 2", ylabel="memory, MiB")
    by_batch.legend(fontsize=7)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> int:
    """Measure, write down, draw."""
    chosen = list(cases())
    rows = []
    with progress("compiling", len(chosen)) as reporter:
        for i, case in enumerate(chosen):
            rows.append({**asdict(case), "bytes": needed(case)})
            reporter.at(i + 1)
    found = {"command": "python -m benchmarks.memory", **provenance(), "cases": rows}
    write_atomically(RESULTS, json.dumps(found, indent=2).encode() + b"\n")
    draw(rows, PICTURE_OF_IT)
    for row in rows:
        kept = "re-materialised" if row["rematerialise"] else "kept"
        kept = "implicit" if row["implicit"] else kept
        tasks = f"{row['tasks_at_once']:3} of {row['meta_batch']:3} tasks"
        size = f"{row['bytes'] / MIB:9.1f} MiB"
        print(f"{row['network']:15} {row['inner_steps']:4} steps  {kept:15} {tasks}  {size}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
