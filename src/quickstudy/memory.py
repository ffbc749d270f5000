"""How much memory a compiled program needs, and whether it is there: asked before it runs, so that
the answer is a sentence and not the kernel's killer.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import jax
from jaxtyping import PyTree

from quickstudy.errors import UserError
from quickstudy.files import in_bytes

CGROUP = Path("/sys/fs/cgroup")


def needed(program: jax.stages.Compiled) -> int:
    """Bytes that the program takes on each device while it runs, beyond its arguments: results
    and everything on the way to them. 0 where the backend does not tell."""
    analysis = program.memory_analysis()
    if analysis is None:
        return 0
    return analysis.temp_size_in_bytes + analysis.output_size_in_bytes


def available() -> int | None:
    """Bytes that are free on a device of this process; None where nobody tells. For a processor:
    what the system has left, or the limit of the control group allows."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        found = device.memory_stats() or {}
        limit = found.get("bytes_limit")
        return None if limit is None else limit - found.get("bytes_in_use", 0)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return None
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no control groups, or the limit is the word "max"
        return free
    return min(free, limit - used)


@contextlib.contextmanager
def named(options: str) -> Iterator[None]:
    """Raise `UserError` that names the `options` to make smaller where memory runs out within.

    >>> with named("--way, --shot and --query"):
    ...     raise MemoryError
    Traceback (most recent call last):
    quickstudy.errors.UserError: there is not enough memory: take smaller numbers for --way, ...
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise _too_large(options, str(error)) from error


def require_room(arrays: PyTree, options: str) -> None:
    """Raise `UserError` that names the `options` to make smaller where arrays of these shapes alone
    fill the free memory. Nothing is computed."""
    leaves = (x for x in jax.tree.leaves(arrays) if hasattr(x, "dtype"))
    wants, there = sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves), available()
    if there is not None and wants > there:
        what = f"at least {in_bytes(wants)} are needed and {in_bytes(there)} are free"
        raise _too_large(options, what)


def _too_large(options: str, why: str) -> UserError:
    return UserError(f"there is not enough memory: take smaller numbers for {options} ({why})")


def require(program: jax.stages.Compiled, devices: int) -> None:
    """Raise `UserError` where the program cannot fit. The devices of one processor, of which it
    runs on `devices`, share its memory."""
    sharing = devices if jax.default_backend() == "cpu" else 1
    wants, there = needed(program) * sharing, available()
    if there is not None and wants > there:
        raise UserError(
            f"training needs {in_bytes(wants)} of memory and {in_bytes(there)} are free: "
            "take fewer tasks at once (--tasks-at-once 1), fewer queries in training "
            "(--train-query), fewer inner steps or, for a gradient-based learner, --rematerialise"
        )
