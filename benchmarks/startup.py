"""python -m benchmarks.startup: how long one waits, from the command to the first step.

Each command runs in a process of its own, first with the compiler's cache empty and then with
what that has left there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.page import PAGE, insert
from quickstudy.checkpoint import write_atomically
from quickstudy.progress import progress
from quickstudy.runs.evidence import provenance

RESULTS = Path("results/benchmarks/startup-cpu.json")
HELP = ["--help"]
TRAININGS = {
    "protonet, conv4": ["protonet"],
    "maml, conv4-stride": ["maml", "--network", "conv4-stride", "--meta-batch", "8"],
    "maml, sinusoid": ["maml", "--tasks", "sinusoid"],
}
SHORT = ["--steps", "1", "--validation-episodes", "2"]
COMMAND = [sys.executable, "-m", "quickstudy"]
LOOK_EVERY = 0.02


@dataclass(frozen=True)
class Start:
    """Seconds since the command was given."""

    first_step: float
    """Until the figures of the first step are written."""
    compiling: float
    """Of those, what the program of training took to compile or to be found in the cache."""
    whole: float
    """Until the run has ended: settled, validated, saved."""


def start(words: list[str], cache: Path) -> Start:
    """Train one step with the compiler's cache in the folder `cache`."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
    }
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        metrics = run / "metrics.jsonl"
        began = time.perf_counter()
        child = subprocess.Popen(
            [*COMMAND, "train", *words, *SHORT, "--run", str(run)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        first_step = None
        while child.poll() is None:
            if first_step is None and metrics.exists() and '"loss"' in metrics.read_text():
                first_step = time.perf_counter() - began
            time.sleep(LOOK_EVERY)
        whole = time.perf_counter() - began
        if child.returncode != 0:
            raise subprocess.CalledProcessError(child.returncode, child.args)
        rows = map(json.loads, metrics.read_text().splitlines())
        compiling = next(row["seconds compiling"] for row in rows if "seconds compiling" in row)
        return Start(first_step or whole, compiling, whole)


def seconds_of_help(repetitions: int = 5) -> list[float]:
    """Of `quickstudy --help`."""
    found = []
    for _ in range(repetitions):
        began = time.perf_counter()
        subprocess.run([*COMMAND, *HELP], check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - began)
    return found


def markdown(found: dict[str, Any]) -> str:
    """The table, with what it was measured on."""
    heads = ("first step, cold", "compiling", "first step, warm", "whole command, warm")
    lines = [f"| `quickstudy train` | {' | '.join(heads)} |", "|---" + "|---:" * len(heads) + "|"]
    for name, ways in found["trainings"].items():
        cold, warm = ways["cold"], ways["warm"]
        cells = (cold["first_step"], cold["compiling"], warm["first_step"], warm["whole"])
        lines.append(f"| {name} | " + " | ".join(f"{x:.1f} s" for x in cells) + " |")
    machine = found["machine"]
    return "\n".join(
        [
            *lines,
            "",
            f"`quickstudy --help` answers in {min(found['help']):.2f} s. `{found['command']}` · "
            f"commit {found['commit']} · {machine['processor']}, {machine['cores']} cores, "
            f"load {found['load']:.1f} when it began · "
            f"jax {found['versions']['jax']}.",
        ]
    )


def main() -> int:
    """Measure, write down, render."""
    load, trainings = os.getloadavg()[0], {}
    with progress("starting", len(TRAININGS)) as reporter:
        for i, (name, words) in enumerate(TRAININGS.items()):
            with tempfile.TemporaryDirectory() as cache:
                cold, warm = (start(words, Path(cache)) for _ in range(2))
            trainings[name] = {"words": words, "cold": vars(cold), "warm": vars(warm)}
            reporter.at(i + 1, name)
    found = {
        "command": "python -m benchmarks.startup",
        **provenance(),
        "load": load,
        "help": seconds_of_help(),
        "trainings": trainings,
    }
    write_atomically(RESULTS, json.dumps(found, indent=2).encode() + b"\n")
    insert(markdown(found), PAGE, "startup")
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
