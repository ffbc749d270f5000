"""Which model features come from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EmbeddingFile:
    """Which model features come from, as a run keeps it: plain JSON values."""

    path: str
    """As the user named it."""
    absolute: str
    sha256: str
    """Of the model's file."""
    preprocessing: str
    """SHA-256 of what is declared of it (`Declaration.digest`)."""

    def same_model(self, other: EmbeddingFile) -> bool:
        """Whether both give the same features, wherever they lie."""
        return (self.sha256, self.preprocessing) == (other.sha256, other.preprocessing)

    def at(self, path: str | Path) -> EmbeddingFile:
        """The same model in another place."""
        return dataclasses.replace(self, path=str(path), absolute=str(Path(path).absolute()))
