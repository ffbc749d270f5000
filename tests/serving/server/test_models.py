"""The models of a server, and their files."""

import asyncio
import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from quickstudy.serving import adapted_file
from quickstudy.serving.server import making, running
from quickstudy.serving.server.addresses import Server
from quickstudy.serving.server.characters import HeldOut
from quickstudy.serving.server.models import Models

from . import tiny


@pytest.fixture(scope="module")
def forgetful(rows_client, tmp_path_factory) -> Path:
    """A file that keeps no examples."""
    path = tmp_path_factory.mktemp("models") / "rows.qs"
    model = rows_client.app.app.state.server.models.get("rows")
    adapted_file.save(path, dataclasses.replace(making.cut(model.adapted), kept=None))
    return path


def test_a_file_without_examples_is_given_as_it_was_read(forgetful: Path, tmp_path: Path):
    content = forgetful.read_bytes()
    (tmp_path / "rows.qs").write_bytes(content)
    kept = Models(tiny.LIMITS, tmp_path)
    assert kept.read_kept() == []
    assert kept.get("rows").file is None
    (tmp_path / "rows.qs").unlink()
    assert making.in_file(kept.get("rows")) == content


def test_a_kept_file_that_no_address_can_name_is_told(forgetful: Path, tmp_path: Path):
    (tmp_path / "a b.qs").write_bytes(forgetful.read_bytes())
    models = Models(tiny.LIMITS, tmp_path)
    (said,) = models.read_kept()
    assert "'a b' is no name" in said
    assert not models.by_name


def watched(server: Server, until, seconds: float = 20) -> None:
    """Look at the files of a server until something is so."""

    async def look() -> None:
        watching = asyncio.create_task(running.watch(server, 0.01))
        for _ in range(int(seconds / 0.01)):
            if until():
                break
            await asyncio.sleep(0.01)
        watching.cancel()

    asyncio.run(look())
    assert until()


@pytest.fixture
def changed(rows_client, tmp_path: Path) -> tuple[Path, Server]:
    """A file of a model that requests changed, with a folder to keep it, on a server started
    again."""
    path, keep = tmp_path / "rows.qs", tmp_path / "kept"
    path.write_bytes(rows_client.get("/v1/models/rows/file").content)
    models = Models(tiny.LIMITS, keep)
    models.read("rows", path)
    models.add("rows", models.get("rows"), np.full((1, 2), 9, np.float32), ["c"], ["c/1"])
    again = Models(tiny.LIMITS, keep)
    again.read("rows", path)
    assert again.read_kept() == []
    return path, Server(again, {}, {}, HeldOut(), tiny.LIMITS)


def test_a_kept_change_of_a_file_is_served_until_the_file_is_replaced(changed):
    path, server = changed
    model = server.models.get("rows")
    assert len(model.adapted.names) == 3
    assert model.file == path
    os.utime(path, ns=(1, 1))
    watched(server, lambda: len(server.models.get("rows").adapted.names) == 2)
    assert not list((path.parent / "kept").iterdir())  # it would be older than the file


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(changed, monkeypatch):
    path, server = changed
    load, read = adapted_file.load, []

    def slowly(file: Path):
        found = load(file)
        if not read:
            os.utime(file, ns=(2, 2))
        read.append(making.stamp(file))
        return found

    monkeypatch.setattr(adapted_file, "load", slowly)
    os.utime(path, ns=(1, 1))
    watched(server, lambda: server.models.get("rows").stamp == making.stamp(path))
    assert len(read) == 2


def test_whatever_is_wrong_with_a_file_ends_no_watch(changed, monkeypatch, capsys):
    path, server = changed

    def fails(file: Path):
        raise RuntimeError("what nobody expects")

    with monkeypatch.context() as patch:
        patch.setattr(adapted_file, "load", fails)
        os.utime(path, ns=(1, 1))
        said: list[str] = []

        def refused() -> bool:
            said.extend(capsys.readouterr().err.splitlines())
            return bool(said)

        watched(server, refused)
    assert json.loads(said[0])["error"] == "what nobody expects"
    os.utime(path, ns=(2, 2))
    watched(server, lambda: len(server.models.get("rows").adapted.names) == 2)
