"""Names of classes, files and folders are printed as they are: brackets are no markup, and no
character of theirs reaches the terminal that it would obey."""

import io
import json
import os
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from quickstudy import progress
from quickstudy.cli import main, show
from quickstudy.datasets.labels import normalised
from quickstudy.terminal import printable, warn

NASTY = [
    "[/b]",
    "[red]warm",
    "[link=https://x.example]here[/link]",
    ":warning:",
    "\x1b[2Jclear",
    "\x9b2Jclear",
    "two\nlines",
    "bell\a\b\r\t",
    "\u202egnp.exe",
    "two\u2028lines",
    "é 漢字",
    "1.5 /usr/bin https://x.example 'word' True",
    os.fsdecode(b"no-\xff-text"),
]

SHOWN = [normalised(name) for name in NASTY]
"""Labels have one spelling: white space is one space."""


def without_space(text: str) -> str:
    return "".join(text.split())


def obeyed(text: str) -> list[str]:
    """Characters that do more than stand there, by what Unicode says of them."""
    directions = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
    return [
        c
        for c in text
        if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(c) in directions
    ]


@given(st.text() | st.sampled_from(NASTY))
def test_printable_text_has_no_character_that_a_terminal_obeys(text):
    shown = printable(text)
    assert not obeyed(shown)
    assert "\x1b" not in shown
    if not obeyed(text):
        assert shown == text


@settings(max_examples=25)
@given(st.lists(st.text(min_size=1, max_size=60) | st.sampled_from(NASTY), min_size=1, max_size=4))
@example(NASTY)
@example(["x" * 500, "漢" * 200, "two words " * 30])
@pytest.mark.parametrize("columns", [1, 40, 80, 200])
@pytest.mark.parametrize("figures", [True, False])
def test_a_table_has_all_of_every_name_and_figure(columns, figures, names):
    figure = "98.12 ± 0.21"
    heads = ["name", *(f"metric {i}" for i in range(6))]
    rows = [[name, *[figure] * 6] for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        out = io.StringIO()
        patch.setattr("sys.stdout", out)
        show.table(names[0], heads, rows, figures=figures)
    said = out.getvalue()
    assert not obeyed(said.replace("\n", ""))
    title, _, table = said.partition("─")
    assert title.startswith(printable(names[0]))
    if figures:
        assert said.count(figure) == 6 * len(names)
        first = "".join(line[: line.find(figure)].strip() for line in table.splitlines()[1:])
        assert without_space("".join(map(printable, names))) == without_space(first)


def test_a_line_of_progress_and_the_bar_show_names_as_they_are(monkeypatch, capsys):
    with progress.progress("\x1b[2J[/b]", 2) as reporter:
        reporter.at(2, "[red]:warning:")
    assert capsys.readouterr().err.startswith("\\x1b[2J[/b]: 2/2  [red]:warning:")
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda **_: terminal)
    with progress.progress("\x1b[2J[/b]", 2) as reporter:
        reporter.at(1, "[red]:warning:\a")
    assert "\\x1b[2J[/b]  [red]:warning:\\x07" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()


def test_a_warning_is_one_line(capsys):
    warn("first\n  second \x1b[2J  and  third\n")
    assert capsys.readouterr().err == "quickstudy: first second \\x1b[2J  and  third\n"


def test_letters_that_the_terminal_lacks_are_escaped(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert main(["search"]) == 0
    out.flush()
    assert b"VALUE VALUE \\u2026" in out.buffer.getvalue()


def test_every_command_shows_nasty_names_as_they_are(tmp_path, capfd, monkeypatch):
    """Classes, runs, files and tasks."""
    monkeypatch.setenv("COLUMNS", "500")
    rng = np.random.default_rng(0)
    folder = tmp_path / "[red]\x1b[2J:warning:[/b]"
    folder.mkdir(parents=True)
    data, run, other = folder / "[i]x.npz", folder / "[i]run", folder / "[i]other"
    x = rng.normal(size=(12 * 4, 5)).astype(np.float32)
    np.savez(data, x=x, y=np.repeat(np.arange(12), 4))
    support = folder / "support.npz"
    np.savez(support, x=x[: len(NASTY)], y=np.array(NASTY))
    shown = printable(str(folder))
    sizes = ["--tasks", f"npz:{data}", "--way", "2", "--query", "2"]

    def said(*words: object, status: int = 0) -> str:
        capfd.readouterr()
        assert main([str(word) for word in words]) == status
        text = "".join(capfd.readouterr())
        assert not obeyed(text.replace("\n", ""))
        return text

    assert f"trained: {shown}/[i]run" in said("train", "pixels", *sizes, "--run", run)
    said("train", "pixels", *sizes, "--run", other, "--shot", "2")
    episodes = ("--episodes", "2")
    text = said("evaluate", run, *episodes)
    assert f"{shown}/[i]run" in text
    assert f"npz:{shown}/[i]x.npz" in text
    assert f"{shown}/[i]other" in said("compare", run, other, *episodes)
    assert f"written: {shown}" in said("report", run, "--out", folder / "[b].html")
    symbols = folder / "[i]symbols.qs"
    text = said("adapt", run, "--support", support, "--out", symbols)
    assert all(printable(name) in text for name in SHOWN)
    assert f"written: {shown}/[i]symbols.qs" in text
    text = said("predict", symbols, support)
    assert all(printable(name) in text for name in SHOWN)
    assert f"{shown}/support.npz, row 0" in text
    found = json.loads(said("predict", symbols, support, "--json"))
    assert [row["name"] for row in found] == SHOWN
    assert f"quickstudy: {shown}/no is not a run" in said("evaluate", folder / "no", status=2)
    assert f"{shown}/[i]absent.npz" in said("predict", symbols, folder / "[i]absent.npz", status=2)
    options = ("--distance", "cosine", "euclidean", "--episodes", "2")
    assert f"{shown}/[i]run, validation classes" in said("search", run, *options)
