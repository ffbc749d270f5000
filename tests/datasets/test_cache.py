import errno
import hashlib
import os
from pathlib import Path

import pytest

from quickstudy.datasets import cache
from quickstudy.errors import UserError

BODY = os.urandom(300_000)
MD5 = hashlib.md5(BODY).hexdigest()


def test_the_users_cache_alone(folders, monkeypatch):
    _, user = folders
    monkeypatch.delenv("QUICKSTUDY_DATA")
    assert cache.folders() == [user]


def test_a_writable_data_folder_comes_first(folders):
    data, user = folders
    assert cache.find("a") is None
    assert cache.place("a") == data / "a"
    user.mkdir()
    (user / "a").touch()
    assert cache.find("a") == user / "a"
    (data / "a").touch()
    assert cache.find("a") == data / "a"


def test_a_read_only_data_folder_is_read_but_not_written(folders):
    data, user = folders
    data.mkdir()
    (data / "a").touch()
    data.chmod(0o555)
    assert cache.find("a") == data / "a"
    assert cache.place("b") == user / "b"


def test_nowhere_to_write(folders):
    for folder in folders:
        folder.write_text("a file where a folder should be")
    with pytest.raises(UserError, match="set QUICKSTUDY_DATA"):
        cache.place("a")


def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        UserError, match="No space left on device; free some space or set QUICKSTUDY"
    ):
        cache.save(tmp_path / "a", lambda file: file.write(b"one"))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_while_downloading(tmp_path: Path, server, monkeypatch):
    server.files["a.zip"] = BODY
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=f"disk of {tmp_path} is full"):
        cache.download([server.url + "a.zip"], tmp_path / "a.zip", MD5)
    assert not list(tmp_path.iterdir())


def test_download(tmp_path: Path, server, capsys):
    server.files["a.zip"] = BODY
    cache.download([server.url + "a.zip"], tmp_path / "a.zip", MD5)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert len(list(tmp_path.iterdir())) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "a.zip" in err


def test_a_broken_connection_is_resumed_where_it_broke(tmp_path: Path, server):
    server.files["a.zip"] = BODY
    server.break_after = 40_000  # more breaks than tries: every one brings new bytes
    cache.download([server.url + "a.zip"], tmp_path / "a.zip", MD5)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.ranges == [None, *(f"bytes={n}-" for n in range(40_000, 300_000, 40_000))]


def test_a_part_of_an_earlier_run_is_resumed(tmp_path: Path, server):
    server.files["a.zip"] = BODY
    (tmp_path / "a.zip.part").write_bytes(BODY[:1000])
    cache.download([server.url + "a.zip"], tmp_path / "a.zip", MD5)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.ranges == ["bytes=1000-"]


def test_a_part_that_was_complete(tmp_path: Path, server):
    server.files["a.zip"] = BODY
    (tmp_path / "a.zip.part").write_bytes(BODY)
    cache.download([server.url + "a.zip"], tmp_path / "a.zip", MD5)
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_server_that_does_not_resume(tmp_path: Path, server):
    server.files["a.zip"] = BODY
    server.resumes = False
    (tmp_path / "a.zip.part").write_bytes(BODY[:1000])
    cache.download([server.url + "a.zip"], tmp_path / "a.zip", MD5)
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_server_that_always_breaks_early_is_given_up(tmp_path: Path, server):
    server.files["a.zip"] = BODY
    server.resumes = False
    server.break_after = 1000
    with pytest.raises(UserError, match="broke off after 1000 of 300000 bytes"):
        cache.download([server.url + "a.zip"], tmp_path / "a.zip", MD5)
    assert len(server.ranges) == cache.TRIES + 1


def test_the_second_address_is_tried(tmp_path: Path, server):
    server.files["b/a.zip"] = BODY
    cache.download([server.url + "a.zip", server.url + "b/a.zip"], tmp_path / "a.zip", MD5)
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, server):
    server.files["a.zip"] = b"not what was asked for"
    actual = hashlib.md5(server.files["a.zip"]).hexdigest()
    with pytest.raises(UserError, match=rf"a\.zip has md5 {actual}, not {MD5}, and was removed"):
        cache.download([server.url + "a.zip"], tmp_path / "a.zip", MD5)
    assert not list(tmp_path.iterdir())


def test_an_unreachable_host_says_what_to_fetch_by_hand(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(cache, "PAUSE", 0)
    url = "http://127.0.0.1:9/a.zip"  # the discard port: nothing listens
    with pytest.raises(UserError, match=f"fetch {url} on a machine that can.*QUICKSTUDY_DATA"):
        cache.download([url], tmp_path / "a.zip", MD5)


def test_verify(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(BODY)
    cache.verify(path, MD5, ["u"])
    path.write_bytes(BODY[:-1])
    with pytest.raises(UserError, match=r"a\.zip has md5"):
        cache.verify(path, MD5, ["u"])
