"""Files of the user's own that define something of ours."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from quickstudy.errors import UserError


def run_user_file(name: str) -> list[Any]:
    """Run a Python file, and return what it defines itself. Raises `UserError` where there is no
    such file."""
    path = Path(name)
    if not path.is_file():
        raise UserError(f"there is no file {name}")
    module_name = f"quickstudy_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    own = vars(module).values()
    return [value for value in own if getattr(value, "__module__", None) == module_name]
