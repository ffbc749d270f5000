"""Features that were computed before, in one SQLite file of the user's cache folder."""

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from quickstudy.datasets.cache import folders
from quickstudy.terminal import say_once

FILE = "features.sqlite"
AT_ONCE = 500
"""Keys of one query."""
WAIT = 30.0
"""Seconds to wait for another process that writes."""
TABLE = "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, x BLOB, crc32 INTEGER)"

Answer = TypeVar("Answer")


class FeatureCache:
    """Vectors of float32 by key. It may be deleted at any time: what is missing or damaged is
    computed again, and a cache that cannot be used is done without.

    >>> cache = FeatureCache(Path("features.sqlite"))
    >>> cache.write({b"key": np.float32([1, 2])})
    >>> cache.read([b"key", b"other"])
    {b'key': array([1., 2.], dtype=float32)}
    """

    def __init__(self, path: Path):
        self.path = path

    @staticmethod
    def of_user() -> "FeatureCache":
        """The one in the user's cache folder."""
        return FeatureCache(folders()[-1] / FILE)

    def read(self, keys: Collection[bytes]) -> dict[bytes, Float[np.ndarray, " features"]]:
        """What is there of these keys, without entries whose checksum is wrong."""

        def select(file: sqlite3.Connection) -> dict[bytes, np.ndarray]:
            found, wanted = {}, list(keys)
            for start in range(0, len(wanted), AT_ONCE):
                some = wanted[start : start + AT_ONCE]
                marks = ", ".join("?" * len(some))
                rows = file.execute(f"SELECT * FROM features WHERE key IN ({marks})", some)
                for key, x, crc32 in rows:
                    if isinstance(x, bytes) and len(x) % 4 == 0 and zlib.crc32(x) == crc32:
                        found[key] = np.frombuffer(x, np.float32)
            return found

        return self._ask(select) or {}

    def write(self, rows: Mapping[bytes, Float[np.ndarray, " features"]]) -> None:
        """Add entries, or replace them, all at once."""

        def insert(file: sqlite3.Connection) -> None:
            content = {key: np.asarray(row, np.float32).tobytes() for key, row in rows.items()}
            values = [(key, x, zlib.crc32(x)) for key, x in content.items()]
            file.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", values)

        self._ask(insert)

    def _ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer | None:
        """The answer of the file, which is begun anew where it is damaged; None where it cannot be
        used."""
        for _ in range(2):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self._opened() as file:
                    return question(file)
            except (OSError, sqlite3.OperationalError) as error:
                say_once(f"features are not kept for later: {self.path} cannot be used ({error})")
                return None
            except sqlite3.DatabaseError as error:
                say_once(f"{self.path} is damaged ({error}): features are computed again")
                with contextlib.suppress(OSError):
                    self.path.unlink()
        return None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=WAIT)) as file, file:
            file.execute(TABLE)
            yield file
