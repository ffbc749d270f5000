"""What the hardware allows, measured in the same run: matrix products and copying."""

import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

SIZE = 2048
"""Rows and columns of the matrices that are multiplied, in float32."""

COPIED = 1 << 28
"""Bytes that are copied: more than any cache holds."""

TRIALS = 5


def threads() -> int:
    """Cores that this process may use; every contender uses as many threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some trials, after one that does not count."""
    work()
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def matrix_products() -> dict[str, float]:
    """Floating-point operations a second of a float32 matrix product: NumPy's and XLA's."""
    a = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    on_device = jnp.asarray(a)
    product = jax.jit(jnp.matmul)
    count = 2 * SIZE**3
    return {
        "numpy": count / fastest(lambda: a @ a),
        "xla": count / fastest(lambda: product(on_device, on_device).block_until_ready()),
    }


def copies() -> dict[str, float]:
    """Bytes a second, read and written together, of copying memory: NumPy's and XLA's."""
    source = np.ones(COPIED // 4, np.float32)
    target = np.empty_like(source)
    on_device = jnp.asarray(source)
    copy = jax.jit(jnp.copy)
    return {
        "numpy": 2 * COPIED / fastest(lambda: np.copyto(target, source)),
        "xla": 2 * COPIED / fastest(lambda: copy(on_device).block_until_ready()),
    }
