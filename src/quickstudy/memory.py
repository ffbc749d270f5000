"""How much memory a compiled program needs, and whether it is there: asked before it runs, so that
the answer is a sentence and not the kernel's killer.
"""

from pathlib import Path

import jax

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
