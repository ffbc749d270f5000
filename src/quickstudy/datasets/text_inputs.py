"""Texts as a model for `--embed` takes them: numbers of tokens, a mask, and segments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from quickstudy.datasets.preprocessing import Texts
from quickstudy.errors import UserError


class TextInputs:
    """The tokenizer of a model, which cuts texts off and pads them: to `length` tokens, or to the
    longest text of a batch.

    Raises `UserError` where its file cannot be read, or `max_length` leaves no room for a text.

    >>> inputs = TextInputs(Path("tokenizer.json"), Texts("tokenizer.json", 256), None)
    >>> rows = [inputs.tokens("a red kite"), inputs.tokens("a kite")]
    >>> inputs.feed(rows)["attention_mask"].tolist()
    [[1, 1, 1], [1, 1, 0]]
    """

    def __init__(self, path: Path, declared: Texts, length: int | None):
        self.path, self.declared, self.length = path, declared, length
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise UserError(
                "a model of texts needs tokenizers: pip install 'quickstudy[onnx-text]'"
            ) from None
        try:
            with _in_one_line():
                self._tokenizer = Tokenizer.from_file(str(path))
        except ValueError as error:
            raise UserError(f"cannot read the tokenizer {path}: {error}") from None
        added = self._tokenizer.num_special_tokens_to_add(False)
        if declared.max_length <= added:
            raise UserError(
                f"max_length {declared.max_length} in the model's .json leaves no room beside the "
                f"tokens that {path} adds to each text, {added}: raise it"
            )
        padding = self._tokenizer.padding or {}
        self._padding = {k: padding[k] for k in PADDING if k in padding}
        self._tokenizer.no_padding()  # of single texts
        self._tokenizer.enable_truncation(declared.max_length)

    def tokens(self, text: str) -> Any:
        """The tokens of a text, an `Encoding` of the library. Raises `ValueError` where there are
        none."""
        try:
            with _in_one_line():
                found = self._tokenizer.encode(text)
        except ValueError as error:
            raise ValueError(f"{self.path} makes no tokens of it ({error})") from None
        if all(found.special_tokens_mask):
            raise ValueError(f"{self.path} makes no tokens of it: leave it out")
        return found

    def feed(self, rows: Sequence[Any]) -> dict[str, Int[np.ndarray, "n tokens"]]:
        """What a graph is fed for the tokens of some texts, by the names of its inputs."""
        length = self.length or max(len(row) for row in rows)
        for row in rows:
            row.pad(length, **self._padding)
        declared = self.declared
        return {
            declared.ids: np.array([row.ids for row in rows]),
            declared.mask: np.array([row.attention_mask for row in rows]),
            declared.types: np.array([row.type_ids for row in rows]),
        }


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Raise `ValueError` of one line for whatever the library raises: exceptions without a class of
    their own, and panics, which are none."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise ValueError(" ".join(str(error).split())) from None


PADDING = ("direction", "pad_id", "pad_type_id", "pad_token")
"""What a tokenizer's file says of padding, beside how long it is."""
