"""The models of a server, and their files."""

import dataclasses
from pathlib import Path

import pytest

from quickstudy.serving import adapted_file
from quickstudy.serving.server import making
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
