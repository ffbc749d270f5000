"""What learners say: limits, and numbers that are none."""

import time
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from quickstudy.serving.server import asking, schemas
from quickstudy.serving.server.addresses import Server
from quickstudy.serving.server.app import application
from quickstudy.serving.server.learners import NEIGHBOUR, neighbour, warm
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.reading import TooMuch


def test_too_many_examples_are_refused_before_they_are_looked_at():
    request = schemas.Learn([schemas.Example(str(i), None) for i in range(30_000)])
    began = time.process_time()
    with pytest.raises(TooMuch, match="there are 30000 inputs"):
        asking.learn([], request, Limits())
    assert time.process_time() - began < 0.5


def test_an_input_without_an_answer_is_refused(rows_client):
    far, near = [1e20, 0], [0, 0]
    answer = rows_client.post("/v1/models/rows/predict", json={"inputs": [near, far]})
    assert answer.status_code == 422
    assert answer.json() == {
        "error": "input 2 gives no numbers: is it in the units of the training?",
        "input": "2",
    }
    asked = {
        "learners": ["rows"],
        "examples": [{"class": k, "input": [i, i]} for i, k in enumerate("aabb")],
        "queries": [near, far],
    }
    (said,) = rows_client.post("/v1/learn", json=asked).json()["answers"]
    assert said["refused"].startswith("query 2, or an example, gives no numbers")
    assert said["queries"] == []
    found = rows_client.post("/v1/learn", json={**asked, "queries": [near, "?"]})
    assert found.json()["input"] == "query 2"
    asked["queries"], asked["measure"] = [near], True
    (said,) = rows_client.post("/v1/learn", json=asked).json()["answers"]
    assert said["refused"] is None
    asked["examples"][0]["input"] = far
    (said,) = rows_client.post("/v1/learn", json=asked).json()["answers"]
    assert "gives no numbers" in said["refused"]
    classes = {"a": [near, far], "b": [[3, 4]]}
    answer = rows_client.put("/v1/models/far", json={"classes": classes})
    assert answer.status_code == 422


def test_nearest_neighbour_compares_the_inputs_of_the_learner_beside_it(rows_client):
    server = rows_client.app.app.state.server
    one = server.learners["rows"]
    inputs = replace(one.inputs, deviation=(10.0, 10.0))
    tasks = replace(one.settings.tasks, inputs=inputs)
    other = replace(one, name="tens", settings=replace(one.settings, tasks=tasks))
    near = warm(neighbour(one))
    learners = {"rows": one, "tens": other, NEIGHBOUR: near}
    server = Server(server.models, learners, {(2,): near}, server.held_out, server.limits)
    client = TestClient(application(server))
    asked = {"examples": [{"class": "a", "input": [0, 0]}], "queries": [[3, 4]]}
    for name, distance in (("rows", 25), ("tens", 0.25)):
        found = client.post("/v1/learn", json={**asked, "learners": [name, NEIGHBOUR]}).json()
        (said,) = found["answers"][1]["queries"]
        assert said["nearest"][0]["distance"] == pytest.approx(distance)
