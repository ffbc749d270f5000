"""What update makes is what adapt makes of all examples; and it says what it cannot do."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from quickstudy.cli import update as update_command
from quickstudy.errors import UserError
from quickstudy.serving import known, updating
from quickstudy.serving.adapted import Adapted
from quickstudy.serving.adapted_file import as_kept, as_taken, load
from quickstudy.serving.adapting import adapt
from quickstudy.serving.inputs import read_queries
from quickstudy.serving.support_set import SupportSet
from quickstudy.serving.updating import update
from quickstudy.settings.learners import PixelsSettings
from quickstudy.settings.run import TaskSettings

from .conftest import symbols, trained

pytestmark = pytest.mark.usefixtures("few_opponents", "no_data")
GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose data are away: what known inputs are like comes from left-out examples."""

    def away(*_):
        raise UserError("there is no folder")

    monkeypatch.setattr(known, "known_inputs", away)


def same(one: Path, other: Path, x: np.ndarray) -> None:
    """Two files hold the same classes and say the same."""
    a, b = load(one), load(other)
    assert (a.names, a.counts, a.left_out) == (b.names, b.counts, b.left_out)
    assert a.temperature == b.temperature
    for mine, theirs in zip(a.answers(x), b.answers(x), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["pixels", "protonet", "maml"])
def test_an_update_gives_what_adapt_gives_for_all_examples(
    runs: dict[str, Path], queries: list[Path], tmp_path: Path, name: str
) -> None:
    """A class goes, another comes, and a third gets more, without the old pictures or the run."""
    old, run = symbols(tmp_path / "old", [2, 1, 3]), shutil.copytree(runs[name], tmp_path / "run")
    more = symbols(tmp_path / "more", [1, 2, 1, 2])
    whole, file, scratch = tmp_path / "whole", tmp_path / "symbols.qs", tmp_path / "scratch.qs"
    for path in (old / "across", old / "round", more / "another"):
        shutil.copytree(path, whole / path.name)
    for i, path in enumerate(sorted((more / "round").iterdir())):
        shutil.copy(path, whole / "round" / f"z{i}.png")
    adapt(run, whole, scratch)
    adapt(run, old, file)
    shutil.rmtree(old)
    shutil.rmtree(run)
    made = update(file, add=[more / "round", more / "another"], remove=["down"])
    assert made.names == ("across", "another", "round")
    assert made.counts == (2, 2, 4)
    same(file, scratch, read_queries(made.inputs, queries)[1])


def test_tables_of_classes_are_added(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(9, 2))
    rows = [
        f"{a:.4f},{b:.4f},{k}"
        for k, c in enumerate(centres)
        for a, b in c + 0.1 * rng.normal(size=(4, 2))
    ]
    tables = {"all": rows, "few": rows[:24], "first": rows[:12], "second": rows[12:24]}
    for name, some in tables.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,b,kind", *some]))
    tasks = TaskSettings(
        f"table:{tmp_path / 'all.csv'}", way=2, shot=1, query=2, train_way=2, label_column="kind"
    )
    run = trained(tmp_path / "run", PixelsSettings(), tasks, 0)
    adapt(run, tmp_path / "few.csv", tmp_path / "scratch.qs")
    adapt(run, tmp_path / "first.csv", tmp_path / "file.qs")
    update(tmp_path / "file.qs", tmp_path / "new.qs", add=[tmp_path / "second.csv"])
    x = rng.normal(size=(20, 2)).astype(np.float32)
    same(tmp_path / "new.qs", tmp_path / "scratch.qs", x)
    assert load(tmp_path / "file.qs").names == ("0", "1", "2")
    mapping = [{"b": b, "a": a} for a, b in x.tolist()]
    found = load(tmp_path / "new.qs")
    np.testing.assert_array_equal(found.predict(mapping), found.predict(x.tolist()))


def test_what_cannot_be_updated_is_refused_and_stays(
    runs: dict[str, Path], adapted_file: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copy(adapted_file, tmp_path / "symbols.qs"))
    before, other = file.read_bytes(), symbols(tmp_path / "new", [1])
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("years of work")
    for match, words in {
        "nothing to change": {},
        "no class 'rond' to remove: did you mean round": {"remove": ["rond"]},
        "1 class would be left": {"remove": ["round", "down"]},
        "holds nothing to predict": {"add": [tmp_path / "empty"]},
        "neither|there is no|cannot read": {"add": [tmp_path / "nowhere"]},
        "choose another --out": {"add": [other / "across"], "out": tmp_path / "notes.txt"},
    }.items():
        with pytest.raises(UserError, match=match) as caught:
            update(file, **words)
        assert "\n" not in str(caught.value)
    assert file.read_bytes() == before
    forgetful = tmp_path / "forgetful.qs"
    adapt(runs["pixels"], symbols(tmp_path / "two", [1, 1]), forgetful, forget=True)
    with pytest.raises(UserError, match=r"without its support set .*--forget"):
        update(forgetful, remove=["down"], add=[other / "across"])
    with pytest.raises(UserError, match="older quickstudy"):
        update(GOLDEN / "adapted_untempered.qs", tmp_path / "x.qs", remove=["1"])
    adapt(runs["maml"], symbols(tmp_path / "three", [1, 1, 1]), tmp_path / "maml.qs")
    fourth = symbols(tmp_path / "four", [1, 1, 1, 1]) / "another"
    with pytest.raises(UserError, match=r"has 4 classes, but the maml .* trained for 3"):
        update(tmp_path / "maml.qs", add=[fourth])


def test_a_file_that_has_changed_in_the_meantime_stays(
    adapted_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = (
        Path(shutil.copy(adapted_file, tmp_path / name)) for name in ("symbols.qs", "other.qs")
    )
    theirs = other.read_bytes()

    def meanwhile(adapted: Adapted, *_: object) -> Adapted:
        other.replace(file)
        return adapted

    monkeypatch.setattr(updating, "updated", meanwhile)
    with pytest.raises(UserError, match="was changed by another process in the meantime"):
        update(file, remove=["down"])
    assert file.read_bytes() == theirs


def test_the_command_takes_several_and_says_what_is_there_twice(
    adapted_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, new = tmp_path / "other.qs", symbols(tmp_path / "new", [1, 1, 1, 1, 1])
    words = [str(adapted_file), "--out", str(file), "--remove", "down", "--remove", "round"]
    words += ["--add", str(new / "fifth"), str(new / "another"), "--add", str(new / "across")]
    assert update_command.run(words) == 0
    said = capsys.readouterr()
    assert "1 of 1 examples are in the support set already" in said.err
    assert "adapted to 3 classes: across, another, fifth" in said.out
    assert "kept for update: 6 examples as the learner takes them (1.5 kB)" in said.out
    assert load(file).counts == (4, 1, 1)


def test_bytes_stay_bytes_and_numbers_numbers() -> None:
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    taken = x.astype(np.float32) / 255
    assert as_kept(taken).dtype == np.uint8
    np.testing.assert_array_equal(as_taken(as_kept(taken)), taken)
    for other in (taken + np.float32(1e-6), -taken, np.array([[3, 4]], np.int32)):
        np.testing.assert_array_equal(as_kept(other), other)


def test_classes_are_in_the_order_of_their_names_whatever_came_first() -> None:
    some = SupportSet.of(np.arange(3), ["10", "9", "10"], ["p", "q", "r"])
    assert some.names == ("9", "10")
    joined = some.joined(SupportSet.of(np.arange(3, 5), ["a", "9"], ["s", "t"]))
    assert (joined.names, joined.counts) == (("10", "9", "a"), (2, 2, 1))
    assert joined.examples == ("p", "r", "q", "t", "s")
    assert joined.x.tolist() == [0, 2, 1, 4, 3]
    assert joined.without(["9", "a"]).x.tolist() == [0, 2]
