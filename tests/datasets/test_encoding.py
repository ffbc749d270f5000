"""Columns of a table become the same features in every file."""

import dataclasses
import json
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from quickstudy.datasets import encoding
from quickstudy.datasets.columns import Column, typed
from quickstudy.datasets.encoding import Encoding
from quickstudy.datasets.grouped import Grouped, standardise
from quickstudy.errors import UserError


def read(like: Encoding | None = None, **columns: list) -> tuple[list[Column], np.ndarray]:
    found = [
        typed("x.csv", name, cells, range(len(cells)), like and like.column(name))
        for name, cells in columns.items()
    ]
    return [column for column, _ in found], np.stack([x for _, x in found], axis=1)


def kept(made: Encoding) -> Encoding:
    """What a run keeps, once it was written and read."""
    again = Encoding.from_json(json.loads(json.dumps(dataclasses.asdict(made))))
    assert again == made
    return again


words = st.lists(st.sampled_from(["red", "green", "", "12", "blue"]), min_size=12, max_size=12)
numbers = st.lists(st.none() | st.integers(-50, 50), min_size=12, max_size=12)


@settings(max_examples=60)
@given(words, words, numbers, numbers)
def test_encoders_are_those_of_scikit_learn(train, new, some, others):
    """Words against `OneHotEncoder(handle_unknown="ignore")`, numbers against `SimpleImputer` with
    its indicator."""
    train, new = ["a", "a", "b", *train], ["b", *new]
    some, others = [1, 2, 2, *some], [None, *others]
    made = kept(Encoding.of("x.csv", *read(word=train, number=some)))
    found = made("x.csv", *read(made, word=new, number=others))
    by = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(np.c_[train])
    fill = SimpleImputer(add_indicator=True).fit(np.c_[np.asarray(some, float)])
    expected = np.hstack(
        [by.transform(np.c_[new]), fill.transform(np.c_[np.asarray(others, float)])]
    )
    np.testing.assert_allclose(found, expected)
    assert len(made.features) == found.shape[1] == len(made.flags)
    assert np.isin(found[:, made.flags], (0, 1)).all()


@given(st.integers(0, 40_000))
def test_features_of_dates_by_the_calendar(days):
    day = date(1960, 1, 1) + timedelta(days)
    dates = [day.isoformat(), "2000-01-01", None]
    made = Encoding.of("x.csv", *read(joined=dates))
    (number, *circles, missing), _, gap = made("x.csv", *read(made, joined=dates))
    assert number == (day - date(2000, 1, 1)).days
    weekday = 2 * np.pi * day.weekday() / 7
    in_year = 2 * np.pi * (day.timetuple().tm_yday - 1) / 365.25
    expected = [np.sin(weekday), np.cos(weekday), np.sin(in_year), np.cos(in_year)]
    np.testing.assert_allclose(circles, expected, atol=1e-12)
    assert missing == 0
    assert gap.tolist() == [number / 2, 0, 0, 0, 0, 1]


def test_what_tells_nothing_is_left_out_with_a_line(capsys):
    columns = {
        "id": ["a1", "a2", "a3"],
        "same": [4, 4, 4],
        "gone": [None, "", "nan"],
        "size": ["s", "l", "s"],
        "mostly": [1, None, 1],
    }
    made = kept(Encoding.of("some.csv", *read(**columns)))
    assert made.features == ("size = l", "size = s", "mostly", "mostly missing")
    assert made.left_out == ("id", "same", "gone")
    said = capsys.readouterr().err
    assert "column 'id' is left out: each of its 3 cells is another word" in said
    assert "column 'same' is left out: it has one value" in said
    assert "column 'gone' is left out: all of its cells are missing" in said
    with pytest.raises(UserError, match="no column that tells rows apart"):
        Encoding.of("x.csv", *read(a=[1, 1]))


def test_what_training_did_not_have_is_said(capsys):
    made = Encoding.of("t.csv", *read(colour=["red", "green", "red"], size=[1, 2, 6]))
    found = made("new.csv", *read(made, colour=["mauve", "red"], size=[None, 5]))
    assert found.tolist() == [[0, 0, 3], [0, 1, 5]]
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert "new.csv: column 'colour' holds 'mauve', which is none of its 2 categories" in said
    assert "new.csv: column 'size' has missing cells, and had none in training" in said


def test_the_most_frequent_words_have_features(monkeypatch):
    monkeypatch.setattr(encoding, "MOST_CATEGORIES", 2)
    made = Encoding.of("x.csv", *read(word=list("abbccc")))
    assert made.features == ("word = b", "word = c")


def test_flags_are_centred_and_numbers_scaled():
    columns, x = read(size=[1.0, 3.0, None, 2.0], colour=["r", "g", "g", "g"])
    train = dataclasses.replace(Grouped.from_labels(x, list("abab")), columns=tuple(columns))
    made = Encoding.of("x.csv", columns, x)
    part = standardise({"train": train.encoded("x.csv", made)})["train"]
    np.testing.assert_allclose(part.x.mean(0), 0, atol=1e-6)
    assert part.scaling is not None
    np.testing.assert_array_equal(part.scaling.deviation[made.flags], 1)
    np.testing.assert_allclose(part.x.std(0)[~made.flags], 1, rtol=1e-6)
