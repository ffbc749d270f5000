"""python -m benchmarks.optimizers: meta-training of the LSTM optimiser, against plain PyTorch.

Unrolled steps a second: one is a step of one problem's minimisation, forwards and backwards. Both
sides begin with the same weights and problems and must agree on the first loss and gradient; they
are timed in turns.
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
import numpy as np
import optax

from benchmarks.timing import Spread, ratio
from quickstudy.checkpoint import write_atomically
from quickstudy.devices import cores, task_mesh
from quickstudy.metagradients import TruncatedBackpropagation, Unrolling
from quickstudy.metagradients.unrolling import key_of
from quickstudy.optimizers import CoordinatewiseLSTM
from quickstudy.runs.evidence import provenance
from quickstudy.task import Problems
from quickstudy.tasks.problems.classification import Classifiers
from quickstudy.tasks.problems.quadratics import Quadratics
from quickstudy.training.meta_batch import default_tasks_at_once, mean_gradient

RESULTS = Path("results/benchmarks/optimizers-cpu.json")

WINDOW = 20
REPETITIONS = 7
SECONDS = 1.0
"""About how long a repetition takes."""
AGREE = 1e-3

ESTIMATE = TruncatedBackpropagation(Unrolling(WINDOW, WINDOW))


def pictures() -> Classifiers:
    """MNIST's sizes, with random pixels: 15,910 coordinates."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2000, 28, 28, 1), dtype=np.uint8)
    return Classifiers(jnp.asarray(images), jnp.asarray(rng.integers(0, 10, 2000)))


def starts(learner: CoordinatewiseLSTM, problems: Problems, meta_batch: int) -> Any:
    """Where each place of the meta-batch begins."""
    keys = jax.random.split(jax.random.key(0), meta_batch)
    return jax.vmap(lambda key: ESTIMATE.start(learner, problems, key))(keys)


def first_window(learner: CoordinatewiseLSTM, problems: Problems, carried: Any):
    """Its loss and the norm of its gradient, over the meta-batch."""

    @eqx.filter_jit
    def both(learner):
        def loss(learner):
            of_each = jax.vmap(
                lambda standing: ESTIMATE.unrolling.unroll(
                    learner, problems, standing, first_order=True
                )[0]
            )(carried)
            return jnp.mean(of_each)

        value, gradient = eqx.filter_value_and_grad(loss)(learner)
        return value, optax.tree.norm(gradient)

    return tuple(map(float, both(learner)))


def ours(
    learner: CoordinatewiseLSTM, problems: Problems, carried: Any, meta_batch: int
) -> Callable[[int], Any]:
    """So many meta-steps, as `meta_train` takes them."""
    optimizer, mesh = optax.adam(1e-3), task_mesh(meta_batch)
    trained, fixed = eqx.partition(learner, eqx.is_inexact_array)
    at_once = default_tasks_at_once(problems, meta_batch)
    arrays, rest = eqx.partition(problems, eqx.is_array)

    @jax.jit
    def advance(trained, state, carried, arrays, stop):
        def body(number, carry):
            trained, state, carried = carry
            gradient, _, carried = mean_gradient(
                eqx.combine(trained, fixed),
                eqx.combine(arrays, rest),
                jax.random.fold_in(jax.random.key(1), number),
                ESTIMATE,
                meta_batch,
                at_once,
                mesh,
                carried,
                number,
            )
            updates, state = optimizer.update(gradient, state, trained)
            return optax.apply_updates(trained, updates), state, carried

        return jax.lax.fori_loop(0, stop, body, (trained, state, carried))

    start = (trained, optimizer.init(trained), carried)
    return lambda steps: jax.block_until_ready(advance(*start, arrays, jnp.asarray(steps)))


def theirs(learner: CoordinatewiseLSTM, problems: Problems, carried: Any) -> Any:
    """The peer, from the same weights on the same problems."""
    from benchmarks.peers import unrolled

    optimizer = unrolled.Optimizer(
        [(np.asarray(x.weight), np.asarray(x.bias)) for x in learner.layers],
        np.asarray(learner.weight),
        np.asarray(learner.bias),
        learner.scale,
    )
    keys = jax.random.wrap_key_data(carried.key)
    if isinstance(problems, Quadratics):
        made = jax.vmap(problems.sample)(keys)
        theta = carried.state.parameters
        of_both = unrolled.Quadratics(*(np.asarray(x) for x in (made.w, made.y, theta)))
    else:
        task = problems.sample(keys[0])
        batches = []
        for t in range(WINDOW + 1):
            key = key_of(keys[0], jnp.asarray(t))
            rows = np.asarray(jax.random.randint(key, (task.batch,), 0, len(task.labels)))
            x = np.asarray(task.images)[rows].reshape(len(rows), -1)
            batches.append((x.astype(np.float32) / 255, np.asarray(task.labels)[rows].astype(int)))
        layers = carried.state.parameters["layers"]
        order = [layer[name][0] for layer in layers for name in ("weight", "bias")]
        of_both = unrolled.Networks(batches, [np.asarray(p) for p in order])
    return unrolled.Trainer(optimizer, of_both, WINDOW)


def seconds_of(run: Callable[[int], Any], steps: int) -> float:
    """Of so many meta-steps."""
    started = time.perf_counter()
    run(steps)
    return time.perf_counter() - started


def fitting(run: Callable[[int], Any]) -> int:
    """How many meta-steps fill a repetition."""
    run(1)
    steps = 1
    while (seconds := seconds_of(run, steps)) < SECONDS / 5:
        steps *= 2
    return max(1, round(steps * SECONDS / seconds))


def measured(name: str, problems: Problems, meta_batch: int) -> dict[str, Any]:
    """Both sides' unrolled steps a second, and how many times ours is the peer's."""
    learner = CoordinatewiseLSTM(key=jax.random.key(2))
    carried = starts(learner, problems, meta_batch)
    peer = theirs(learner, problems, carried)
    mine, other = first_window(learner, problems, carried), peer.first()
    if not np.allclose(mine, other, rtol=AGREE):
        raise SystemExit(f"{name}: loss and gradient are {mine} here and {other} there")
    runs = (ours(learner, problems, carried, meta_batch), peer.run)
    counts = [fitting(run) for run in runs]
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPETITIONS):
        for run, count, seconds in zip(runs, counts, taken, strict=True):
            seconds.append(seconds_of(run, count) / count)
    unrolled = WINDOW * meta_batch
    return {
        "case": name,
        "problems": meta_batch,
        "unrolled steps a second": {
            side: vars(Spread.of([unrolled / s for s in seconds]))
            for side, seconds in zip(("ours", "PyTorch"), taken, strict=True)
        },
        "ratio": vars(ratio(taken[1], taken[0])),
    }


def main() -> int:
    """Measure and write down."""
    from benchmarks.peers import unrolled

    rows = [
        measured("quadratics of 10 dimensions", Quadratics(10), 1),
        measured("quadratics of 10 dimensions", Quadratics(10), 16),
        measured("quadratics of 10 dimensions", Quadratics(10), 128),
        measured("20 sigmoid units on MNIST's sizes", pictures(), 1),
    ]
    found = {
        "command": "python -m benchmarks.optimizers",
        **provenance(),
        "cores": cores(),
        "peer": unrolled.NAME,
        "window": WINDOW,
        "repetitions": REPETITIONS,
        "rows": rows,
    }
    write_atomically(RESULTS, json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
    for row in rows:
        mine, other = row["unrolled steps a second"].values()
        r = row["ratio"]
        print(
            f"{row['case']}, {row['problems']} at a time: {mine['median']:,.0f} unrolled steps a "
            f"second, PyTorch {other['median']:,.0f}: {r['median']:.1f} ({r['low']:.1f}–"
            f"{r['high']:.1f}) times as many"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
