"""Mikolov's Penn Treebank from a few lines that stand for it."""

import zipfile

import pytest

from quickstudy.datasets import penn_treebank
from quickstudy.errors import UserError

TEXT = {"train": " a <unk> b \n b N\n", "validation": " a b \n", "test": " b c a \n c \n"}
SENTENCES = {
    "train": [("a", "<unk>", "b"), ("b", "N")],
    "validation": [("a", "b")],
    "test": [("b", "c", "a"), ("c",)],
}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("QUICKSTUDY_DATA", str(tmp_path))
    monkeypatch.setattr(penn_treebank.cache.platformdirs, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(penn_treebank, "TOKENS", {"train": 7, "validation": 3, "test": 6})
    return tmp_path


def test_files_and_archives_are_read_alike(data):
    for part, name in penn_treebank.FILES.items():
        (data / name).write_text(TEXT[part])
    assert penn_treebank.load() == SENTENCES
    with zipfile.ZipFile(data / "ptb.zip", "w", zipfile.ZIP_LZMA) as archive:
        for part, name in penn_treebank.FILES.items():
            (data / name).unlink()
            archive.writestr(f"simple-examples/data/{name}", TEXT[part])
    assert penn_treebank.load() == SENTENCES
    assert [path.name for path in data.iterdir()] == ["ptb.zip"]  # nothing is unpacked


def test_what_is_missing_damaged_or_another_text_is_one_clear_line(data):
    with pytest.raises(UserError, match=r"no ptb.train.txt: put .* QUICKSTUDY_DATA"):
        penn_treebank.load()
    archive = data / "ptb.zip"
    archive.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"ptb.zip is damaged"):
        penn_treebank.load()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("ptb.train.txt", TEXT["train"])
    with pytest.raises(UserError, match=r"has no ptb.valid.txt"):
        penn_treebank.load()
    (data / "ptb.train.txt").write_text("a b c\n")
    with pytest.raises(UserError, match=r"4 words .* not 7"):
        penn_treebank.load()
