"""Files of the user's own that define something of ours."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TypeVar

from quickstudy.errors import UserError

AnyClass = TypeVar("AnyClass")


def class_in_file(name: str, kind: type[AnyClass], page: str) -> type[AnyClass]:
    """Run a Python file, and return the one subclass of `kind` that it defines itself.

    Raises `UserError` where there is no such file, or it defines none or more than one; `page`
    tells how to write one.
    """
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
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, kind) and value.__module__ == module_name
    ]
    if len(found) != 1:
        raise UserError(
            f"{name} defines {len(found)} subclasses of {kind.__name__}: it must define one "
            f"({page} shows how)"
        )
    return found[0]
