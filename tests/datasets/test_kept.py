"""Names of classes divided into parts: at random, by a file, and as a run has kept them."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.datasets.kept import SPLITS, ClassSplit, by_hash, random_split, read_split
from quickstudy.errors import UserError

NAMES = tuple(f"c{i:03}" for i in range(6))


def parts(split: ClassSplit) -> list[tuple[str, ...]]:
    return [split.part(part) for part in SPLITS]


@given(st.sets(st.text(max_size=4), min_size=6, max_size=60), st.integers(0, 5))
def test_a_random_split_deals_each_class_to_one_part_in_the_order_of_the_data(names, seed):
    names = sorted(names, reverse=True)
    split = random_split(names, seed)
    assert sorted(itertools.chain(*parts(split)), reverse=True) == names
    for part in parts(split):
        assert len(part) >= 2
        assert sorted(part, reverse=True) == list(part)
    assert random_split(names, seed) == split


def test_shares_are_64_16_20_and_the_seed_matters():
    names = [str(i) for i in range(100)]
    split = random_split(names, 0)
    assert [len(part) for part in parts(split)] == [64, 16, 20]
    assert random_split(names, 1) != split


@pytest.mark.parametrize(
    ("classes", "sizes"),
    [(4, (2, 2, 2)), (5, (3, 3, 2)), (6, (2, 2, 2)), (9, (5, 2, 2)), (12, (8, 2, 2))],
)
def test_few_classes_give_each_part_what_an_episode_needs(classes, sizes):
    split = random_split([f"c{i}" for i in range(classes)], 0)
    assert tuple(len(part) for part in parts(split)) == sizes
    assert not set(split.test) & {*split.train, *split.validation}
    assert split.validates_on_training_classes == (classes < 6)
    assert len({*split.train, *split.validation, *split.test}) == classes


@pytest.mark.parametrize("classes", [0, 1, 2, 3])
def test_fewer_than_four_classes_are_too_few(classes):
    with pytest.raises(UserError, match=rf"birds has {classes} class.* 4: two to train on"):
        random_split(["ant", "bee", "cat"][:classes], 0, "birds")


@given(st.integers(6, 80), st.integers(0, 3))
def test_one_more_class_moves_one_class_at_most_across_each_border(classes, seed):
    """Another order of the data moves none, and a class that is renamed moves with one other at
    each border at most."""
    names = [f"class {i}" for i in range(classes)]
    before = random_split(names, seed)
    after = random_split([*names, "new"], seed)
    home = {name: part for part in SPLITS for name in before.part(part)}
    moved = [n for part in SPLITS for n in after.part(part) if home.get(n, part) != part]
    assert len(moved) <= 2
    again = random_split(names[::-1], seed)
    assert [set(part) for part in parts(again)] == [set(part) for part in parts(before)]
    assert [n for n in by_hash([*names, "new"], seed) if n != "new"] == by_hash(names, seed)


def test_the_random_split_is_the_same_on_every_machine():
    """As sha256sum orders "0 ant", "0 bee" and so on."""
    names = ["ant", "bee", "cat", "dog", "elk", "fox"]
    assert by_hash(names, 0) == ["ant", "fox", "dog", "elk", "bee", "cat"]


def written(folder: Path, given: object) -> Path:
    path = folder / "split.json"
    path.write_text(given if isinstance(given, str) else json.dumps(given))
    return path


def test_read_split(tmp_path: Path):
    given = {"train": ["c003", "c001"], "validation": ["c000"], "test": ["c004"]}
    split = read_split(written(tmp_path, given), NAMES)
    assert split.to_json() == {**given, "unused": ["c002", "c005"]}
    assert ClassSplit.from_json(json.loads(json.dumps(split.to_json()))) == split
    assert split.unknown(["c002", "c009", "c001"]) == ["c009"]


def test_the_split_that_a_run_keeps_is_one_that_can_be_read(tmp_path: Path):
    """Also where validation is on the training classes, or there were classes that have gone."""
    for kept in (
        ClassSplit(("c003", "c001"), ("c003", "c001"), ("c004", "c000")),
        ClassSplit(("c003",), ("c001",), ("c004", "c000"), ("long gone",)),
    ):
        read = read_split(written(tmp_path, kept.to_json()), NAMES)
        assert parts(read) == parts(kept)
        assert set(read.unused) == set(NAMES) - set(itertools.chain(*parts(kept)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "must be"),
        ('{"train": ["c000"], "test": ["c001"]}', "must be"),
        ('{"train": ["c000"], "validation": [], "test": ["c001"]}', "must be"),
        ('{"train": ["c000"], "validation": ["c001"], "test": ["c002"], "other": []}', "must be"),
        (
            '{"train": ["c000"], "validation": ["c00O"], "test": ["c001"]}',
            "'c00O' under validation.*no such class: did you mean c00",
        ),
        (
            '{"train": ["c000"], "validation": ["c001"], "test": ["c000"]}',
            "class 'c000' under train and under test",
        ),
        (
            '{"train": ["c000", "c003"], "validation": ["c000"], "test": ["c001"]}',
            "class 'c000' under train and under validation",
        ),
        ('{"train": ["c000", "c000"], "validation": ["c1"], "test": ["c2"]}', "'c000' twice"),
        ('{"train": [0], "validation": ["c001"], "test": ["c002"]}', "must be"),
    ],
)
def test_bad_split_files_are_explained(tmp_path: Path, text: str, message: str):
    with pytest.raises(UserError, match=message):
        read_split(written(tmp_path, text), NAMES)


def test_missing_split_file(tmp_path: Path):
    with pytest.raises(UserError, match="no split file"):
        read_split(tmp_path / "none.json", NAMES)
