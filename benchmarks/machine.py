"""What the hardware allows, measured in the same run: matrix products and copying, on the device
that JAX computes on and, where that is a processor, by NumPy too."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Arithmetic

TRIALS = 5

MATMUL_PRECISION: dict[Arithmetic, str] = {
    "float32": "float32",
    "tensorfloat32": "tensorfloat32",
    "bfloat16": "tensorfloat32",  # for what stays in float32, such as distances
}
"""`jax.default_matmul_precision` under each arithmetic."""


def on_gpu() -> bool:
    """Whether JAX computes on a GPU; the peers follow it."""
    return jax.default_backend() == "gpu"


def size() -> int:
    """Rows and columns of the matrices that are multiplied."""
    return 8192 if on_gpu() else 2048


def copied() -> int:
    """Bytes that are copied: more than any cache holds."""
    return 1 << (30 if on_gpu() else 28)


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some trials, after one that does not count."""
    work()
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def matrix_products(arithmetic: Arithmetic = "float32") -> dict[str, float]:
    """Floating-point operations a second of a matrix product: NumPy's and XLA's."""
    a = np.random.default_rng(0).normal(size=(size(), size())).astype(np.float32)
    on_device = jnp.asarray(a, jnp.bfloat16 if arithmetic == "bfloat16" else jnp.float32)
    with jax.default_matmul_precision(MATMUL_PRECISION[arithmetic]):
        product = jax.jit(jnp.matmul).lower(on_device, on_device).compile()
    count = 2 * size() ** 3
    found = {"xla": count / fastest(lambda: product(on_device, on_device).block_until_ready())}
    if not on_gpu():
        found["numpy"] = count / fastest(lambda: a @ a)
    return found


def copies() -> dict[str, float]:
    """Bytes a second, read and written together, of copying memory: NumPy's and XLA's."""
    source = np.ones(copied() // 4, np.float32)
    on_device = jnp.asarray(source)
    copy = jax.jit(jnp.copy)
    found = {"xla": 2 * copied() / fastest(lambda: copy(on_device).block_until_ready())}
    if not on_gpu():
        target = np.empty_like(source)
        found["numpy"] = 2 * copied() / fastest(lambda: np.copyto(target, source))
    return found
