"""python -m benchmarks.mapped: training on more pictures than memory holds.

200,000 pictures of 84 × 84 × 3 are written to a file of 4.2 GB, and a prototypical network trains
on them in a child process that may allot no more than `CAP` bytes of its own (RLIMIT_DATA: pages
of the file do not count, so how many of those are cached afterwards is measured as well). Before
each run the file is dropped from the system's cache. Contenders take turns: pictures in memory, a
fortieth of the classes, without the cap; the file, fetched ahead; the file without the feeder.
"""

import argparse
import ctypes
import json
import mmap
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

CAP = 1 << 30
CLASSES, EACH, SHAPE = 400, 500, (84, 84, 3)
CLASSES_IN_MEMORY = 10
CONTENDERS = ("in memory", "file, fetched ahead", "file, not fetched ahead")
RESULTS = Path("results/benchmarks/mapped-cpu.json")


def pictures(total: int) -> Iterator[np.ndarray]:
    """Random bytes."""
    random = np.random.default_rng(0)
    for _ in range(total):
        yield random.integers(0, 256, SHAPE, dtype=np.uint8)


def cached(path: Path) -> int:
    """Bytes of a file that the system keeps in memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = path.stat().st_size
    pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    x = np.memmap(path, np.uint8, "r")
    places = pages.ctypes.data_as(ctypes.c_char_p)
    if libc.mincore(ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(size), places):
        raise OSError(ctypes.get_errno(), "mincore")
    return int(np.sum(pages & 1)) * mmap.PAGESIZE


def drop(path: Path) -> None:
    """Out of the system's cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def no_feeder(tasks: Any, key_of: Any) -> Iterator[Any]:
    """In the place of `read_ahead`."""
    yield lambda now, stop: None


def train(folder: Path, contender: str, steps: int) -> dict[str, float]:
    """Steps per second, and memory, of a training in this process."""
    if contender != "in memory":
        resource.setrlimit(resource.RLIMIT_DATA, (CAP, CAP))
    import jax
    import optax

    from quickstudy.data.real import source_of
    from quickstudy.datasets import packed
    from quickstudy.learners.metric.protonet import ProtoNet
    from quickstudy.networks import Conv4
    from quickstudy.tasks.few_shot import FewShot
    from quickstudy.training import loop, meta_train

    data = packed.load(folder)
    if contender == "in memory":
        part = data.select(range(CLASSES_IN_MEMORY))
        data = type(data)(np.array(part.x[: part.count.sum()]), part.first, part.count, part.names)
    if contender == "file, not fetched ahead":
        loop.read_ahead = no_feeder
    drop(folder / packed.PICTURES)
    read = Path("/proc/self/io")
    tasks = FewShot(source_of(data, {"data": "random bytes"}), 5, 1, 5)
    network = Conv4(SHAPE, filters=32, key=jax.random.key(0))
    with tempfile.TemporaryDirectory() as run:
        options = {"steps": steps, "meta_batch": 2, "folder": Path(run)}
        before = _bytes_read(read)
        meta_train(ProtoNet(network), tasks, optax.adam(1e-3), **options)
        rows = map(json.loads, (Path(run) / "metrics.jsonl").read_text().splitlines())
        seconds = [row["seconds"] for row in rows if "seconds" in row]
    status = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024
    return {
        "seconds_per_step": float(np.mean(seconds)),
        "own_memory": own,
        "read_from_disk": _bytes_read(read) - before,
        "file_cached_afterwards": cached(folder / packed.PICTURES),
    }


def _bytes_read(io: Path) -> int:
    return int(dict(x.split(": ") for x in io.read_text().splitlines())["read_bytes"])


def measure(folder: Path, steps: int, repetitions: int) -> dict[str, list[dict[str, float]]]:
    """Each contender's repetitions, in turns, each in a process of its own."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(repetitions):
        for name in CONTENDERS:
            words = ["--train", name, "--folder", str(folder), "--steps", str(steps)]
            child = subprocess.run(
                [sys.executable, "-m", "benchmarks.mapped", *words],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[name].append(json.loads(child.stdout.splitlines()[-1]))
            print(f"{name}: {found[name][-1]}", flush=True)
    return found


def main() -> int:
    """Write the file, measure, write down, take the file away."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mapped", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where there are 4.2 GB for the pictures")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--train", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(json.dumps(train(options.folder, options.train, options.steps)))
        return 0
    from benchmarks.timing import Spread, ratio
    from quickstudy.checkpoint import write_atomically
    from quickstudy.datasets import packed
    from quickstudy.runs.evidence import provenance

    evidence, load = provenance(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary) / "packed"
        count = {f"class {c}": EACH for c in range(CLASSES)}
        packed.write(folder, pictures(CLASSES * EACH), count, SHAPE, show_progress=True)
        size = (folder / packed.PICTURES).stat().st_size
        found = measure(folder, options.steps, options.repetitions)
    seconds = {name: [x["seconds_per_step"] for x in runs] for name, runs in found.items()}
    in_memory = seconds["in memory"]
    shares = {name: vars(ratio(in_memory, seconds[name])) for name in CONTENDERS[1:]}
    written = {
        "command": "python -m benchmarks.mapped",
        **evidence,
        "load_of_the_machine": load,
        "file": size,
        "cap": CAP,
        "cap_is": "RLIMIT_DATA of the training process; pages of the file do not count",
        "training": "ProtoNet, conv4 with 32 filters, 5-way 1-shot, 5 queries, 2 tasks a step",
        "steps": options.steps,
        "seconds_per_step": {name: vars(Spread.of(seconds[name])) for name in CONTENDERS},
        "share_of_the_speed_in_memory": shares,
        "runs": found,
    }
    write_atomically(RESULTS, json.dumps(written, indent=2).encode() + b"\n")
    for name, share in shares.items():
        low, high = share["low"], share["high"]
        print(f"{name}: {share['median']:.2f} ({low:.2f}–{high:.2f}) of the speed in memory")
    return 0


if __name__ == "__main__":
    sys.exit(main())
