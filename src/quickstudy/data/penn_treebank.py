"""Words of Penn Treebank as classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from quickstudy.data.kind import Classes
from quickstudy.datasets import penn_treebank
from quickstudy.datasets.kept import NOT_KEPT, SPLITS, ClassSplit

if TYPE_CHECKING:
    from quickstudy.tasks.cloze import BlankedWords
    from quickstudy.tasks.few_shot import Draw

HELD_OUT_WORDS = (1000, 1000)
"""Words to validate and to test on, of some ten thousand (Vinyals et al. 2016, section 4.1.3)."""


class TreebankWords(Classes):
    """Which word is blanked out: an example of a word is a sentence without it."""

    name: ClassVar[str] = "penn-treebank"
    about: ClassVar[str] = "words as classes: which word is blanked out (Vinyals et al. 2016)"
    keeps_classes: ClassVar[bool] = True
    plain_only: ClassVar[bool] = True

    @cached_property
    def parts(self) -> dict[str, tuple[BlankedWords, list[str]]]:
        """The words to blank out in each part, and their names by label: those that a run has
        kept, or a random choice."""
        from quickstudy.tasks import cloze

        kept, seed = self.options.classes, self.options.split_seed
        text = penn_treebank.load()
        tokens = cloze.vocabulary(text.values())
        if kept is None or kept == NOT_KEPT:
            words = cloze.divided(tokens, HELD_OUT_WORDS, seed)
        else:
            words = {part: list(kept.part(part)) for part in SPLITS}
        split = f"random, seed {seed}"
        return {
            part: cloze.blanked_words(
                text[part], words[part], tokens, {"data": self.name, "split": split, "part": part}
            )
            for part in SPLITS
        }

    def drawn(self, part: str) -> BlankedWords:
        return self.parts[part][0]

    def names(self, part: str) -> Sequence[str]:
        return self.parts[part][1]

    def split(self) -> ClassSplit:
        return ClassSplit(*(tuple(self.names(part)) for part in SPLITS))

    def source_for(self, part: str, examples: int, training: bool = False) -> BlankedWords:
        """Give the words that are in so many sentences."""
        self.source(part)  # refuses what cannot be
        return self.drawn(part).with_at_least(examples)

    def classes_with(self, count: int, examples: int) -> str:
        return f"words that are in {examples} sentences (shot + query)"

    def draws(self, draw: Draw) -> Draw:
        from quickstudy.tasks.cloze import NoSentenceTwice

        return NoSentenceTwice(draw)

    def most_shots(self, query: int) -> None:
        return None

    @classmethod
    def find(cls) -> str:
        return str(penn_treebank.find() or f"not here: {penn_treebank.HOW}")
