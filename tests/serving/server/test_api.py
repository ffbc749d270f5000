"""The interface as docs/serving.md has it."""

import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from .conftest import bytes_of, in_base64, picture, png

STAR = {"strokes": [[[0, 0], [10, 10]], [[0, 10], [10, 0]]]}
CLASSES = {"across": [png(0, 1), png(0, 2)], "down": [png(1, 1), png(1, 2)]}


@pytest.fixture
def made(client):
    """A model that a request made."""
    answer = client.put("/v1/models/lines", json={"classes": CLASSES, "learner": "characters"})
    assert answer.status_code in (200, 201), answer.text
    yield answer.json()
    client.delete("/v1/models/lines")


def test_health_and_cards(client):
    found = client.get("/health").json()
    assert found["status"] == "ok"
    assert found["models"] == ["symbols"]
    assert found["learners"] == ["characters", "maml", "matching", "nearest neighbour"]
    (card,) = client.get("/v1/models").json()["models"]
    assert card == client.get("/v1/models/symbols").json()
    assert card["file"] == "symbols.qs"
    assert card["classes"][0] == {"name": "a", "examples": 2}
    assert card["takes"]["kind"] == "pictures"
    assert card["changes"]
    assert [row["method"] for row in card["left_out"]] == ["protonet", "nearest neighbour"]
    learners = {one["name"]: one for one in client.get("/v1/learners").json()["learners"]}
    assert learners["maml"]["most_classes"] == 3
    assert "at most 3 classes" in learners["maml"]["cannot"][0]
    assert learners["maml"]["shows"] == ["steps"]
    assert learners["matching"]["shows"] == ["attention"]
    assert learners["characters"]["most_examples"] == 40


def test_files_and_base64_have_the_same_answer(client):
    sent = [("file", ("one.png", picture(0))), ("file", ("two.png", picture(1)))]
    by_files = client.post("/v1/models/symbols/predict", files=sent).json()
    values = ["data:image/png;base64," + png(0), png(1)]
    by_json = client.post("/v1/models/symbols/predict", json={"inputs": values}).json()
    assert [one["input"] for one in by_files["predictions"]] == ["one.png", "two.png"]
    assert [one["input"] for one in by_json["predictions"]] == ["1", "2"]
    for a, b in zip(by_files["predictions"], by_json["predictions"], strict=True):
        assert {**a, "input": ""} == {**b, "input": ""}
        assert sum(a["probabilities"].values()) == pytest.approx(1)
        assert a["unknown"] == (a["score"] <= by_files["threshold"])
        assert a["name"] == "unknown" or a["name"] == max(
            a["probabilities"], key=a["probabilities"].get
        )
        assert len(a["nearest"]) == 3


def test_answers_do_not_depend_on_what_is_asked_with_them(client):
    values = [png(i % 3, i) for i in range(40)]
    together = client.post("/v1/models/symbols/predict", json={"inputs": values}).json()
    alone = client.post("/v1/models/symbols/predict", json={"inputs": values[-1:]}).json()
    a, b = together["predictions"][-1], alone["predictions"][0]
    assert a["probabilities"] == pytest.approx(b["probabilities"], rel=1e-4)
    assert (
        client.post("/v1/models/symbols/predict", json={"inputs": []}).json()["predictions"] == []
    )


def test_a_model_is_made_changed_and_removed(client, made):
    assert made["file"] is None
    assert [one["name"] for one in made["classes"]] == ["across", "down"]
    more = {"classes": {"round": [png(2, 1), STAR], "down": [png(1, 7)]}}
    card = client.post("/v1/models/lines/classes", json=more).json()
    assert card["classes"] == [
        {"name": "across", "examples": 2},
        {"name": "down", "examples": 3},
        {"name": "round", "examples": 2},
    ]
    found = client.post("/v1/models/lines/predict", json={"inputs": [png(2, 1)]}).json()
    assert found["predictions"][0]["nearest"][0]["example"] == "round/1"
    assert max(found["predictions"][0]["probabilities"].items(), key=lambda x: x[1])[0] == "round"
    card = client.delete("/v1/models/lines/classes/across").json()
    assert [one["name"] for one in card["classes"]] == ["down", "round"]
    assert client.delete("/v1/models/lines/classes/down").status_code == 409
    assert client.delete("/v1/models/lines/classes/none").status_code == 404
    assert client.delete("/v1/models/lines").status_code == 204
    assert client.get("/v1/models/lines").status_code == 404
    assert client.delete("/v1/models/symbols").status_code == 409
    assert client.put("/v1/models/symbols", json={"classes": CLASSES}).status_code == 409


def test_a_model_of_a_form(client):
    sent = [
        ("over", ("a.png", picture(0))),
        ("b/c", ("x.png", picture(1))),
        ("learner", (None, "matching")),
    ]
    answer = client.put("/v1/models/form", files=sent)
    assert answer.status_code == 201, answer.text
    card = answer.json()
    assert card["learner"] == "matching"
    assert card["left_out"] == []  # each class has one example
    answer = client.post("/v1/models/form/classes", files=[("third", ("y.png", picture(2)))])
    assert len(answer.json()["classes"]) == 3
    assert client.delete("/v1/models/form/classes/b%2Fc").status_code == 200
    assert client.delete("/v1/models/form").status_code == 204


def test_all_learners_learn_in_one_request(client):
    labels = ["across", "down", "across", "10", "down", "10"]
    asked = {
        "examples": [{"class": k, "input": png(i % 3, i)} for i, k in enumerate(labels)],
        "queries": [png(0, 9), STAR],
        "measure": True,
        "show": True,
    }
    found = client.post("/v1/learn", json=asked).json()
    assert found["classes"] == ["across", "down", "10"]
    assert [a["learner"] for a in found["answers"]] == client.get("/health").json()["learners"]
    for answer in found["answers"]:
        assert answer["refused"] is None
        assert answer["left_out"]["of"] == 6
        for said in answer["queries"]:
            assert sum(said["probabilities"]) == pytest.approx(1)
            assert [near["class"] for near in said["nearest"]] == [
                labels[near["example"]] for near in said["nearest"]
            ]
            distances = [near["distance"] for near in said["nearest"]]
            assert distances == sorted(distances)
    maml, matching = found["answers"][1:3]
    assert len(maml["queries"][0]["steps"]) == 4
    assert sum(matching["queries"][0]["attention"]) == pytest.approx(1, rel=1e-4)
    assert len(found["seen"]["examples"]) == 6
    assert len(found["seen"]["queries"]) == 2


def test_one_class_is_enough_and_too_many_are_refused_by_one(client):
    one = {
        "examples": [{"class": "a", "input": STAR}],
        "queries": [STAR],
        "learners": ["characters"],
    }
    (answer,) = client.post("/v1/learn", json=one).json()["answers"]
    assert answer["queries"][0]["probability"] == 1
    five = [{"class": str(i), "input": png(i % 3, i)} for i in range(5)]
    found = client.post("/v1/learn", json={"examples": five, "queries": [STAR]}).json()
    refused = {a["learner"]: a["refused"] for a in found["answers"]}
    assert refused["characters"] is None
    assert "at most 3 classes" in refused["maml"]
    assert client.post("/v1/learn", json={"examples": []}).status_code == 422


def test_strokes_are_scaled_and_centred(client):
    moved = {"strokes": [[[100 + 7 * x, -50 + 7 * y] for x, y in s] for s in STAR["strokes"]]}
    asked = {"examples": [{"class": "a", "input": STAR}], "queries": [moved], "show": True}
    seen = client.post("/v1/learn", json={**asked, "learners": ["characters"]}).json()["seen"]
    assert seen["examples"] == seen["queries"]


def test_characters_can_be_sent_back(client):
    found = client.get("/v1/characters", params={"count": 2, "drawings": 3, "seed": 5}).json()
    assert found == client.get("/v1/characters?count=2&drawings=3&seed=5").json()
    assert [len(one["pictures"]) for one in found["characters"]] == [3, 3]
    values = [p for one in found["characters"] for p in one["pictures"]]
    answer = client.post("/v1/models/symbols/predict", json={"inputs": values})
    assert answer.status_code == 200
    for query in (
        "count=0",
        "count=21",
        "count=x",
        "count=-1",
        "drawings=11",
        "seed=1e3",
        "count=",
    ):
        assert client.get(f"/v1/characters?{query}").status_code == 400


def test_no_request_compiles(client, compiled):
    before = len(compiled)
    for n in (2, 3, 5, 8, 20, 33):
        classes = {str(k): [png(k % 3, k + j) for j in range(1 + n // 6)] for k in range(min(n, 6))}
        assert client.put("/v1/models/many", json={"classes": classes}).status_code in (200, 201)
        values = [png(i % 3, i) for i in range(n)]
        client.post("/v1/models/many/predict", json={"inputs": values})
        examples = [{"class": str(i % 4), "input": value} for i, value in enumerate(values)]
        asked = {"examples": examples, "queries": values[: n // 2], "measure": True}
        assert client.post("/v1/learn", json=asked).status_code == 200
    client.post("/v1/models/many/classes", json={"classes": {"0": [STAR]}})
    client.delete("/v1/models/many/classes/1")
    client.delete("/v1/models/many")
    for name in ("maml", "matching"):
        asked = {"classes": CLASSES, "learner": name}
        assert client.put("/v1/models/many", json=asked).status_code == 201
        client.delete("/v1/models/many")
    client.get("/v1/characters")
    assert len(compiled) == before


def test_no_change_of_a_model_of_another_shape_compiles(rows_client, compiled):
    before, url = len(compiled), "/v1/models/rows/classes"
    assert rows_client.post(url, json={"classes": {"c": [[9, 9], [9, 8]]}}).status_code == 200
    assert rows_client.delete(url + "/c").status_code == 200
    assert len(compiled) == before


BAD_INPUTS = [
    None,
    5,
    "",
    "no base64!",
    in_base64(b"no picture"),
    in_base64(picture(0)[:60]),
    in_base64(bytes_of(Image.new("L", (9000, 9000)))),
    in_base64(bytes_of(Image.new("F", (9, 9)), "TIFF")),
    [1, 2, 3],
    {"strokes": []},
    {"strokes": [[]]},
    {"strokes": [[[1]]]},
    {"strokes": [[[1e300, 0], [0, 0]]]},
    {"strokes": [[["a", "b"]]]},
    {"path": "/etc/passwd"},
]


@pytest.mark.parametrize("value", BAD_INPUTS, ids=lambda v: json.dumps(v)[:30])
def test_what_is_no_picture_is_refused_in_one_line(client, value):
    answer = client.post("/v1/models/symbols/predict", json={"inputs": [png(0), value]})
    assert answer.status_code in (413, 422), answer.text
    assert "\n" not in answer.json()["error"]
    if answer.status_code == 422:
        assert answer.json()["input"] == "2"


def test_wrong_requests_have_their_status(client):
    url, json_type = "/v1/models/symbols/predict", {"content-type": "application/json"}
    for content in (b"", b"{", b"[]", b'{"inputs": 3}', b'{"more": 1}', b"\xff", b"[" * 100_000):
        assert client.post(url, content=content, headers=json_type).status_code == 400
    assert client.post(url, content=b"x").status_code == 415
    assert client.post(url, content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    form = {"content-type": "multipart/form-data; boundary=b"}
    for content in (
        b"",
        b"--b",
        b"--b\r\n\r\n\r\n--b--",
        b"--b--",
        b"--b\r\nx: y\r\n\r\nz\r\n--b--",
    ):
        assert client.post(url, content=content, headers=form).status_code == 400
    assert (
        client.post(
            url, content=b"", headers={"content-type": form["content-type"][:19]}
        ).status_code
        == 400
    )
    assert client.post(url, json={"inputs": [png(0)] * 61}).status_code == 413
    assert client.post(url, content=b"1" * 1_100_000, headers=json_type).status_code == 413
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", url, 405),
        ("POST", "/v1/models/none/predict", 404),
        ("DELETE", "/v1/learners", 405),
        ("GET", "/../pyproject.toml", 404),
        ("GET", "/..%2f..%2f__init__.py", 404),
        ("GET", "/%2e%2e/app.py", 404),
    ):
        assert client.request(method, path, json={"inputs": []}).status_code == status
    for name in ("a b", "..", ".hidden", "x" * 65, "ä"):
        assert client.put(f"/v1/models/{name}", json={"classes": CLASSES}).status_code in (
            404,
            405,
            422,
        )
    for classes in ({}, {"a": [png(0)]}, {"a": [], "b": [png(0)]}, {" ": [png(0)], "b": [png(1)]}):
        assert client.put("/v1/models/new", json={"classes": classes}).status_code in (400, 422)
    many = {str(i): [png(0, i)] for i in range(7)}
    assert client.put("/v1/models/new", json={"classes": many}).status_code == 413
    for learner, status in (("none", 404), ("nearest neighbour", 409)):
        asked = {"classes": CLASSES, "learner": learner}
        assert client.put("/v1/models/new", json=asked).status_code == status
    assert client.get("/health").json()["models"] == ["symbols"]


def test_only_so_many_models_are_made(client):
    for i in range(3):
        assert client.put(f"/v1/models/m{i}", json={"classes": CLASSES}).status_code == 201
    assert client.put("/v1/models/m3", json={"classes": CLASSES}).status_code == 413
    assert client.put("/v1/models/m2", json={"classes": CLASSES}).status_code == 200
    for i in range(3):
        client.delete(f"/v1/models/m{i}")


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
leaves = st.none() | st.booleans() | numbers | st.text(max_size=20) | st.just(png(0))
words = st.sampled_from(
    [
        *("inputs", "classes", "class", "input", "examples", "queries", "strokes", "learner"),
        *("learners", "false_alarms", "a"),
    ]
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
ADDRESSES = (
    ("POST", "/v1/models/symbols/predict"),
    ("PUT", "/v1/models/fuzz"),
    ("POST", "/v1/models/symbols/classes"),
    ("POST", "/v1/learn"),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ADDRESSES), values)
def test_no_json_gives_an_error_of_the_server(client, address, value):
    answer = client.request(*address, json=value)
    assert answer.status_code < 500, answer.text


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(numbers | leaves, lambda inner: st.lists(inner, max_size=3)), st.integers(0, 700)
)
def test_no_row_gives_an_error_of_the_server(rows_client, value, depth):
    deep = "[" * depth + json.dumps(value) + "]" * depth
    content = f'{{"inputs": [{deep}]}}'
    headers = {"content-type": "application/json"}
    answer = rows_client.post("/v1/models/rows/predict", content=content, headers=headers)
    assert answer.status_code < 500, answer.text


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ADDRESSES),
    st.binary(max_size=200),
    st.sampled_from(["application/json", "multipart/form-data; boundary=b", "text/html", "", "x"]),
)
def test_no_bytes_give_an_error_of_the_server(client, address, content, kind):
    if kind.startswith("multipart"):
        content = b"--b\r\n" + content.replace(b"\n", b"\r\n--b\r\n") + b"\r\n--b--\r\n"
    answer = client.request(*address, content=content, headers={"content-type": kind})
    assert 400 <= answer.status_code < 500
    assert "\n" not in answer.json()["error"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_damaged_pictures_are_refused_or_read(client, place, noise):
    content = bytearray(picture(1))
    place %= len(content)
    content[place : place + len(noise)] = noise
    answer = client.post("/v1/models/symbols/predict", files=[("f", ("a.png", bytes(content)))])
    assert answer.status_code in (200, 422)


def test_who_is_answered(client):
    for host, status in (
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("", 403),
        ("[", 403),
    ):
        assert client.get("/health", headers={"host": host}).status_code == status, host
    sent = {"origin": "http://evil.example"}
    assert client.post("/v1/learn", json={"examples": []}, headers=sent).status_code == 403
    sent = {"origin": "http://localhost"}
    assert client.post("/v1/learn", json={"examples": []}, headers=sent).status_code == 422


def test_pages_come_from_the_package_under_a_strict_policy(client):
    for path, kind in (("/", "text/html"), ("/docs", "text/html"), ("/docs.js", "text/javascript")):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"(src|href)=\"(https?:)?//", answer.text)
        again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
    assert client.head("/").status_code == 200


def test_the_document_names_every_address_and_resolves(client, server):
    found = client.get("/openapi.json").json()
    text = json.dumps(found)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in found["components"]["schemas"]
    paths = {re.sub(r":\w+", "", r.path).replace("label", "class") for r in client.app.app.routes}
    assert paths - {"/openapi.json", "/", "/{file}"} == set(found["paths"])
    for operations in found["paths"].values():
        for one in operations.values():
            assert one["responses"]


def test_each_request_is_one_line_of_json(client, capsys):
    client.get("/health")
    client.get("/v1/no%0aline%1b[2J")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["status"] for line in lines] == [200, 404]
    assert all("\x1b" not in line for line in lines)
    assert np.isfinite(json.loads(lines[0])["milliseconds"])
