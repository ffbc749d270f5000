"""Texts as a model takes them: held against words that are looked up one by one."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickstudy.datasets.preprocessing import Texts
from quickstudy.datasets.text_inputs import TextInputs
from quickstudy.errors import UserError
from tests.embedding_models import save_tokenizer

WORDS = ["[pad]", "[unknown]", "[begin]", "red", "green", "blue"]
texts = st.lists(st.sampled_from(["red", "green", "blue", "violet"]), min_size=1, max_size=9)


def opened(folder: Path, most: int, length: int | None = None) -> TextInputs:
    return TextInputs(folder / "t.json", Texts("t.json", most), length)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts, min_size=1, max_size=5), st.integers(2, 9), st.booleans(), st.booleans())
def test_tokens_are_looked_up_cut_and_padded(tmp_path, several, most, left, fixed):
    padding = {"direction": "left", "pad_id": 1, "pad_type_id": 1} if left else {}
    save_tokenizer(tmp_path / "t.json", WORDS, **padding)
    inputs = opened(tmp_path, most, most if fixed else None)
    rows = [inputs.tokens(" ".join(words)) for words in several]
    assert [bool(row.overflowing) for row in rows] == [len(words) >= most for words in several]
    feed = inputs.feed(rows)
    ids = [[2, *(WORDS.index(w) if w in WORDS else 1 for w in words)][:most] for words in several]
    length = most if fixed else max(map(len, ids))
    for row, found in enumerate(ids):
        rest = [0] * (length - len(found))
        for name, value, blank in (
            ("input_ids", found, int(left)),
            ("attention_mask", [1] * len(found), 0),
            ("token_type_ids", [0] * len(found), int(left)),
        ):
            filled = [blank for _ in rest]
            expected = filled + value if left else value + filled
            assert feed[name][row].tolist() == expected


def test_what_gives_no_tokens_is_refused(tmp_path):
    save_tokenizer(tmp_path / "t.json", WORDS)
    for text in ("", " \n "):
        with pytest.raises(ValueError, match=r"t\.json makes no tokens of it"):
            opened(tmp_path, 4).tokens(text)
    with pytest.raises(UserError, match=r"max_length 1 .* leaves no room .*t\.json adds"):
        opened(tmp_path, 1)
    found = json.loads((tmp_path / "t.json").read_text())
    del found["model"]["vocab"]["[unknown]"]
    (tmp_path / "t.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"t\.json makes no tokens of it \(.*UNK"):
        opened(tmp_path, 4).tokens("violet")


def broken(draw: st.DrawFn, value: object) -> object:
    """The same JSON with a part of it replaced or left out."""
    other = draw(st.none() | st.integers(-3, 3) | st.text(max_size=3) | st.just([]) | st.just({}))
    if not isinstance(value, dict) or not value or draw(st.integers(0, 4)) == 0:
        return other
    name = draw(st.sampled_from(sorted(value)))
    rest = {k: v for k, v in value.items() if k != name}
    return rest if draw(st.booleans()) else {**value, name: broken(draw, value[name])}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_tokenizer_is_refused_in_one_line_or_serves(tmp_path, data):
    save_tokenizer(tmp_path / "t.json", WORDS)
    whole = (tmp_path / "t.json").read_bytes()
    damaged = json.dumps(broken(data.draw, json.loads(whole))).encode()
    content = data.draw(st.sampled_from([damaged]) | st.binary(max_size=9))
    (tmp_path / "t.json").write_bytes(content)
    said = ""
    try:
        inputs = opened(tmp_path, 4)
        assert inputs.feed([inputs.tokens("red green")])["input_ids"].shape[0] == 1
    except (UserError, ValueError) as error:
        said = str(error)
    assert "\n" not in said
