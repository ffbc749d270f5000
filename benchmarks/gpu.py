"""python -m benchmarks.gpu: everything that one wants to know about a GPU, within ten minutes.

The cases of the suite on the GPU, beside peers on the same one, in three arithmetics; how much of
its matrix products and its bandwidth they reach; memory against inner steps and tasks; and how
long one waits for the first step. What matters most comes first, and nothing is begun that would
not end in time; what has been measured is written down as it goes.
"""

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import tyro

from benchmarks.cases import SINUSOID, Arithmetic, Case, MAMLStep, Network, ProtoNetStep
from quickstudy.errors import UserError

RESULTS = Path("results/benchmarks/speed-gpu.json")
ARITHMETICS: tuple[Arithmetic, ...] = ("float32", "tensorfloat32", "bfloat16")
NETWORKS: tuple[Network, ...] = ("conv4 stride 2", "conv4 pooled")
PEERS = ("PyTorch", "torch.func", "easyfsl", "higher")
MEMORY = ((1, 1), (1, 8), (1, 32), (5, 8), (10, 8), (50, 1))
"""Inner steps and tasks, all at once, of which the memory is asked."""
REPETITIONS = 3
SECONDS_OF_A_START = 60.0


@dataclass(frozen=True)
class Options:
    """How fast quickstudy is on this GPU: results/benchmarks/speed-gpu.json, and the table in
    docs/performance.md."""

    minutes: float = 9.0
    """When to stop."""
    smoke: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A few tiny cases on whatever device there is, to see that all of it works; nothing is
    written down."""


def cases() -> Iterator[Case]:
    """By importance."""

    def maml(network: Network, arithmetic: Arithmetic, first_order: bool, steps: int) -> Case:
        return MAMLStep(network, first_order, steps, tasks=32, arithmetic=arithmetic)

    for arithmetic in ("tensorfloat32", "bfloat16", "float32"):
        for network in NETWORKS:
            yield maml(network, arithmetic, False, 1)
        yield ProtoNetStep(arithmetic=arithmetic)
        if arithmetic == "tensorfloat32":
            yield SINUSOID
            for first_order, steps in ((False, 5), (True, 1), (True, 5)):
                for network in NETWORKS:
                    yield maml(network, arithmetic, first_order, steps)
        else:
            for network in NETWORKS:
                yield maml(network, arithmetic, False, 5)


def tiny_cases() -> Iterator[Case]:
    """Each kind of case, and each arithmetic."""
    for arithmetic in ARITHMETICS:
        yield MAMLStep("mlp 2x40", way=1, shot=2, query=2, tasks=2, arithmetic=arithmetic)
    yield MAMLStep("conv4 stride 2", way=2, query=1, tasks=2, arithmetic="bfloat16")
    yield ProtoNetStep(way=3, query=1, arithmetic="bfloat16")


class Budget:
    """Time that is left, and what things have taken."""

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds

    def allows(self, seconds: float) -> bool:
        """Whether something that takes so long would end in time."""
        return time.monotonic() + seconds <= self.end


def memory(steps: int, tasks: int, peers: Mapping[str, ModuleType]) -> dict[str, Any]:
    """Bytes of a meta-step of ours, as the compiler allots them, and of PyTorch's, as it counted
    them; on conv4 stride 2, second order."""
    from benchmarks import ours

    mine, problem = ours.contender(case := MAMLStep("conv4 stride 2", False, steps, tasks=tasks))
    assert isinstance(mine, ours.TrainingSteps)
    row = {"inner_steps": steps, "tasks": tasks, "bytes": mine.bytes_needed}
    if "PyTorch" in peers:
        row["PyTorch's bytes"] = peers["PyTorch"].peak_bytes(case, problem)
    return row


def run(options: Options) -> int:
    """The command; 1 where a peer did not agree with us."""
    import jax

    from benchmarks import machine, page, startup, suite
    from quickstudy.progress import progress

    if not (options.smoke or machine.on_gpu()):
        raise UserError('there is no GPU that JAX knows of: pip install "jax[cuda13]", or --smoke')
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are reported
    budget = Budget(60 * options.minutes)
    peers, missing = suite.load_peers()
    peers = {name: peer for name, peer in peers.items() if name in PEERS}
    limits, evidence = suite.evidence(peers, ARITHMETICS)
    chosen = list(tiny_cases() if options.smoke else cases())
    sizes = ((1, 1),) if options.smoke else MEMORY
    found: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]]),
        **evidence,
        "repetitions": 1 if options.smoke else REPETITIONS,
        "missing": missing,
        "cases": [],
        "starts": {},
        "memory": [],
        "no time for": [],
    }

    def write() -> None:
        if not options.smoke:
            from quickstudy.checkpoint import write_atomically

            text = json.dumps(found, indent=2, ensure_ascii=False)
            write_atomically(RESULTS, text.encode() + b"\n")

    longest = 0.0
    with progress("benchmarks", len(chosen)) as reporter:
        for i, case in enumerate(chosen):
            reporter.at(i, case.name)
            if not budget.allows(longest):
                found["no time for"].append(case.name)
                continue
            began = time.monotonic()
            found["cases"].append(suite.measure(case, peers, found["repetitions"], limits))
            longest = max(longest, time.monotonic() - began)
            write()
        reporter.at(len(chosen))
    for steps, tasks in sizes:
        if budget.allows(longest):
            found["memory"].append(memory(steps, tasks, peers))
            write()
    for name, words in list(startup.TRAININGS.items())[-1 if options.smoke else 0 :]:
        if budget.allows(2 * SECONDS_OF_A_START):
            with tempfile.TemporaryDirectory() as cache:
                cold, warm = (startup.start(words, Path(cache)) for _ in range(2))
            found["starts"][name] = {"cold": asdict(cold), "warm": asdict(warm)}
            write()
    page.print_table(found)
    print(json.dumps({x: found[x] for x in ("starts", "memory", "no time for")}, indent=1))
    if not options.smoke:
        page.insert(page.markdown(found), page.PAGE, "gpu")
    disagreed = [x["case"] for x in found["cases"] if x["disagreed"]]
    if disagreed:
        print(f"not the same arithmetic: {'; '.join(disagreed)}", file=sys.stderr)
    return 1 if disagreed else 0


def main() -> int:
    """The exit status; 2 after one line about what the user can put right."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the compiler keeps to itself
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave the peers some memory
    try:
        return run(tyro.cli(Options, prog="python -m benchmarks.gpu"))
    except UserError as error:
        print(f"benchmarks: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
