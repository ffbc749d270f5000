"""The user's own texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from quickstudy.data.inputs import Inputs
from quickstudy.data.own import Own
from quickstudy.datasets import folder, texts
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.tokens import Tokenizer, cut_words
from quickstudy.terminal import say_once

if TYPE_CHECKING:
    from quickstudy.tasks.source import ClassSource


class Texts(Own):
    """A folder with a sub-folder of .txt files for each class, or a table with a text column."""

    name: ClassVar[str] = "text"
    place: ClassVar[str] = "PATH"
    about: ClassVar[str] = "your own texts: .txt files in a sub-folder for each class, or a table"
    embeds: ClassVar[bool] = True

    def read(self) -> Grouped:
        options = self.options
        return self.embedded(texts.load(self.path, options.text_column, options.label_column))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What makes tokens of the texts: a run's, or one of the training classes' texts. Says how
        long these are in one line on standard error."""
        from quickstudy.devices import is_first_process

        kept, length = self.options.inputs, self.options.text_length
        if kept is not None and kept.tokenizer is not None:
            return kept.tokenizer
        train = self.everything.named(self.split_among(self.everything.names).train)
        made = Tokenizer.trained(train.x, length)
        cut = made.tokens(self.everything.x)[1]
        if is_first_process():
            said = f"{self.said} is read as tokens of {made.vocabulary - 1} kinds"
            of_all = len(self.everything.x)
            say_once(f"{said}; {cut_words(cut, of_all, made.length)}" if cut else said)
        return made

    @cached_property
    def files(self) -> list[str]:
        """Of all examples of a folder, as they were read."""
        return folder.files_in_order(self.path, texts.text_files)

    def example_names(self, examples: Grouped, rows: Sequence[int]) -> list[str]:
        if not self.path.is_dir():
            return super().example_names(examples, rows)
        assert examples.rows is not None
        return [self.files[examples.rows[row]] for row in rows]

    def divided(self, everything: Grouped) -> dict[str, Grouped]:
        """Divide texts by part, as tokens or as features of a model."""
        if everything.embedding is not None:
            return super().divided(everything)
        if everything.x.dtype == object:
            everything = replace(everything, x=self.tokenizer.tokens(everything.x)[0])
        return self.by_part(everything)

    def drawn(self, part: str) -> ClassSource:
        from quickstudy.tasks.texts import TextSource

        if self.everything.embedding is not None:
            return super().drawn(part)
        grouped = self.grouped(part)
        return TextSource(
            grouped.x, grouped.first, grouped.count, self.words(part), self.tokenizer.idf
        )

    def inputs(self, shape: tuple[int, ...]) -> Inputs:
        """Keep the model of features, or the tokenizer."""
        options = self.options
        if self.everything.embedding is not None:
            return replace(super().inputs(shape), text_column=options.text_column)
        return Inputs(
            tuple(shape),
            label_column=options.label_column,
            text_column=options.text_column,
            tokenizer=self.tokenizer,
        )
