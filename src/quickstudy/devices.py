"""Many devices, and many processes with devices of their own, working as one.

The tasks of a meta-batch are shared out over a mesh of devices with one axis, `tasks`, and
everything else is on every device. All of it is JAX's own engine: with several processes
(`jax.distributed`) the mesh spans the devices of them all, and each runs the same program.
"""

import math
import os
from contextlib import suppress
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from quickstudy.errors import UserError

AXIS = "tasks"
EVERYWHERE = PartitionSpec()
BY_TASK = PartitionSpec(AXIS)

Tree = TypeVar("Tree")


def task_mesh(meta_batch: int, devices: int | None = None, *, by_core: bool = False) -> Mesh:
    """A mesh of `devices` devices for `meta_batch` tasks.

    By default as many as divide the meta-batch: of all accelerators, or of all devices of all
    processes where there are several. On a CPU of all its devices if `by_core`, where a task is
    work enough for a core; else one, which its cores share.

    Raises `UserError` where there are fewer devices, or they cannot share the tasks evenly.
    """
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
    """The tree of arrays that the first process has."""
    return tree if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(tree)


def largest_of_all(*values: float) -> Float[np.ndarray, " n"]:
    """The largest that any process has of each value: how processes agree about time passed and
    signals received."""
    mine = np.asarray(values, np.float32)
    if jax.process_count() == 1:
        return mine
    return np.max(multihost_utils.process_allgather(mine), axis=0)


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

    Raises `UserError` where they cannot be joined.
    """
    if devices is not None:
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
