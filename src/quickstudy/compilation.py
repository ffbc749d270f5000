"""The compiler's cache on disk."""

import jax
import platformdirs


def enable_compilation_cache(least_seconds: float = 0.5) -> None:
    """Keep compiled programs between runs, in the user's cache folder: those that took so long to
    compile.

    Compiling takes seconds, finding the program again a fraction of one. Leaves a cache alone
    that is configured already.
    """
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        folder = platformdirs.user_cache_path("quickstudy") / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least_seconds)
