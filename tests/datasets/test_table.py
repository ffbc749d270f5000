import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.datasets import table
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
