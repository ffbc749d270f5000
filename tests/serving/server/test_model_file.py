"""A model of the server as a file."""

from pathlib import Path

import pytest

from quickstudy.serving import adapted_file
from quickstudy.serving.predicting import predict

from .conftest import picture, png

CLASSES = {"across": [png(0, 1), png(0, 2)], "down": [png(1, 1), png(1, 2)]}


def test_a_model_that_requests_made_answers_the_same_from_its_file(client, tmp_path: Path):
    client.put("/v1/models/taken", json={"classes": CLASSES, "learner": "characters"})
    try:
        answer = client.get("/v1/models/taken/file")
        assert answer.headers["content-disposition"] == 'attachment; filename="taken.qs"'
        (tmp_path / "taken.qs").write_bytes(answer.content)
        (tmp_path / "query.png").write_bytes(picture(1, 7))
        (here,) = predict(tmp_path / "taken.qs", [tmp_path / "query.png"])
        asked = {"inputs": [png(1, 7)]}
        (there,) = client.post("/v1/models/taken/predict", json=asked).json()["predictions"]
    finally:
        client.delete("/v1/models/taken")
    assert here.probabilities == pytest.approx(there["probabilities"], abs=1e-5)
    assert here.score == pytest.approx(there["score"], abs=1e-5)


def test_a_model_from_a_file_is_given_as_it_would_be_written(client, tmp_path: Path):
    (tmp_path / "symbols.qs").write_bytes(client.get("/v1/models/symbols/file").content)
    again = adapted_file.load(tmp_path / "symbols.qs")
    assert list(again.names) == ["a", "b", "c"]
    assert client.get("/v1/models/nothing/file").status_code == 404
