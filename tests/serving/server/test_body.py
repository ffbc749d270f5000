"""The bodies of requests, taken apart."""

import asyncio

import pytest
from starlette.requests import Request

from quickstudy.serving.server.body import DISPOSITION, BadRequest, files, of_form, whole
from quickstudy.serving.server.limits import Limits

FORM = Request({"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]})


def form(head: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; " + head + b"\r\n\r\nx\r\n--b--\r\n"


def test_the_head_of_a_part_has_a_limit_and_is_read_once():
    for long in (b"a" * 100_000, b'name="' + b"a" * 100_000 + b'"'):
        with pytest.raises(BadRequest, match=r"head of a part has more than 8,192 bytes"):
            of_form(form(long), FORM)
    assert DISPOSITION.search(b"a" * 8000 + b'="x"', 1) is None  # only from the start of a word
    ((name, item),) = files(of_form(form(b'filename="b \\"c\\".png"; name=a; name="a"'), FORM))
    assert (name, item.name, item.value) == ("a", 'b "c".png', b"x")


def test_a_client_that_goes_away_is_no_fault_of_the_server():
    async def gone():
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "headers": []}, gone)
    with pytest.raises(BadRequest, match="went away"):
        asyncio.run(whole(request, Limits()))


def test_all_bodies_together_have_a_limit(rows_client):
    state, asked = rows_client.app.app.state, {"inputs": [[1, 2]]}
    assert state.held == 0
    state.held = 16 * state.server.limits.most_bytes
    try:
        answer = rows_client.post("/v1/models/rows/predict", json=asked)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    finally:
        state.held -= 16 * state.server.limits.most_bytes
    assert rows_client.post("/v1/models/rows/predict", json=asked).status_code == 200
    assert state.held == 0
