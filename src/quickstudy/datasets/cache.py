"""Where data lives on disk, and how it gets there whole.

Two folders, in this order: $QUICKSTUDY_DATA, which may be read-only (a mounted data set, a
shared disk), and the user's cache. Files are looked for in both and written to the first that
takes them.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import platformdirs
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from quickstudy.errors import UserError
from quickstudy.files import write_atomically

TRIES = 4  # failures in a row without a new byte
PAUSE = 0.5  # seconds before another try, doubled by each failure in a row
TIMEOUT = 30.0  # seconds without an answer

stderr = Console(stderr=True)


def folders() -> list[Path]:
    """$QUICKSTUDY_DATA if it is set, then the user's cache folder for quickstudy."""
    own = os.environ.get("QUICKSTUDY_DATA")
    return ([Path(own).expanduser()] if own else []) + [platformdirs.user_cache_path("quickstudy")]


def find(name: str) -> Path | None:
    """The file of this name in the first folder that has it."""
    return next((path for folder in folders() if (path := folder / name).is_file()), None)


def place(name: str) -> Path:
    """Where to write a file of this name: in the first folder that can be written, which is
    made if need be. Raises `UserError` when there is none."""
    for folder in folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            # The mode is asked as well, because root may write where the mode says not to.
            if folder.stat().st_mode & 0o222 and os.access(folder, os.W_OK):
                return folder / name
    raise UserError(
        f"cannot write {name} to {' or '.join(map(str, folders()))}: "
        "set QUICKSTUDY_DATA to a folder that you can write to"
    )


def save(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """`files.write_atomically` to a `place` of a data set.

    >>> save(place("numbers.npz"), lambda file: np.savez(file, x=x))
    """
    write_atomically(path, write, "set QUICKSTUDY_DATA to a folder on another disk")


def download(urls: Sequence[str], destination: Path, md5: str) -> None:
    """Fetch the file that all `urls` serve, and put it at `destination` once its md5 is right.

    What has come so far is kept beside it as `destination`.part and resumed: in this run when
    the connection breaks, and in the next one. `TRIES` failures in a row without a new byte end
    in a `UserError` that says what to fetch by hand; a wrong checksum or a full disk in one
    that says so, with the part removed. Progress goes to stderr.
    """
    part = destination.with_name(destination.name + ".part")
    failures, most = 0, _size(part)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=stderr,
    ) as progress:
        bar = progress.add_task(destination.name, total=None)
        while True:
            try:
                _fetch(urls[failures % len(urls)], part, partial(progress.update, bar))
                break
            except (OSError, http.client.HTTPException) as error:
                if _is_full(error):
                    part.unlink(missing_ok=True)
                    raise _full(part.parent) from None
                failures = 0 if _size(part) > most else failures + 1
                most = max(most, _size(part))
                if failures == TRIES:
                    raise UserError(
                        f"could not fetch {destination.name} ({error}): {by_hand(urls)}"
                    ) from None
            time.sleep(PAUSE * 2**failures)
    actual = _md5(part)
    if actual != md5:
        part.unlink()
        raise UserError(
            f"what came for {destination.name} has md5 {actual}, not {md5}, and was removed: "
            f"try again, or {by_hand(urls)}"
        )
    part.replace(destination)


def verify(path: Path, md5: str, urls: Sequence[str]) -> None:
    """Raise `UserError` unless the file, which may have been put there by hand, has this md5."""
    actual = _md5(path)
    if actual != md5:
        raise UserError(
            f"{path} has md5 {actual}, not {md5}, so it is damaged or not the official file: "
            f"delete it and try again, or {by_hand(urls)}"
        )


def fetch(urls: Sequence[str], name: str, md5: str) -> Path:
    """The file of this name: one that is there, once its md5 is checked, or else downloaded."""
    path = find(name)
    if path is None:
        path = place(name)
        download(urls, path, md5)
    else:
        verify(path, md5, urls)
    return path


def by_hand(urls: Sequence[str]) -> str:
    """The end of an error message: what to fetch, and where to put it."""
    return (
        f"fetch {urls[0]} on a machine that can, put the file in a folder, and set "
        "QUICKSTUDY_DATA to that folder"
    )


def _fetch(url: str, part: Path, report: Callable[..., None]) -> None:
    """Append what is missing of the file at `url` to `part`, or all of it where the server does
    not resume; raise when the connection ends before the file does."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "quickstudy"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing, or the part is wrong: the checksum decides
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file:
            while block := response.read(1 << 16):
                file.write(block)
                have += len(block)
                report(completed=have, total=total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"{url} broke off after {have} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def _full(folder: Path) -> UserError:
    return UserError(
        f"the disk of {folder} is full: free some space, or set QUICKSTUDY_DATA to a folder on "
        "another disk"
    )
