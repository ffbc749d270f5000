"""Files are written whole, by one process at a time, and in the place of nothing else."""

import json
import os
import subprocess
import sys

import pytest

from quickstudy.errors import UserError
from quickstudy.files import (
    in_bytes,
    only_process,
    read_json,
    remove_partials,
    require_ours,
    write_atomically,
)

NOBODY = 2**22 + 1
"""No process has this number: Linux gives none above 2²²."""


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, lambda file: file.write(b"one"))

    def interrupted(file):
        file.write(b"tw")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, interrupted)
    assert path.read_bytes() == b"one"
    write_atomically(path, b"three")
    assert path.read_bytes() == b"three"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("what", ["device", "pipe", "folder"])
def test_what_is_no_file_is_never_replaced(tmp_path, what):
    path = tmp_path / "out"
    if what == "device":
        path.symlink_to("/dev/null")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = os.lstat(path)
    with pytest.raises(UserError, match=r"cannot write .*out: it is .*; choose another --out"):
        write_atomically(path, b"a page", "choose another --out")
    with pytest.raises(UserError, match=r"cannot write .*out: it is .*; choose another --out"):
        require_ours(path, b"", "a report", "--out")
    assert os.lstat(path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    for name, process in (("a", NOBODY), ("b", NOBODY), ("a", os.getppid()), ("a", "words")):
        (tmp_path / f".{name}.{process}.partial").write_bytes(b"half")
    write_atomically(tmp_path / "a", b"whole")
    kept = {f".a.{os.getppid()}.partial", ".a.words.partial"}
    assert {p.name for p in tmp_path.iterdir()} == {"a", f".b.{NOBODY}.partial", *kept}
    remove_partials(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a", *kept}


HOLDING = """
import sys, time
from pathlib import Path
from quickstudy.files import only_process
with only_process(Path(sys.argv[1]), "trains", "--run"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_process_holds_a_folder_until_it_ends_however_it_does(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            said = f"another process trains in {folder}: wait for its end, or choose another --run"
            with pytest.raises(UserError, match=said), only_process(folder, "trains", "--run"):
                pass
        finally:
            other.kill()
        other.wait()
        with only_process(folder, "trains", "--run"):
            pass
    with only_process(folder, "trains", "--run"):
        pass


def test_files_of_others_are_not_replaced(tmp_path):
    path = tmp_path / "page.html"
    require_ours(path, b"mark", "a report", "--out")
    path.write_text("dear all")
    with pytest.raises(UserError, match=r"page.html exists and is not a report of quickstudy"):
        require_ours(path, b"mark", "a report", "--out")
    path.write_text("with a mark")
    require_ours(path, b"mark", "a report", "--out")
    with pytest.raises(UserError, match="takes no files; choose another --out"):
        require_ours(path / "below" / "page.html", b"mark", "a report", "--out")


@pytest.mark.parametrize("content", ["[]", "null", "3", '"x"', "NaN", "{", "[" * 100_000, "\xff"])
def test_json_that_is_no_object_is_damaged(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"config\.json is damaged: choose another"):
        read_json(path, "choose another")
    path.write_text(json.dumps({"a": [1]}))
    assert read_json(path, "choose another") == {"a": [1]}


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (37_600, "37.6 kB"),
        (999_960, "1.0 MB"),
        (2.5e9, "2.5 GB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_sizes_have_the_unit_that_suits_them(count, words):
    assert in_bytes(count) == words
