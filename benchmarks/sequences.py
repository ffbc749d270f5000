"""python -m benchmarks.sequences: training of a memory-augmented network, against plain PyTorch.

A step is a batch of 16 sequences of 50 examples, forwards and backwards, and one of Adam. Both
sides begin with the same weights, train on the same random batch, and must agree on the first loss
and gradient; they are timed in turns.
"""

import json
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.contender import Contender
from benchmarks.timing import Spread, in_turns, ratio
from quickstudy.checkpoint import write_atomically
from quickstudy.devices import cores
from quickstudy.learners.memory.mann import MANN, LeastRecentlyUsed
from quickstudy.learners.memory.recurrent import LSTM
from quickstudy.likelihood import Categorical
from quickstudy.runs.evidence import provenance
from quickstudy.task import Examples

RESULTS = Path("results/benchmarks/sequences-cpu.json")

BATCH, LENGTH, PIXELS, CLASSES, HIDDEN = 16, 50, 400, 5, 200
REPETITIONS = 9
AGREE = 1e-3


def network() -> MANN:
    """Of the paper's size."""
    for_controller, for_access, for_head = jax.random.split(jax.random.key(0), 3)
    access = LeastRecentlyUsed(HIDDEN, key=for_access)
    read = access.heads * access.width
    controller = LSTM(PIXELS + CLASSES, read, HIDDEN, key=for_controller)
    return MANN(controller, access, CLASSES, key=for_head)


class Ours:
    """Steps as `meta_train` takes them, on one batch."""

    def __init__(self, learner: MANN, x: np.ndarray, y: np.ndarray):
        self.trained, self.fixed = eqx.partition(learner, eqx.is_inexact_array)
        self.batch = jnp.asarray(x), jnp.asarray(y)
        optimizer = optax.adam(1e-3)
        self.state = optimizer.init(self.trained)

        def loss(trained: Any, x: jax.Array, y: jax.Array):
            learner, likelihood = eqx.combine(trained, self.fixed), Categorical(CLASSES)

            def of_one(x: jax.Array, y: jax.Array):
                key = jax.random.key(0)
                logits = learner.in_turn(Examples(x, y), likelihood, key=key)
                return likelihood.mean_loss(logits, y)

            return jnp.mean(jax.vmap(of_one)(x, y))

        self.value_and_gradient = jax.jit(jax.value_and_grad(loss))

        @jax.jit
        def advance(trained: Any, state: Any, steps: jax.Array, x: jax.Array, y: jax.Array):
            def one(_, carry):
                trained, state = carry
                gradient = jax.grad(loss)(trained, x, y)
                updates, state = optimizer.update(gradient, state, trained)
                return optax.apply_updates(trained, updates), state

            return jax.lax.fori_loop(0, steps, one, (trained, state))

        self.advance = advance

    def figures(self) -> dict[str, float]:
        loss, gradient = self.value_and_gradient(self.trained, *self.batch)
        return {"loss": float(loss), "norm of the gradient": float(optax.tree.norm(gradient))}

    def run(self, steps: int) -> None:
        done = self.advance(self.trained, self.state, jnp.asarray(steps), *self.batch)
        self.trained, self.state = jax.block_until_ready(done)


def main() -> int:
    """Measure and write down."""
    from benchmarks.peers import mann as peer

    rng = np.random.default_rng(0)
    x = rng.random((BATCH, LENGTH, PIXELS), np.float32)
    y = rng.integers(0, CLASSES, (BATCH, LENGTH))
    learner = network()
    access, controller = learner.access, learner.controller
    assert isinstance(access, LeastRecentlyUsed)
    assert isinstance(controller, LSTM)
    layers = {
        "inputs": controller.inputs,
        "recurrent": controller.recurrent,
        "interface": access.interface,
        "head": learner.head,
    }
    given = {
        name: (np.asarray(layer.weight).T, np.asarray(layer.bias)) for name, layer in layers.items()
    }
    contenders: dict[str, Contender] = {
        "ours": Ours(learner, x, y),
        "PyTorch": peer.Trainer(peer.Network(given, vars(access)), x, y, CLASSES),
    }
    mine, other = (contender.figures() for contender in contenders.values())
    if not all(np.isclose(mine[name], other[name], rtol=AGREE) for name in mine):
        raise SystemExit(f"the first step is {mine} here and {other} there")
    failed: dict[str, Exception] = {}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in in_turns(contenders, REPETITIONS, failed):
        for name, (_, each) in turn.items():
            seconds[name].append(each)
    for name, error in failed.items():
        raise SystemExit(f"{name}: {error}")
    times = ratio(seconds["PyTorch"], seconds["ours"])
    found = {
        "command": "python -m benchmarks.sequences",
        **provenance(),
        "cores": cores(),
        "peer": peer.NAME,
        "repetitions": REPETITIONS,
        "milliseconds a step": {
            name: vars(Spread.of([1000 * s for s in each])) for name, each in seconds.items()
        },
        "ratio": vars(times),
    }
    write_atomically(RESULTS, json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
    own, others = (spread["median"] for spread in found["milliseconds a step"].values())
    print(
        f"a step of {BATCH} sequences of {LENGTH}: {own:.1f} ms, PyTorch {others:.1f} ms: "
        f"{times.median:.2f} ({times.low:.2f}–{times.high:.2f}) times as fast"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
