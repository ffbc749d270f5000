import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quickstudy.datasets.grouped import SPLITS, Grouped, read_split, split, standardise
from quickstudy.errors import UserError

quick = settings(max_examples=40, deadline=None)
labels = st.lists(st.integers(0, 12), min_size=1, max_size=40)


def rows(grouped: Grouped, c: int) -> list[int]:
    start = grouped.first[c]
    return grouped.x[start : start + grouped.count[c], 0].tolist()


def toy(classes: int, each: int = 2) -> Grouped:
    return Grouped.from_labels(
        np.arange(classes * each, dtype=np.float32)[:, None],
        [f"c{i:03}" for i in range(classes) for _ in range(each)],
    )


@quick
@given(labels)
def test_from_labels_keeps_every_example_under_its_label(labels: list[int]):
    x = np.arange(len(labels))[:, None]
    grouped = Grouped.from_labels(x, labels)
    assert grouped.names == tuple(str(label) for label in sorted(set(labels)))
    assert grouped.first.dtype == grouped.count.dtype == np.int32
    for c, name in enumerate(grouped.names):
        assert rows(grouped, c) == [i for i, label in enumerate(labels) if str(label) == name]


@quick
@given(labels, st.data())
def test_select_takes_classes_in_the_order_asked(labels: list[int], data: st.DataObject):
    grouped = Grouped.from_labels(np.arange(len(labels))[:, None], labels)
    chosen = data.draw(st.lists(st.integers(0, grouped.classes - 1), unique=True))
    part = grouped.select(chosen)
    assert part.names == tuple(grouped.names[c] for c in chosen)
    assert len(part.x) == part.count.sum()
    assert [rows(part, i) for i in range(part.classes)] == [rows(grouped, c) for c in chosen]


@quick
@given(st.integers(3, 60), st.integers(0, 5))
def test_split_is_disjoint_and_covers(classes: int, seed: int):
    grouped = toy(classes)
    parts = split(grouped, seed=seed)
    assert tuple(parts) == SPLITS
    names = [name for part in parts.values() for name in part.names]
    assert sorted(names) == sorted(grouped.names)
    assert all(part.classes for part in parts.values())
    again = split(grouped, seed=seed)
    assert [parts[s].names for s in SPLITS] == [again[s].names for s in SPLITS]


def test_split_sizes_follow_the_fractions_and_the_seed_matters():
    assert [part.classes for part in split(toy(100)).values()] == [64, 16, 20]
    assert split(toy(100), seed=1)["train"].names != split(toy(100))["train"].names


@pytest.mark.parametrize("fractions", [(0.8, 0.0, 0.2), (0.5, 0.5, 0.5)])
def test_bad_fractions(fractions: tuple[float, float, float]):
    with pytest.raises(UserError, match="add up to 1"):
        split(toy(10), fractions)


def test_too_few_classes_to_split():
    with pytest.raises(UserError, match="2 classes cannot be split"):
        split(toy(2))
    with pytest.raises(UserError, match="leave none for train"):
        split(toy(3), (0.1, 0.5, 0.4))


def test_require():
    grouped = Grouped.from_labels(np.zeros((5, 1)), ["ant", "ant", "ant", "bee", "bee"])
    grouped.require(2, 2, "train")
    with pytest.raises(UserError, match="train has 2 classes, but an episode needs 5: ask for 2"):
        grouped.require(5, 1, "train")
    with pytest.raises(UserError, match=r"class 'bee' has 2 examples, .* draws 3 of each"):
        grouped.require(2, 3, "train")
    with pytest.raises(UserError, match="and 1 more classes have too few"):
        grouped.require(2, 16, "train")


def test_read_split(tmp_path: Path):
    path = tmp_path / "split.json"
    given = {"train": ["c003", "c001"], "validation": ["c000"], "test": ["c004"]}
    path.write_text(json.dumps(given))
    parts = read_split(toy(6), path)
    assert {name: list(part.names) for name, part in parts.items()} == given


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ('{"train": ["c000"], "test": ["c001"]}', "must be"),
        ('{"train": ["c000"], "validation": [], "test": ["c001"]}', "must be"),
        (
            '{"train": ["c000"], "validation": ["c00O"], "test": ["c001"]}',
            "'c00O' under validation.*no such class: did you mean c00",
        ),
        (
            '{"train": ["c000"], "validation": ["c001"], "test": ["c000"]}',
            "class 'c000' under train and under test",
        ),
        ('{"train": ["c000", "c000"], "validation": ["c1"], "test": ["c2"]}', "'c000' twice"),
        ('{"train": [0], "validation": ["c001"], "test": ["c002"]}', "must be"),
    ],
)
def test_bad_split_files_are_explained(tmp_path: Path, text: str, message: str):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_split(toy(6), path)


def test_missing_split_file(tmp_path: Path):
    with pytest.raises(UserError, match="no split file"):
        read_split(toy(6), tmp_path / "none.json")


HARDLY_VARIES = np.zeros((12, 3), np.float32)
HARDLY_VARIES[0, 0], HARDLY_VARIES[-1, 0] = 1.2e-38, 2.0


@quick
@example(HARDLY_VARIES)
@given(arrays(np.float32, (12, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_standardise_by_the_training_split(x: np.ndarray):
    parts = split(Grouped.from_labels(x, np.repeat(np.arange(6), 2)))
    scaled = standardise(parts)
    train = scaled["train"].x
    assert train.dtype == np.float32
    assert all(np.isfinite(part.x).all() for part in scaled.values())
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-3)
    deviation = train.std(axis=0)
    constant = np.ptp(parts["train"].x, axis=0) == 0
    assert np.all(deviation[constant] < 1e-6)
    wide = np.ptp(parts["train"].x, axis=0) > 1e-3 * np.abs(parts["train"].x).max(axis=0)
    np.testing.assert_allclose(deviation[wide], 1, atol=1e-3)
    assert scaled["test"].names == parts["test"].names
