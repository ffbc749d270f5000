import csv
import sys
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.datasets import table
from quickstudy.datasets.columns import Column, typed
from quickstudy.errors import UserError

quick = settings(max_examples=40, deadline=None)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
label = st.text('ab,"é\n ', min_size=1, max_size=4).filter(str.strip)
rows = st.lists(st.tuples(finite, label, finite), min_size=1, max_size=20)


def check(grouped, rows):
    assert [column.kind for column in grouped.columns] == ["number", "number"]
    rows = [(a, " ".join(label.split()), b) for a, label, b in rows]
    assert grouped.names == tuple(sorted({label for _, label, _ in rows}))
    for c, name in enumerate(grouped.names):
        got = grouped.x[grouped.first[c] : grouped.first[c] + grouped.count[c]]
        assert got.tolist() == [[a, b] for a, label, b in rows if label == name]


@quick
@given(rows)
def test_csv_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("a", "label", "b"), *rows])
    check(table.load(path), rows)


@quick
@given(rows)
def test_parquet_round_trip(tmp_path_factory, rows):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path_factory.getbasetemp() / "t.parquet"
    a, labels, b = (list(column) for column in zip(*rows, strict=True))
    parquet.write_table(pyarrow.table({"a": a, "kind": labels, "b": b}), path)
    check(table.load(path, label_column="kind"), rows)


def test_a_byte_order_mark_blank_lines_and_odd_spacing(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("\ufefflabel,a\n\nx, 1\ny,2e3 \n\n", encoding="utf-8")
    grouped = table.load(path)
    assert grouped.names == ("x", "y")
    assert grouped.x.tolist() == [[1], [2000]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,label\n", "has no rows"),
        ("a,Label\n1,x\n", r"no label column 'label'; did you mean Label\? \(known: a, Label\)"),
        ("a,a,label\n1,2,x\n", "two columns of the same name"),
        ("label\nx\n", "no column but 'label'"),
        ("a,label\n1,x\n2\n", "row 3: 1 cells, but the header has 2"),
        ("a,label\n1,x\n\ntall,y\n", "row 4, column 'a': 'tall' is not a finite number"),
        ("a,label\n1,x\ninf,y\n", "row 3, column 'a': 'inf' is not"),
        ("a,label\n1,x\n1e99,y\n", "row 3, column 'a': '1e99' is not"),
        ("a,label\n1,x\n2,\n", "row 3: no label"),
        ("a,label\n1,x\n2, \n", "row 3: no label"),
        ("a,label\n1,x\n2,y\0\n", "row 3: the label .* holds a NUL"),
        ("a,label\n1,x\n2\0,y\n", r"row 3, column 'a': '2\\x00' is not a finite number"),
        (",a,label\n0,1,x\n", "column 1 has no name"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        table.load(path)
    assert str(path) in str(error.value)


def test_files_that_are_no_tables(tmp_path: Path):
    with pytest.raises(UserError, match="there is no file"):
        table.load(tmp_path / "none.csv")
    (tmp_path / "t.csv").write_bytes(b"a,label\n\xff,x\n")
    with pytest.raises(UserError, match=r"t\.csv cannot be read as UTF-8"):
        table.load(tmp_path / "t.csv")
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"t\.parquet cannot be read"):
        table.load(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"a": ["1", "tall"]}, "row 2, column 'a': 'tall'"),
        ({"a": [[1.0], [2.0]]}, r"row 1, column 'a': \[1.0\]"),
        ({"a": [1, 2], "label": [3, None]}, "row 2: no label"),
        ({"a": [1, 2], "label": [3.0, float("nan")]}, r"row 2: no label \(nan\)"),
        ({"a": [1, 2], "label": ["x", None]}, "row 2: no label"),
        ({"a": ["1", "2\0"]}, "row 2, column 'a'"),
    ],
)
def test_parquet_cells_are_checked(tmp_path: Path, column, message: str):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"label": ["x", "y"], **column}), path)
    with pytest.raises(UserError, match=message):
        table.load(path)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch):
    (tmp_path / "t.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'quickstudy\[parquet\]'"):
        table.load(tmp_path / "t.parquet")


WORD = st.text("abé \n,\"'", max_size=4)
DATES = st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1))
NUMBER = st.floats(width=32, allow_nan=False, allow_infinity=False)


@quick
@given(st.lists(st.tuples(st.none() | NUMBER, DATES, WORD), min_size=1, max_size=12))
def test_columns_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "kinds.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        cells = [("" if n is None else n, d.isoformat(), w, 1) for n, d, w in rows]
        csv.writer(file).writerows([("number", "date", "word", "label"), *cells])
    read = table.read(path)
    number, day, word = read.columns
    assert (number.kind, day.kind) == ("number", "date")
    expected = [np.nan if n is None else n for n, _, _ in rows]
    np.testing.assert_array_equal(read.x[:, 0], expected)
    for (_, when, _), days in zip(rows, read.x[:, 1], strict=True):
        assert abs((when - datetime(2000, 1, 1)).total_seconds() - days * 86400) < 1e-3
    words = [" ".join(w.split()) for _, _, w in rows]
    if any(words):
        assert word.categories == tuple(sorted(set(words)))
        assert [word.categories[int(code)] for code in read.x[:, 2]] == words


@pytest.mark.parametrize(
    ("cell", "days"),
    [
        ("2000-01-01", 0),
        ("2000-01-02 12:00", 1.5),
        ("2000-01-02T00:30+02:00", 1 - 1.5 / 24),
        ("2000/1/31", 30),
        ("1.2.2000", 31),
        ("3 March 2000", 62),
        ("03-Mar-2000", 62),
        ("Mar 3, 2000", 62),
        (date(1999, 12, 31), -1),
        (datetime(2000, 1, 1, 6), 0.25),
        (np.datetime64("2000-01-03"), 2),
        ("2000-02-30", None),
        ("3/4/2000", None),
        ("1.2.00", None),
        ("20000101", None),
    ],
)
def test_dates_that_can_be_read_in_one_way(cell, days):
    if days is None:
        with pytest.raises(UserError, match="column 'd'"):
            typed("x.csv", "d", [cell], [2], Column("d", "date"))
        return
    column, found = typed("x.csv", "d", [cell, None], [2, 3])
    assert column.kind == "date"
    np.testing.assert_allclose(found, [days, np.nan], atol=1e-9)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["3/4/2024", "5/6/2024"], "'3/4/2024' may be read in two ways: write dates as"),
        (["2024-03-05", "3/4/24"], "row 3, .*'3/4/24' may be read in two ways"),
        (["1,234", "12"], "'1,234' may be read in two ways: write numbers"),
        (["1.234,5"], "may be read in two ways"),
        (["1,5"], "may be read in two ways"),
        (["2024-03-05", "2024-03-06", "soon"], "'soon' is not a date, as others are"),
        (["1", "2", "inf"], "'inf' is not a finite number, as others are"),
    ],
)
def test_what_is_not_clear_is_refused(cells, says):
    with pytest.raises(UserError, match=says):
        typed("x.csv", "a", cells, range(2, 2 + len(cells)))


def test_words_and_numbers():
    kind = lambda cells: typed("x.csv", "a", cells, range(len(cells)))[0].kind  # noqa: E731
    assert kind(["1", "nan", "", "2e3"]) == "number"
    assert kind(["a", "1", "b"]) == "category"
    column, codes = typed("x.csv", "a", ["NA", "de", "", " de"], range(4))
    assert column == Column("a", "category", ("", "NA", "de"))
    assert codes.tolist() == [1, 2, 0, 2]


@pytest.mark.parametrize(
    ("like", "cells", "says"),
    [
        (Column("a", "category", ("x",)), ["3", "4"], "holds numbers .3., but words in training"),
        (Column("a", "category", ("x",)), ["2024-01-01"], "holds dates"),
        (Column("a", "number"), ["3", "tall"], "'tall' is not a finite number, as in training"),
        (Column("a", "date"), ["3"], "'3' is not a date, as in training"),
        (Column("a", "category", ("12", "x")), ["12"], None),
        (Column("a", "category", ("x",)), ["y"], None),
        (Column("a", "number"), ["", None], None),
    ],
)
def test_a_column_keeps_its_kind(like, cells, says):
    if says is None:
        assert typed("x.csv", "a", cells, range(9)[: len(cells)], like)[0].kind == like.kind
        return
    with pytest.raises(UserError, match=says):
        typed("x.csv", "a", cells, range(len(cells)), like)


def test_columns_are_told_and_copies_of_the_label_too(tmp_path, capsys):
    path = tmp_path / "x.csv"
    rows = ["r,3,2024-01-01,7,a", "g,,2024-01-02,8,b", "g,5,2024-01-03,8,b", "b,1,2024-01-04,7,a"]
    path.write_text("\n".join(["colour,size,day,code,label", *rows]))
    table.load(path)
    said = capsys.readouterr().err
    what = "4 columns: 2 numbers, 1 category (colour: 3), 1 date; 1 missing cell filled"
    assert what in said
    assert said.count("as a copy of the label does") == 1
    assert "column 'code' tells the class of every row" in said
