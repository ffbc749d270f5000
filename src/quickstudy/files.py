"""Files that are written whole or not at all, folders in which one process writes, and no file
replaced that the program did not make.
"""

import contextlib
import glob
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from quickstudy.errors import UserError

LOCK = ".lock"
"""The file of a folder's lock. It stays; the kernel holds the lock itself, as long as the process
lives."""


def write_atomically(
    path: Path,
    content: bytes | Callable[[BinaryIO], object],
    advice: str = "choose another folder",
) -> None:
    """Write bytes, or what a function writes into the open file: beside `path`, to the disk, then
    renamed. A reader sees the old file or the new one, never a part.

    Raises `UserError` where it cannot be written, with `advice`, and where `path` is a device or
    something else that is no file; what was there stays.

    >>> write_atomically(Path("numbers.npz"), lambda file: np.savez(file, x=x))
    """
    _require_file(path, advice)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_partials(path.parent, path.name)
        with open(beside, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free some space or {advice} "
            "(what was there is untouched)"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def as_json(value: Any, **options: Any) -> str:
    """JSON text of plain values; `null` for a number that is not finite, which JSON does not have.

    >>> as_json({"mean": 0.5, "interval_95": float("nan")})
    '{"mean": 0.5, "interval_95": null}'
    """

    def finite(x: Any) -> Any:
        if isinstance(x, dict):
            return {name: finite(inner) for name, inner in x.items()}
        if isinstance(x, list | tuple):
            return [finite(inner) for inner in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return json.dumps(finite(value), allow_nan=False, **options)


def write_json(path: Path, value: Any) -> None:
    """`write_atomically` plain values as indented JSON."""
    write_atomically(path, as_json(value, indent=2, ensure_ascii=False).encode() + b"\n")


def remove_partials(folder: Path, name: str | None = None) -> None:
    """Remove what `write_atomically` left where it was killed, of the file with this name or of
    any; not what a living process is writing."""
    pattern = "*" if name is None else glob.escape(name)
    for path in folder.glob(f".{pattern}.*.partial"):
        process = path.name.split(".")[-2]
        if process.isdecimal() and not _is_alive(int(process)):
            with contextlib.suppress(OSError):
                path.unlink()


def _is_alive(process: int) -> bool:
    """Whether another process of this machine has this number."""
    if process == os.getpid():
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to another user
        pass
    return True


@contextlib.contextmanager
def only_process(folder: Path, doing: str, option: str) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be. It ends with the process, however that
    ends. File systems without locks hold none.

    Raises `UserError` where another process holds it.

    >>> with only_process(Path("runs/a"), "trains", "--run"):
    ...     ...
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "ab")  # noqa: SIM115
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror}; choose another {option} folder"
        ) from error
    with file:
        if not _lock(file):
            raise UserError(
                f"another process {doing} in {folder}: wait for its end, or choose another "
                f"{option} folder"
            )
        yield


def _lock(file: BinaryIO) -> bool:
    """Lock an open file; False where it is locked."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has none
        pass
    return True


def require_ours(path: Path, mark: bytes | Callable[[Path], bool], what: str, option: str) -> None:
    """Raise `UserError` unless `path` may be written: nothing is there yet, or a file of the kind
    `what`; and its folder takes files. Such a file has `mark` in its first 64 KiB, or `mark` is a
    function that recognises it. To be asked before the work whose result will be written.

    >>> require_ours(Path("page.html"), b"quickstudy report", "a report", "--out")
    """
    advice = f"choose another {option}"
    _require_file(path, advice)
    try:
        if not path.exists():
            ours = True
        else:
            ours = mark(path) if callable(mark) else mark in _beginning(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {advice}") from error
    if not ours:
        raise UserError(f"{path} exists and is not {what} of quickstudy: {advice}")
    require_place(path, advice)


def require_place(path: Path, advice: str) -> None:
    """Raise `UserError`, with `advice`, unless the folder of a file to be written takes files."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UserError(f"cannot write {path}: {folder} takes no files; {advice}")


def _beginning(path: Path) -> bytes:
    """Its first bytes, enough for a mark."""
    with open(path, "rb") as file:
        return file.read(1 << 16)


def _require_file(path: Path, advice: str) -> None:
    """Raise `UserError` where `path` is a folder, a device, a pipe …"""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a file that can be replaced"
        raise UserError(f"cannot write {path}: it is {kind}; {advice}")


def read_json(path: Path, advice: str, kind: type = dict) -> Any:
    """The JSON object in a file, or the value of another `kind`. Raises `UserError`, with `advice`,
    where it holds none."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {advice}") from error
    if not isinstance(found, kind):
        raise UserError(f"{path} is damaged: {advice}")
    return found


def in_bytes(count: float) -> str:
    """A number of bytes, in the unit that suits it.

    >>> in_bytes(1_250_000)
    '1.2 MB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.95:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
