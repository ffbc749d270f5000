"""What every test has: shapes checked at run time, the compiler's cache, two devices, and small
classification problems that are quick to learn."""

import itertools
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# Before anything imports them: shapes and types are checked wherever arrays are computed with;
# a whole number will do for a float (PEP 484).
WITH_ARRAYS = (
    *("likelihood", "task", "learner", "networks", "learners", "metagradients", "tasks"),
    "open_set",
)
checker = SimpleNamespace(check=beartype(conf=BeartypeConf(is_pep484_tower=True)))
sys.modules["checker_of_quickstudy"] = checker  # pyright: ignore[reportArgumentType]
install_import_hook([f"quickstudy.{name}" for name in WITH_ARRAYS], "checker_of_quickstudy.check")

# Most programs here run once, and compiling them well takes longer than running them.
COMPILE_QUICKLY = "--xla_backend_optimization_level=0"
if metadata.version("jaxlib").split(".")[:2] == ["0", "10"]:  # 0.12 does not know it
    COMPILE_QUICKLY += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {COMPILE_QUICKLY}".strip()

import hypothesis  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from quickstudy.compilation import enable_compilation_cache  # noqa: E402
from quickstudy.learners.baseline import logistic  # noqa: E402
from quickstudy.tasks.arrays import ArraySource  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)  # computations stay on the first unless told
enable_compilation_cache()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

hypothesis.settings.register_profile("quickstudy", deadline=None)  # no test times anything
hypothesis.settings.load_profile("quickstudy")


TESTS = Path(__file__).parent
QUICK = (
    *("data", "datasets", "settings", "cli/test_help.py", "tasks/test_redraws.py"),
    *("oracles/test_maml.py", "oracles/test_protonet.py", "oracles/test_few_shot.py"),
    *("test_checkpoint.py", "test_evaluation.py", "test_files.py", "test_golden.py"),
    *("test_record.py", "test_two_sources.py"),
)
"""The tests of `make quick`, with the contract of two learners; all others are marked as slow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        where = item.path.relative_to(TESTS).as_posix()
        of_two = where == "contract/test_learners.py" and item.name.endswith(
            ("[maml]", "[protonet]")
        )
        if not (of_two or where.startswith(QUICK)):
            item.add_marker("slow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--learner",
        action="append",
        default=[],
        metavar="PATH",
        help="a Python file that defines a learner: it has to pass the contract suite as well",
    )


MAPS = Path("/proc/self/maps")
MOST_MAPS = 16_000
ENDED = itertools.count()


def pytest_runtest_teardown() -> None:
    """Each compiled program takes some of the 65,530 places in the memory map that Linux grants a
    process; without one the compiler crashes. So old programs make room. The map is long: reading
    it takes longer than many a test, so every tenth test looks."""
    if next(ENDED) % 10 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


FEW_OPPONENTS = ("cli", "runs", "serving")


@pytest.fixture(autouse=True)
def without_logistic_regression(request: pytest.FixtureRequest, monkeypatch) -> None:
    """In tests of commands, free opponents are those of a machine without scikit-learn: to fit a
    model to each episode took longer than all the rest. `report/` and the pages' commands have
    it."""
    if request.path.relative_to(TESTS).as_posix().startswith(FEW_OPPONENTS):
        monkeypatch.setattr(logistic, "is_there", lambda: False)


def make_clusters(
    classes: int = 12, each: int = 12, shape: tuple[int, ...] = (8,), noise: float = 0.4
) -> ArraySource:
    """Classes that are Gaussian clusters around random points."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes, 1, *shape))
    x = centres + noise * rng.normal(size=(classes, each, *shape))
    return ArraySource(
        x.reshape(-1, *shape).astype(np.float32),
        each * np.arange(classes),
        np.full(classes, each),
        {"data": "clusters"},
    )


@pytest.fixture(scope="session")
def clusters() -> Callable[..., ArraySource]:
    return make_clusters
