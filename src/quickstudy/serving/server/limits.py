"""How much a request may ask for, as options of `quickstudy serve`."""

from __future__ import annotations

from dataclasses import dataclass

from quickstudy.numbers import above, at_least


@dataclass(frozen=True)
class Limits:
    """What is beyond is refused in one line."""

    most_megabytes: float = 16
    """Of the body of a request."""
    most_inputs: int = 256
    """Of a request."""
    most_megapixels: float = 50
    """Of all pictures of a request together, before they are shrunk."""
    most_seconds: float = 30
    """That a request may take, waiting included."""
    most_waiting: int = 1000
    """Requests that wait for the processor; further ones are told to come again."""
    most_examples: int = 128
    """Of a set that requests bring. More takes longer to start."""
    most_classes: int = 32
    """Of a set that requests bring."""
    most_models: int = 64
    """That requests make."""

    def __post_init__(self):
        above(self, most_megabytes=0, most_megapixels=0, most_seconds=0)
        at_least(self, most_inputs=1, most_waiting=1, most_examples=6, most_classes=2)
        at_least(self, most_models=0)

    @property
    def most_bytes(self) -> int:
        """Of the body of a request."""
        return int(self.most_megabytes * 1e6)

    @property
    def most_pixels(self) -> int:
        """Of all pictures of a request."""
        return int(self.most_megapixels * 1e6)
