"""No label is missing, and a class is not split in two by its spelling."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.datasets import arrays, table
from quickstudy.datasets.labels import class_names, normalised
from quickstudy.errors import UserError

MISSING = [None, math.nan, np.float32("nan"), "", " ", "\t\n", "\u00a0"]


@given(st.lists(st.text("abé1", min_size=1), min_size=1), st.data())
def test_a_missing_label_is_named_by_its_row(labels: list, data: st.DataObject):
    place = data.draw(st.integers(0, len(labels)))
    missing = data.draw(st.sampled_from(MISSING))
    labels = [*labels[:place], missing, *labels[place:], missing]
    with pytest.raises(UserError, match=rf"here, row {place + 10}: no label"):
        class_names("here", labels, range(10, 10 + len(labels)))


@given(st.integers(-(10**6), 10**6), st.integers(0, 3), st.sampled_from(["", " ", "\t", "\u00a0"]))
def test_a_whole_number_is_one_class_however_it_is_written(number: int, zeros: int, space: str):
    written = [str(number), number, float(number), f"{space}{number}.{'0' * zeros}{space}"]
    assert {normalised(label) for label in written} == {str(number)}


@given(st.text("ab", min_size=1), st.text(" \t\n\u00a0"), st.text("cd", min_size=1))
def test_white_space_does_not_split_a_class(one: str, space: str, other: str):
    written = [f"{space}{one} {other}", f"{one}{space} {other}", f"{one} {other}{space}"]
    assert {normalised(label) for label in written} == {f"{one} {other}"}


def test_composed_letters_are_one_class_and_other_spellings_are_not():
    assert normalised("e\u0301") == normalised("\u00e9") == "\u00e9"
    different = ["Wren", "wren", "1", "01", "1.5", "1.10", "1.1", "v1.0"]
    assert len({normalised(label) for label in different}) == len(different)


def test_spellings_that_become_one_are_said(capsys):
    assert class_names("here", ["1", "wren", "1.0"], [5, 6, 7]) == ["1", "wren", "1"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "'1' (row 5) and '1.0' (row 7)" in said[0]


@pytest.mark.parametrize("word", ["nan", "None", "NULL", "N/A", "<NA>"])
def test_a_class_called_as_a_missing_label_is_said(capsys, word: str):
    assert class_names("here", ["wren", word], [5, 6]) == ["wren", word]
    assert f"a class called {word!r} (row 6)" in capsys.readouterr().err


def test_all_files_say_so(tmp_path: Path, capsys):
    x = np.arange(4.0)[:, None]
    npz = tmp_path / "a.npz"
    np.savez(npz, x=x, y=np.array(["wren", "wren ", "tit", "1.0"]))
    assert arrays.load(npz).names == ("1", "tit", "wren")
    assert "taken for one class, 'wren'" in capsys.readouterr().err
    np.savez(npz, x=x, y=np.array(["a", "b", "", "c"]))
    with pytest.raises(UserError, match=r"a\.npz, y, row 2: no label"):
        arrays.load(npz)
    np.savez(npz, x=x, y=np.array([1.0, 2.0, np.nan, 1.0]))
    with pytest.raises(UserError, match="row 2 is nan; labels must be integers or strings"):
        arrays.load(npz)
    csv = tmp_path / "a.csv"
    csv.write_text("a,label\n1,1\n2,1.0\n3, wren\n4,wren\n")
    assert table.load(csv).names == ("1", "wren")
    said = capsys.readouterr().err
    assert "'1' (row 2) and '1.0' (row 3)" in said
    assert "' wren' (row 4) and 'wren' (row 5)" in said


def test_numbers_of_a_parquet_file_are_whole(tmp_path: Path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(
        pyarrow.table({"a": [1, 2, 3], "label": [1.0, 2.0, 1.0]}), tmp_path / "a.parquet"
    )
    assert table.load(tmp_path / "a.parquet").names == ("1", "2")
