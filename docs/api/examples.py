"""Bring the project's docstrings to Markdown for the site.

Docstrings are read in an editor first. A paragraph there that begins with `>>>` is an example, and
one whose words are set in columns by spaces is a table or several equations. Markdown would take
them for a quotation and for running text, so both become blocks of code.
"""

import re

import griffe

COLUMNS = re.compile(r"\S {2,}\S")


def with_blocks(text: str) -> str:
    """Fence the paragraphs of a docstring that are examples, or are set in columns.

    >>> with_blocks("Add.")
    'Add.'
    >>> with_blocks(">>> 1 + 1").splitlines()
    ['```pycon', '>>> 1 + 1', '```']
    >>> with_blocks("a:  1").splitlines()
    ['```text', 'a:  1', '```']
    """
    return "\n\n".join(_fenced(paragraph) for paragraph in re.split(r"\n\s*\n", text))


def _fenced(paragraph: str) -> str:
    if paragraph.startswith(">>> "):
        return f"```pycon\n{paragraph}\n```"
    if COLUMNS.search(paragraph) and not paragraph.startswith("    "):  # which is code already
        return f"```text\n{paragraph}\n```"
    return paragraph


class Examples(griffe.Extension):
    """Rewrite the docstring of every object that is collected."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring:
            obj.docstring.value = with_blocks(obj.docstring.value)
