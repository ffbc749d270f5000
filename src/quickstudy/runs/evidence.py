"""What stands beside every measured figure: which code, which machine, which versions; and where
the training lies that it was measured on.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickstudy.files import require_ours

if TYPE_CHECKING:
    from quickstudy.runs.run import Run

PACKAGES = ("jax", "equinox", "optax", "numpy")


def commit() -> str:
    """The commit of the source that runs, `+changes` if files differ from it; or the installed
    version where there is no repository."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        run = subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--", str(here.parent))
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return f"quickstudy {metadata.version('quickstudy')}"


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def command() -> str:
    """The command line that is running."""
    return shlex.join(["quickstudy", *sys.argv[1:]])


def provenance() -> dict[str, Any]:
    """Commit, machine and versions, as plain JSON values."""
    import jax

    return {
        "commit": commit(),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "device": jax.devices()[0].device_kind,
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def require_results(path: Path) -> None:
    """Raise `UserError` where measured figures cannot be written to `path`, or are not what they
    would replace."""
    require_ours(path, b'"command": "quickstudy ', "a result", "--results folder")


def run_folder(runs: Path, settings: Run) -> Path:
    """Where a training lies: the same settings, the same folder, whatever the recipe."""
    words = json.dumps(settings.resolved().to_json(), sort_keys=True)
    return runs / f"{settings.name}-{hashlib.sha256(words.encode()).hexdigest()[:10]}"
