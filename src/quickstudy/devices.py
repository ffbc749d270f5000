"""Many devices, and many processes with devices of their own, working as one.

The tasks of a meta-batch are shared out over a mesh of devices with one axis, `tasks`, and
everything else is on every device. All of it is JAX's own engine: with several processes
(`jax.distributed`) the mesh spans the devices of them all, and each runs the same program.
"""

import math
import os
from contextlib import suppress
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, UInt8

from quickstudy.errors import UserError

AXIS = "tasks"
EVERYWHERE = PartitionSpec()
BY_TASK = PartitionSpec(AXIS)
MOST_DEVICES = 1024
"""Of one processor: making more would take minutes."""

Tree = TypeVar("Tree")


def task_mesh(meta_batch: int, devices: int | None = None, *, by_core: bool = False) -> Mesh:
    """A mesh of `devices` devices for `meta_batch` tasks.

    By default as many as divide the meta-batch: of all accelerators, or of all devices of all
    processes where there are several. On a CPU of all its devices if `by_core`, where a task is
    work enough for a core; else one, which its cores share.

    Raises `UserError` where `devices` is below 1, there are fewer, or they cannot share the tasks
    evenly.
    """
    if devices is not None and devices < 1:
        raise UserError(f"--devices {devices}: it must be at least 1")
    there = jax.device_count()
    several = jax.process_count() > 1
    if devices is None or several:
        wanted = there if several or by_core or jax.default_backend() != "cpu" else 1
        devices = wanted if several else math.gcd(wanted, meta_batch)
    if devices > there:
        raise UserError(f"--devices {devices}: there are {there} here")
    if meta_batch % devices:
        raise UserError(
            f"--meta-batch {meta_batch}: {devices} devices cannot share it evenly, take a multiple"
        )
    return jax.make_mesh(
        (devices,), (AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """The arrays of `tree` on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, EVERYWHERE))


def is_first_process() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return jax.process_index() == 0


def from_first_process(tree: Tree) -> Tree:
    """The arrays that the first process has, bit for bit; all have them of the same shapes and
    types. They travel as bytes: of numbers, JAX keeps 32 bits."""
    if jax.process_count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    mine = np.frombuffer(b"".join(np.asarray(leaf).tobytes() for leaf in leaves), np.uint8)
    if not mine.size:
        return tree
    sent = np.asarray(multihost_utils.broadcast_one_to_all(mine))
    ends = np.cumsum([np.asarray(leaf).nbytes for leaf in leaves])
    parts = np.split(sent, ends[:-1])
    return jax.tree.unflatten(structure, list(map(_as, parts, leaves)))


def _as(content: UInt8[np.ndarray, " bytes"], like: Any) -> Any:
    """The array with these bytes, of the shape and type of another: NumPy's or JAX's as that is."""
    array = np.asarray(like)
    array = content.copy().view(array.dtype).reshape(array.shape)
    return jnp.asarray(array) if isinstance(like, jax.Array) else array


def text_from_first_process(text: str) -> str:
    """The text that the first process has."""
    if jax.process_count() == 1:
        return text
    content = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
    length = int(from_first_process(np.asarray(len(content), np.int32)))
    room = np.zeros(length, np.int32)
    if is_first_process():
        room[:] = content
    return bytes(np.asarray(from_first_process(room)).astype(np.uint8)).decode()


def largest_of_all(*values: float) -> Float[np.ndarray, " n"]:
    """The largest that any process has of each value, in 64 bits: how processes agree about time
    passed and signals received."""
    mine = np.asarray(values, np.float64)
    if jax.process_count() == 1:
        return mine
    sent = np.asarray(multihost_utils.process_allgather(mine.view(np.uint8)))
    return np.max(sent.view(np.float64), axis=0)


def cores() -> int:
    """How many processor cores this process may run on."""
    here = getattr(os, "sched_getaffinity", None)
    return len(here(0)) if here else os.cpu_count() or 1


def join(
    coordinator: str | None = None,
    process_count: int | None = None,
    process_index: int | None = None,
    devices: int | None = None,
) -> None:
    """Before anything is computed: make `devices` devices of this process's processor, and join
    the processes that meet at `coordinator` (host:port of the first one; `auto` asks SLURM, Open
    MPI or Kubernetes, as `jax.distributed.initialize` does). By default a processor is a device
    for each core, or one where processes are joined.

    Raises `UserError` for a number of devices that a processor cannot be, where processes cannot be
    joined, and where a count or index is told of processes that meet nowhere.
    """
    if coordinator is None and not (process_count is None and process_index is None):
        raise UserError(
            "--process-count and --process-index are for processes that meet: give each the same "
            "--coordinator HOST:PORT"
        )
    if devices is not None:
        if not 1 <= devices <= MOST_DEVICES:
            raise UserError(
                f"--devices {devices}: it must be at least 1 and at most {MOST_DEVICES}"
            )
        jax.config.update("jax_num_cpu_devices", devices)
    elif coordinator is None:
        with suppress(RuntimeError):  # something was computed: the devices are what they are
            jax.config.update("jax_num_cpu_devices", cores())
    if coordinator is None:
        return
    address = None if coordinator == "auto" else coordinator
    try:
        jax.distributed.initialize(address, process_count, process_index)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"--coordinator {coordinator}: {error}; each process needs the same address and "
            "--process-count, and a --process-index of its own"
        ) from error
