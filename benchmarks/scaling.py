"""python -m benchmarks.scaling: a meta-step on many devices, measured as far as this machine goes,
and on paper beyond it.

Measured: `quickstudy train maml` with conv4-stride on one device that has one core, and on two
that have two, in one process and in two; and the mean of the gradients over two processes alone. On
paper: n devices that each compute for T seconds and then average their gradients of B bytes around
a ring, over links of bandwidth β and latency λ, with nothing going on at the same time,

    t(n) = 2 (n - 1) / n · B / β + 2 (n - 1) λ,        efficiency = T / (T + t(n)).
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from benchmarks.cases import FILTERS, MAMLStep
from benchmarks.operations import layers_of
from benchmarks.page import PAGE, amount, insert, percent
from quickstudy.checkpoint import write_atomically
from quickstudy.devices import AXIS, join, replicate, task_mesh
from quickstudy.progress import progress
from quickstudy.runs.evidence import provenance

RESULTS = Path("results/benchmarks/scaling-cpu.json")
PICTURE_OF_IT = Path("docs/scaling.png")
TASKS = 8
"""On each device in weak scaling, and altogether in strong scaling."""
STEPS = 12
FIRST = 3
"""Steps that do not count."""
META_BATCH = 32
"""Of the papers: what strong scaling shares out on paper."""
DEVICES = (8, 64, 512)
TRAIN = ["train", "maml", "--network", "conv4-stride", "--validation-episodes", "2"]
ALL_REDUCES = 50


@dataclass(frozen=True)
class Link:
    """What devices are joined by. Figures of others, not measured here."""

    name: str
    bytes_per_second: float
    """In one direction."""
    latency: float
    """Seconds from one device to the next."""


LINKS = (
    Link("NVLink, 450 GB/s, 2 µs", 450e9, 2e-6),
    Link("100 Gb/s Ethernet, 10 µs", 12.5e9, 10e-6),
    Link("25 Gb/s Ethernet, 30 µs", 3.125e9, 30e-6),
)
FASTER = (1, 100)
"""How many times faster than this processor a device is taken to be."""


def step_seconds(meta_batch: int, where: Sequence[str], cores: int) -> float:
    """The median step of a short training that has so many cores."""
    own = sorted(os.sched_getaffinity(0))[:cores]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = [*TRAIN, "--meta-batch", str(meta_batch), "--steps", str(STEPS), *where]
        subprocess.run(
            [sys.executable, "-m", "quickstudy", *words, "--run", str(run)],
            preexec_fn=lambda: os.sched_setaffinity(0, own),
            check=True,
            capture_output=True,
        )
        rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        return float(np.median([row["seconds"] for row in rows if row.get("seconds")][FIRST:]))


def all_reduce(port: str, index: str) -> None:
    """In one of two processes: seconds to average the gradients, printed."""
    join(f"localhost:{port}", 2, int(index))
    mesh = task_mesh(2)
    gradient = replicate(jnp.ones(parameters()), mesh)
    everywhere = PartitionSpec()
    mean = jax.jit(
        jax.shard_map(
            lambda g: jax.lax.pmean(g, AXIS),
            mesh=mesh,
            in_specs=everywhere,
            out_specs=everywhere,
            check_vma=False,
        )
    )
    seconds = []
    for _ in range(ALL_REDUCES):
        began = time.perf_counter()
        jax.block_until_ready(mean(gradient))
        seconds.append(time.perf_counter() - began)
    print(float(np.median(seconds)))


def measured_all_reduce() -> float:
    """Seconds of `all_reduce` in two processes of this machine."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.scaling", "all-reduce", str(port)]
    children = [
        subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True) for i in range(2)
    ]
    return max(float(child.communicate()[0].split()[-1]) for child in children)


def parameters() -> int:
    """Numbers in the gradient: weights, and two for each channel that is normalised, and biases."""
    case = MAMLStep("conv4 stride 2")
    return sum(layer.weights for layer in layers_of(case)) + 4 * 2 * FILTERS + case.way


def on_paper(link: Link, devices: int, size: int) -> float:
    """Seconds of a ring's all-reduce of `size` bytes.

    >>> on_paper(Link("", 1e9, 0.0), 2, 10**9)
    1.0
    """
    around = 2 * (devices - 1)
    return around / devices * size / link.bytes_per_second + around * link.latency


def efficiency(seconds: float, link: Link, devices: int) -> float:
    """Of weak scaling: the share of a step that is not spent waiting."""
    return seconds / (seconds + on_paper(link, devices, 4 * parameters()))


def speed_up(task_seconds: float, link: Link, devices: int) -> float:
    """Of strong scaling, over one device, with `META_BATCH` tasks in all."""
    mine = task_seconds * -(-META_BATCH // devices)
    return task_seconds * META_BATCH / (mine + on_paper(link, devices, 4 * parameters()))


def draw(found: dict[str, Any], path: Path) -> None:
    """Efficiency of weak scaling, and speed-up of strong scaling, on paper; what was measured
    as points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    weak, strong = figure.subplots(1, 2)
    seconds = found["step seconds"]
    alone = seconds["1 device"]
    counts = 2 ** np.arange(0, 10)
    for faster, style in zip(FASTER, ("-", "--"), strict=True):
        for i, link in enumerate(LINKS):
            label = f"{link.name}{'' if faster == 1 else f', {faster} times faster devices'}"
            step = alone / faster
            weak.semilogx(
                counts,
                [efficiency(step, link, int(n)) for n in counts],
                style,
                color=f"C{i}",
                label=label,
            )
            few = counts[counts <= META_BATCH]
            strong.loglog(
                few, [speed_up(step / TASKS, link, int(n)) for n in few], style, color=f"C{i}"
            )
    strong.axvline(META_BATCH, color="grey", linestyle=":")
    for where, marker in (("2 devices", "o"), ("2 processes", "s")):
        weak.plot(2, alone / seconds[f"{where}, weak"], f"k{marker}", label=f"{where}, measured")
        strong.plot(2, alone / seconds[f"{where}, strong"], f"k{marker}")
    weak.set(xlabel=f"devices, {TASKS} tasks each", ylabel="efficiency", ylim=(0, 1.05))
    strong.set(xlabel=f"devices, {META_BATCH} tasks in all", ylabel="times as fast as one")
    figure.legend(fontsize=7, loc="outside lower center", ncols=3)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


def markdown(found: dict[str, Any]) -> str:
    """What was measured, and the efficiencies on paper."""
    seconds = found["step seconds"]
    alone = seconds["1 device"]
    lines = [
        "| measured here | a step | efficiency |",
        "|---|---:|---:|",
        f"| 1 device, {TASKS} tasks | {amount(alone)} | |",
    ]
    for where in ("2 devices", "2 processes"):
        weak, strong = (seconds[f"{where}, {kind}"] for kind in ("weak", "strong"))
        lines += [
            f"| {where}, {TASKS} tasks each | {amount(weak)} | {percent(alone / weak)} |",
            f"| {where}, {TASKS // 2} tasks each | {amount(strong)} | "
            f"{percent(alone / 2 / strong)} |",
        ]
    lines += [
        "",
        "| on paper: efficiency with "
        + f"{TASKS} tasks a device | "
        + " | ".join(f"{n} devices" for n in DEVICES)
        + " |",
        "|---" + "|---:" * len(DEVICES) + "|",
    ]
    for faster in FASTER:
        for link in LINKS:
            cells = (percent(efficiency(alone / faster, link, n)) for n in DEVICES)
            device = "devices as here" if faster == 1 else f"devices {faster} times faster"
            lines.append(f"| {link.name}, {device} | " + " | ".join(cells) + " |")
    machine = found["machine"]
    return "\n".join(
        [
            f"![Scaling, measured and on paper]({PICTURE_OF_IT.name})",
            "",
            *lines,
            "",
            f"The gradient has {parameters():,} numbers, {4 * parameters() / 1e3:.0f} kB; "
            f"averaging it over two processes here takes {amount(found['all-reduce seconds'])}. "
            f"`{found['command']}` · commit {found['commit']} · {machine['processor']}, "
            f"{machine['cores']} cores, load {found['load']:.1f} when it began · "
            f"jax {found['versions']['jax']}.",
        ]
    )


def main() -> int:
    """Measure, write down, draw, render."""
    if sys.argv[1:2] == ["all-reduce"]:
        all_reduce(*sys.argv[2:])
        return 0
    ways = {
        "1 device": (TASKS, ()),
        "2 devices, weak": (2 * TASKS, ("--devices", "2")),
        "2 devices, strong": (TASKS, ("--devices", "2")),
        "2 processes, weak": (2 * TASKS, ("--processes", "2")),
        "2 processes, strong": (TASKS, ("--processes", "2")),
    }
    load = os.getloadavg()[0]
    seconds = {}
    with progress("scaling", len(ways)) as reporter:
        for i, (name, (meta_batch, where)) in enumerate(ways.items()):
            seconds[name] = step_seconds(meta_batch, where, 1 if i == 0 else 2)
            reporter.at(i + 1, name)
    found = {
        "command": "python -m benchmarks.scaling",
        **provenance(),
        "load": load,
        "step seconds": seconds,
        "all-reduce seconds": measured_all_reduce(),
        "assumed links": [asdict(link) for link in LINKS],
    }
    write_atomically(RESULTS, json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
    draw(found, PICTURE_OF_IT)
    insert(markdown(found), PAGE, "scaling")
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
