"""Penn Treebank as Mikolov prepared it for language modelling: 929,589 / 73,760 / 82,430 words with
the ends of sentences, of 10,000 kinds, in lower case, with rare words as <unk> and numbers as N
(Mikolov et al., "Recurrent neural network based language model", Interspeech 2010).

The text is the Linguistic Data Consortium's and may not be given away, so nothing is downloaded:
put `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt`, or a `ptb.zip` that has them, where data
is looked for.

    treebank = load()
    treebank["train"][0]                              ("aer", "banknote", "berlitz", …)
"""

import lzma
import zipfile
import zlib
from pathlib import Path

from quickstudy.datasets import cache
from quickstudy.errors import UserError

FILES = {"train": "ptb.train.txt", "validation": "ptb.valid.txt", "test": "ptb.test.txt"}
ARCHIVE = "ptb.zip"
TOKENS = {"train": 929_589, "validation": 73_760, "test": 82_430}
"""Of each file, the end of each line counted as one."""

HOW = (
    f"put {', '.join(FILES.values())} (of Mikolov's language-modelling data, which its licence "
    f"lets no program fetch for you), or a {ARCHIVE} with them, in a folder, and set "
    "QUICKSTUDY_DATA to that folder"
)

Sentence = tuple[str, ...]


def load() -> dict[str, list[Sentence]]:
    """The sentences of "train", "validation" and "test", in order.

    Raises `UserError` where the text is missing, damaged or another.
    """
    return {part: _sentences(part, name) for part, name in FILES.items()}


def find() -> Path | None:
    """The archive, or the first file, if it is there."""
    return cache.find(FILES["train"]) or cache.find(ARCHIVE)


def _sentences(part: str, name: str) -> list[Sentence]:
    path = cache.find(name) or cache.find(ARCHIVE)
    if path is None:
        raise UserError(f"there is no {name}: {HOW}")
    try:
        text = (_member(path, name) if path.suffix == ".zip" else path.read_bytes()).decode()
    except (
        *(OSError, EOFError, UnicodeDecodeError, KeyError, RuntimeError, NotImplementedError),
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    ) as error:
        raise UserError(f"{path} is damaged or has no {name} ({error}): {HOW}") from error
    sentences = [tuple(line.split()) for line in text.splitlines()]
    count = sum(map(len, sentences)) + len(sentences)
    if count != TOKENS[part]:
        raise UserError(
            f"{name} of {path} has {count} words with the ends of sentences, not {TOKENS[part]}, "
            f"so it is not Mikolov's text: {HOW}"
        )
    return sentences


def _member(path: Path, name: str) -> bytes:
    """The file of this name in an archive, in whatever folder it lies there."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.rpartition("/")[2] == name:
                return archive.read(info)
    raise KeyError(f"no {name} in it")
