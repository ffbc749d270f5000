"""python -m benchmarks.seeds: five seeds trained together against one after the other.

Steps alone are timed, in turns, because other work may share the cores: what matters is the ratio.
The programs are those of `quickstudy.training`: with the seeds as a further axis, and without.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from benchmarks.cases import HIDDEN, META_LEARNING_RATE, PICTURE
from benchmarks.ours import random_pictures
from benchmarks.timing import Spread, ratio
from quickstudy.checkpoint import write_atomically
from quickstudy.devices import cores, task_mesh
from quickstudy.learner import Learner
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, Conv4, WithHead
from quickstudy.runs.evidence import provenance
from quickstudy.task import TaskDistribution
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.training.meta_batch import default_tasks_at_once, mean_gradient
from quickstudy.training.seeds import in_structure_of, stack

RESULTS = Path("results/benchmarks/seeds-cpu.json")

SEEDS = 5
REPETITIONS = 7
SMALL_FILTERS = 8

Build = Callable[[jax.Array], Learner]


def sinusoid(key: jax.Array) -> Learner:
    """Second order, one inner step."""
    return MAML(WithHead(MLP((1,), hidden=HIDDEN, key=key), 1, key=key), optax.sgd(0.02))


def protonet(key: jax.Array) -> Learner:
    """On a small conv4, pooled."""
    return ProtoNet(Conv4(PICTURE, filters=SMALL_FILTERS, key=key))


def programs(build: Build, tasks: TaskDistribution, meta_batch: int) -> tuple[Callable, Callable]:
    """So many steps of all seeds: together, and one after the other."""
    optimizer = optax.adam(META_LEARNING_RATE)
    keys = [jax.random.key(seed) for seed in range(SEEDS)]
    learners = [build(key) for key in keys]
    alike = [in_structure_of(learners[0], learner) for learner in learners]
    fixed = eqx.filter(alike[0], eqx.is_inexact_array, inverse=True)
    mesh = task_mesh(meta_batch)
    at_once = default_tasks_at_once(tasks, meta_batch)
    task_arrays, task_rest = eqx.partition(tasks, eqx.is_array)

    def step(trained, state, key, task_arrays, number):
        gradient, _, _ = mean_gradient(
            eqx.combine(trained, fixed),
            eqx.combine(task_arrays, task_rest),
            jax.random.fold_in(key, number),
            Backpropagation(),
            meta_batch,
            at_once,
            mesh,
        )
        updates, state = optimizer.update(gradient, state, trained)
        return optax.apply_updates(trained, updates), state

    def compiled(step: Callable, arguments: tuple) -> Callable:
        @jax.jit
        def advance(trained, state, key, task_arrays, stop):
            def body(number, carry):
                return step(*carry, key, task_arrays, number)

            return jax.lax.fori_loop(0, stop, body, (trained, state))

        program = advance.lower(*arguments, task_arrays, jnp.asarray(1)).compile()
        return lambda arguments, steps: program(*arguments, task_arrays, jnp.asarray(steps))

    own = [eqx.filter(learner, eqx.is_inexact_array) for learner in alike]
    each = [(x, optimizer.init(x), key) for x, key in zip(own, keys, strict=True)]
    all_of_them = stack(each)
    alone = compiled(step, each[0])
    together = compiled(jax.vmap(step, in_axes=(0, 0, 0, None, None)), all_of_them)
    return (
        lambda steps: jax.block_until_ready(together(all_of_them, steps)),
        lambda steps: jax.block_until_ready([alone(one, steps) for one in each]),
    )


def measured(
    name: str, build: Build, tasks: TaskDistribution, meta_batch: int, steps: int
) -> dict[str, Any]:
    """Seconds a step of all seeds, and how many times longer one after the other takes."""
    both = programs(build, tasks, meta_batch)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPETITIONS):
        for run, taken in zip(both, seconds, strict=True):
            started = time.perf_counter()
            run(steps)
            taken.append((time.perf_counter() - started) / steps)
    together, alone = seconds
    return {
        "case": name,
        "seeds": SEEDS,
        "steps": steps,
        "together": vars(Spread.of(together)),
        "one after the other": vars(Spread.of(alone)),
        "ratio": vars(ratio(alone, together)),
    }


def main() -> int:
    """Measure and write down."""
    pictures = FewShot(random_pictures(), 5, 1, 5)
    rows = [
        measured("MAML, mlp 2x40, sinusoids, 4 tasks", sinusoid, Sinusoid(10, 10), 4, 300),
        measured("MAML, mlp 2x40, sinusoids, 25 tasks", sinusoid, Sinusoid(10, 10), 25, 50),
        measured(f"ProtoNet, conv4 of {SMALL_FILTERS} filters", protonet, pictures, 1, 5),
    ]
    found = {
        "command": "python -m benchmarks.seeds",
        **provenance(),
        "threads": cores(),
        "repetitions": REPETITIONS,
        "cases": rows,
    }
    write_atomically(RESULTS, json.dumps(found, indent=2).encode() + b"\n")
    for row in rows:
        r = row["ratio"]
        print(f"{row['case']:40} {r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
