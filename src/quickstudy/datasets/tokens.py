"""Texts as tokens: pieces of words that are learned from the training classes' texts.

A text is brought to one spelling (Unicode's NFKC, small letters) and cut into words and marks.
Byte pair encoding (Sennrich, Haddow and Birch 2016) then begins with single bytes, and makes a
token of the most frequent pair of tokens, again and again. So a frequent word is one token, a rare
word is several, and every text can be written in tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from quickstudy.errors import UserError

MOST_TOKENS = 8000
"""The largest vocabulary. Training stops before it where no pair of tokens comes twice."""

NOTHING = 0
"""Stands in the places beyond the end of a text; tokens are 1, 2 …"""

HOW = "texts need the tokenizers package: pip install 'quickstudy[text]'"


@dataclass(frozen=True)
class Tokenizer:
    """What makes tokens of texts, as a run keeps it. All fields are plain JSON values.

    >>> tokenizer = Tokenizer.trained(["a red kite", "a red wren"], length=4)
    >>> tokenizer.tokens(["a kite", ""])[0].shape
    (2, 4)
    """

    model: str
    """A tokenizer of the package `tokenizers`, as JSON."""
    length: int
    """Tokens of a text: longer texts are cut, shorter ones end in `NOTHING`."""
    idf: tuple[float, ...]
    """How rare each token is among the training texts: see `inverse_document_frequency`."""

    @staticmethod
    def trained(texts: Sequence[str] | np.ndarray, length: int) -> "Tokenizer":
        """Learn the vocabulary of some texts, at most `MOST_TOKENS`. There is room for texts of
        twice as many tokens as the longest has, but at most `length`: words that are not among
        these texts become more tokens.

        Raises `UserError` where the package `tokenizers` is not installed.
        """
        lib = _library()
        model = lib.Tokenizer(lib.models.BPE())
        model.normalizer = lib.normalizers.Sequence(
            [lib.normalizers.NFKC(), lib.normalizers.Lowercase()]
        )
        byte_level = lib.pre_tokenizers.ByteLevel
        model.pre_tokenizer = lib.pre_tokenizers.Sequence(
            [lib.pre_tokenizers.Whitespace(), byte_level(add_prefix_space=True, use_regex=False)]
        )
        model.decoder = lib.decoders.ByteLevel()
        trainer = lib.trainers.BpeTrainer(
            vocab_size=MOST_TOKENS,
            min_frequency=2,
            show_progress=False,
            initial_alphabet=byte_level.alphabet(),
        )
        model.train_from_iterator(texts, trainer)
        longest = max((len(each.ids) for each in model.encode_batch(list(texts))), default=1)
        blank = Tokenizer(model.to_str(), max(1, min(length, 2 * longest)), ())
        idf = inverse_document_frequency(blank.tokens(texts)[0], 1 + model.get_vocab_size())
        return Tokenizer(blank.model, blank.length, tuple(idf.round(4).tolist()))

    @property
    def vocabulary(self) -> int:
        """How many tokens there are, `NOTHING` among them."""
        return len(self.idf)

    @cached_property
    def _model(self) -> Any:
        try:
            return _library().Tokenizer.from_str(self.model)
        except UserError:
            raise
        except Exception as error:  # the package raises nothing more special
            raise ValueError(f"its tokenizer cannot be read ({error})") from None

    def tokens(self, texts: Sequence[str] | np.ndarray) -> tuple[Int[np.ndarray, "n length"], int]:
        """Give the tokens of texts, int32, and how many of the texts were cut."""
        x = np.full((len(texts), self.length), NOTHING, np.int32)
        cut = 0
        for row, found in zip(x, self._model.encode_batch(list(texts)), strict=True):
            ids = found.ids[: self.length]
            row[: len(ids)] = ids
            row[: len(ids)] += 1
            cut += len(found.ids) > self.length
        return x, cut

    def text(self, tokens: Int[np.ndarray, " length"]) -> str:
        """Give the text of some tokens: words in one spelling, a space between them."""
        ids = [int(token) - 1 for token in tokens if token != NOTHING]
        return self._model.decode(ids).removeprefix(" ")

    @staticmethod
    def from_json(found: dict[str, Any]) -> "Tokenizer":
        """Read what `dataclasses.asdict` made."""
        return Tokenizer(found["model"], found["length"], tuple(found["idf"]))


def inverse_document_frequency(x: Int[np.ndarray, "n length"], vocabulary: int) -> np.ndarray:
    """How rare each token is among n texts (Spärck Jones 1972), as scikit-learn smooths it:

        idf_t = log((1 + n) / (1 + n_t)) + 1,    n_t: the number of texts that have token t

    That of `NOTHING` is 0.

    >>> inverse_document_frequency(np.array([[1, 2], [1, 0]]), 3).round(2).tolist()
    [0.0, 1.0, 1.41]
    """
    rows = np.broadcast_to(np.arange(len(x))[:, None], x.shape)
    pairs = np.unique(rows * np.int64(vocabulary) + x)  # a token counts once in a text
    count = np.bincount(pairs % vocabulary, minlength=vocabulary)
    idf = np.log((1 + len(x)) / (1 + count)) + 1
    idf[NOTHING] = 0
    return idf


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise UserError(HOW) from None
    return tokenizers


def cut_words(cut: int, texts: int, length: int) -> str:
    """What to say of texts that are longer than `length` tokens.

    >>> cut_words(3, 20, 256)
    '3 of 20 texts are longer than 256 tokens: the rest of them is left out (--text-length)'
    """
    return (
        f"{cut} of {texts} texts are longer than {length} tokens: the rest of them is left out "
        "(--text-length)"
    )
