import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.datasets import texts
from quickstudy.errors import UserError

anything = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)
written = anything.filter(str.strip).filter(lambda text: not text.startswith("\ufeff"))


@settings(max_examples=30)
@given(st.lists(written, min_size=2, max_size=5), st.booleans())
def test_files_are_read_as_they_were_written(tmp_path_factory, found, mark):
    path = tmp_path_factory.mktemp("texts")
    for i, text in enumerate(found):
        folder = path / f"class {i % 2}" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.txt").write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
    read = texts.load(path)
    assert read.names == ("class 0", "class 1")
    assert read.x.tolist() == found[::2] + found[1::2]
    names, x = texts.read(path / "class 1")
    assert names == [str(path / "class 1" / "deep" / f"{i}.txt") for i in range(1, len(found), 2)]
    assert x.tolist() == found[1::2]


@settings(max_examples=30)
@given(st.lists(st.tuples(written, st.sampled_from("ab")), min_size=1, max_size=5))
def test_tables_are_read_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("texts") / "x.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("said", "more", "kind")] + [(a, 1, b) for a, b in rows])
    read = texts.load(path, "said", "kind")
    assert read.x.tolist() == [a for a, b in rows if b == "a"] + [a for a, b in rows if b == "b"]
    assert texts.read(path, "said")[1].tolist() == [a for a, _ in rows]


def test_a_parquet_table_and_a_very_long_line(tmp_path: Path):
    import pyarrow
    import pyarrow.parquet

    long = "word " * 100_000
    cells = {"text": [long, "short"], "label": [1, 2]}
    pyarrow.parquet.write_table(pyarrow.table(cells), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text(f"text,label\n{long},1\nshort,2\n")
    for name in ("x.parquet", "x.csv"):
        read = texts.load(tmp_path / name)
        assert (read.names, read.x.tolist()) == (("1", "2"), [long, "short"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.txt holds no text"),
        (b"\xef\xbb\xbf", "a.txt holds no text"),
        (b" \n\t", "a.txt holds no text"),
        (b"a\0b", "a.txt holds a NUL"),
        ("naïve".encode("latin-1"), r"a.txt is not UTF-8 \(byte 3\)"),
        ("a text".encode("utf-16"), "a.txt is not UTF-8"),
    ],
)
def test_files_without_a_text_are_named(tmp_path: Path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        texts.read(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na b,x\n,y\n", "row 3, column 'text' holds no text"),
        ("text,label\na b,x\nc d,\n", "row 3: no label"),
        ("said,label\na b,x\n", "no column 'text'.* --text-column"),
        ("text,kind\na b,x\n", "no column 'label'.* --label-column"),
        ("text,label\n", "has no rows"),
        ("text,label\na b,x,y\n", "row 2: 3 cells"),
        ('text,label\n"a\0b",x\n', "row 2, column 'text' holds a NUL"),
    ],
)
def test_tables_without_texts_or_labels(tmp_path: Path, content, message):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        texts.load(tmp_path / "x.csv")


def test_numbers_are_no_texts(tmp_path: Path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [1.5, 2.5], "label": ["a", "b"]}), path)
    with pytest.raises(UserError, match=r"row 1, column 'text' holds .*1\.5.*which is no text"):
        texts.load(path)


def test_folders_without_texts(tmp_path: Path):
    with pytest.raises(UserError, match="neither a folder"):
        texts.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="put the texts of each class in a sub-folder"):
        texts.load(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "picture.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"class folder .* has no texts"):
        texts.load(tmp_path)
    with pytest.raises(UserError, match=r"is no text: give \.txt files"):
        texts.read(tmp_path / "a" / "picture.png")


def test_strings_keep_a_nul_at_the_end():
    assert texts.strings(["a\0", "b"])[0] == "a\0"
    assert texts.strings(["a", "b"]).shape == np.shape(["a", "b"])
