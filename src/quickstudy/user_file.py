"""Files of the user's own that define something of ours.

Code runs where the user names its file, and nowhere else. Settings that were saved keep the file's
name and checksum; to load them, the file is named again, and compared.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from quickstudy.errors import UserError

AnyClass = TypeVar("AnyClass")


@dataclass(frozen=True)
class Source:
    """Which file defines a class."""

    file: str
    """Its name, without folders."""
    sha256: str | None
    """Of its bytes; None in the settings of earlier versions, which did not keep it."""


_NAMED: list[tuple[Path, Source, type]] = []
"""The files that the user has named to this process, and what they define; the newest last."""


def class_in_file(name: str, kind: type[AnyClass], page: str) -> type[AnyClass]:
    """Run a Python file that the user has named, and return the one subclass of `kind` that it
    defines itself. Its bytes alone are run: no compiled file beside it.

    Raises `UserError` where there is no such file, where Python cannot run it, and where it
    defines none or more than one; `page` tells how to write one.
    """
    path = Path(name)
    if not path.is_file():
        raise UserError(f"there is no file {name}")
    content = path.read_bytes()
    source = Source(path.name, hashlib.sha256(content).hexdigest())
    for _, known, defined in _NAMED:
        if known == source and issubclass(defined, kind):
            return defined
    module = ModuleType(f"quickstudy_user_{path.stem}_{source.sha256}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        what = error.msg if isinstance(error, SyntaxError) else error
        raise UserError(
            f"{name}{_line(error, path)}: {type(error).__name__}: {what} (python {name} shows the "
            "whole traceback)"
        ) from error
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise UserError(
            f"{name} defines {len(found)} subclasses of {kind.__name__}: it must define one "
            f"({page} shows how)"
        )
    _NAMED.append((path.resolve(), source, found[0]))
    return found[0]


def _line(error: BaseException, path: Path) -> str:
    """`, line 3`, the last line of the file at `path` that ran before `error`, or that Python
    could not read; nothing where neither is known."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}" if error.lineno else ""
    steps = traceback.extract_tb(error.__traceback__)
    lines = [step.lineno for step in steps if step.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def named_class(name: str) -> Any:
    """What a file defines that the user has named; None where neither this file nor another one
    of its name has been named."""
    same = [defined for path, _, defined in _NAMED if path == Path(name).resolve()]
    alike = [defined for path, _, defined in _NAMED if path.name == Path(name).name]
    return next(iter([*same[::-1], *alike[::-1]]), None)


def source_of(defined: type | None) -> Source | None:
    """The file that defines a class; None where that is none of the user's."""
    return next((source for _, source, cls in _NAMED if cls is defined), None)


def class_from(source: Source, option: str) -> Any:
    """The class that saved settings mean, from the files that the user has named. No file is run.

    Raises `UserError` where the file is not named, with the `option` to name it by, or is not as it
    was.
    """
    for _, known, defined in reversed(_NAMED):
        same = known.file if source.sha256 is None else known.sha256
        if same == (source.sha256 or source.file):
            return defined
    require_unchanged(source, option)
    raise UserError(
        f"what was saved needs code of the user's own, the file {source.file!r}, which runs only "
        f"if you name it: add {option} FILE.py if you trust that file"
    )


def require_unchanged(source: Source, option: str) -> None:
    """Raise `UserError` where the user has named a file of this name that is not as it was."""
    for path, known, _ in _NAMED:
        if source.sha256 and known.file == source.file and known.sha256 != source.sha256:
            raise UserError(
                f"{path} is not the file that was trained with: its SHA-256 begins with "
                f"{known.sha256:.12}, and that of the file in training with "
                f"{source.sha256:.12}; give {option} the file as it was, or train anew"
            )
