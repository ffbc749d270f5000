"""Adapt to a folder, predict images: what comes out, what is kept, and what goes wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quickstudy import checkpoint
from quickstudy.checkpoint import DamagedFile
from quickstudy.errors import UserError
from quickstudy.serving.adapted_file import load
from quickstudy.serving.adapting import adapt
from quickstudy.serving.functions import learns_functions
from quickstudy.serving.inputs import read_queries, read_support
from quickstudy.serving.predicting import predict
from quickstudy.settings.learners import PixelsSettings
from quickstudy.settings.run import TaskSettings

from .conftest import symbols, trained

pytestmark = pytest.mark.usefixtures("few_opponents")


def refuses(match: str, *arguments: Path) -> None:
    """`adapt` says so in one line, and writes nothing."""
    out = arguments[-1]
    before = out.read_bytes() if out.is_file() else None
    with pytest.raises(UserError, match=match) as caught:
        adapt(*arguments)
    assert "\n" not in str(caught.value)
    assert (out.read_bytes() if out.is_file() else None) == before


@pytest.mark.parametrize("name", ["pixels", "protonet", "maml"])
def test_what_is_loaded_is_what_was_adapted(
    runs: dict[str, Path], support: Path, queries: list[Path], tmp_path: Path, name: str
) -> None:
    out = tmp_path / "symbols.qs"
    adapted = adapt(runs[name], support, out)
    assert adapted.names == ("across", "down", "round")
    assert adapted.counts == (2, 1, 3)
    shutil.rmtree(support)
    loaded = load(out)
    names, x = read_queries(loaded.inputs, queries)
    assert names == list(map(str, queries))
    assert x.shape == (12, 16, 16, 1)
    assert (x[:, 0, 0] < 0.1).all()  # ink on a dark ground, as in training
    np.testing.assert_array_equal(loaded.probabilities(x), adapted.probabilities(x))
    np.testing.assert_allclose(loaded.probabilities(x).sum(1), 1, rtol=1e-5)


def test_it_tells_lines_from_circles(
    runs: dict[str, Path], support: Path, queries: list[Path], tmp_path: Path
) -> None:
    adapted = adapt(runs["protonet"], support, tmp_path / "symbols.qs")
    assert adapted.right >= 5
    rows = predict(tmp_path / "symbols.qs", queries)
    right = [row.name == ["across", "down", "round"][i // 4] for i, row in enumerate(rows)]
    assert sum(right) >= 8
    for row in rows:
        assert row.probability == max(row.probabilities.values())
        assert row.probabilities[row.name] == row.probability


@pytest.mark.parametrize("name", ["pixels", "protonet", "maml"])
def test_each_prediction_is_for_its_input_alone(
    runs: dict[str, Path], support: Path, queries: list[Path], tmp_path: Path, name: str
) -> None:
    out = tmp_path / "symbols.qs"
    assert not adapt(runs[name], support, out).transductive
    together = predict(out, queries)
    alone = [predict(out, [path])[0] for path in queries[:2]]
    for a, b in zip(alone, together, strict=False):
        assert a.probabilities == pytest.approx(b.probabilities, rel=1e-5)


def test_a_folder_stands_for_its_images(
    runs: dict[str, Path], support: Path, tmp_path: Path
) -> None:
    adapt(runs["pixels"], support, tmp_path / "symbols.qs")
    rows = predict(tmp_path / "symbols.qs", [support])
    assert [Path(row.input).parent.name for row in rows] == [row.name for row in rows]
    assert len(rows) == 6


def test_arrays_serve_as_well_as_pictures(
    runs: dict[str, Path], support: Path, queries: list[Path], tmp_path: Path
) -> None:
    out, packed = tmp_path / "symbols.qs", tmp_path / "support.npz"
    adapted = adapt(runs["protonet"], support, out)
    x = read_support(adapted.inputs, support)[0].x
    labels = np.repeat(adapted.names, adapted.counts)
    np.savez(packed, x=np.round(255 * x).astype(np.uint8), y=labels)
    from_arrays = adapt(runs["protonet"], packed, tmp_path / "other.qs")
    q = read_queries(adapted.inputs, queries)[1]
    np.testing.assert_array_equal(from_arrays.probabilities(q), adapted.probabilities(q))
    rows = predict(out, [packed])
    assert rows[3].input == f"{packed}, row 3"
    np.savez(packed, x=255 * x, y=labels)
    refuses("pixels go from 0 to 255", runs["protonet"], packed, tmp_path / "third.qs")


def test_a_second_set_replaces_the_first(
    runs: dict[str, Path], support: Path, tmp_path: Path
) -> None:
    out = tmp_path / "symbols.qs"
    adapt(runs["protonet"], support, out)
    adapt(runs["protonet"], symbols(tmp_path / "more", [1, 2, 1, 2, 1, 1, 5]), out)
    assert len(load(out).names) == 7
    assert [p.name for p in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("name", ["learner.qs", "thesis.pdf", "folder"])
def test_other_files_are_not_overwritten(
    runs: dict[str, Path], support: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    if name == "learner.qs":
        shutil.copy(runs["pixels"] / name, out)
    elif name == "folder":
        out.mkdir()
    else:
        out.write_text("years of work")
    refuses("choose another --out", runs["pixels"], support, out)


def test_a_support_set_that_cannot_be_read(
    runs: dict[str, Path], support: Path, tmp_path: Path
) -> None:
    run, out = runs["protonet"], tmp_path / "symbols.qs"
    refuses("there is no folder", run, tmp_path / "nowhere", out)
    refuses("no sub-folders", run, support / "round", out)
    broken = support / "round" / "1.png"
    broken.write_bytes(broken.read_bytes()[:80])
    refuses("cannot read the image .*1.png", run, support, out)
    broken.unlink()
    (support / "empty").mkdir()
    refuses("empty has no images", run, support, out)
    shutil.rmtree(support / "empty")
    for name in ("down", "round"):
        shutil.rmtree(support / name)
    refuses("one class, 'across'", run, support, out)


def test_inputs_that_do_not_fit(runs: dict[str, Path], support: Path, tmp_path: Path) -> None:
    run, out = runs["protonet"], tmp_path / "symbols.qs"
    packed = tmp_path / "support.npz"
    np.savez(packed, x=np.zeros((4, 20, 16), np.uint8), y=np.arange(4) // 2)
    refuses("takes images of 16 × 16 × 1; .*npz holds images of 20 × 16 × 1", run, packed, out)
    (tmp_path / "rows.csv").write_text("a,b,label\n1,2,x\n3,4,y\n")
    refuses("takes images of 16 × 16 × 1; .*csv holds 2 features", run, tmp_path / "rows.csv", out)
    adapt(run, support, out)
    for match, path in {
        "there is no file": tmp_path / "nowhere.npz",
        "cannot read the image": tmp_path / "nowhere.png",
        "holds nothing": tmp_path / "empty",
        "images of 20 × 16 × 1": packed,
    }.items():
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=match):
            predict(out, [path])


def test_a_fixed_head_says_how_many_classes_it_takes(runs: dict[str, Path], tmp_path: Path) -> None:
    seven = symbols(tmp_path / "seven", [1] * 7)
    refuses(
        r"has 7 classes, but the maml in .* was trained for 3 .*--way 7, or take protonet",
        *(runs["maml"], seven, tmp_path / "symbols.qs"),
    )


def test_the_wrong_kind_of_file(runs: dict[str, Path], support: Path, tmp_path: Path) -> None:
    run, out = runs["pixels"], tmp_path / "symbols.qs"
    refuses("regression", runs["sinusoid"], support, out)
    refuses("not a run", tmp_path, support, out)
    refuses("give the folder, ", run / "learner.qs", support, out)
    adapt(run, support, out)
    refuses("give the folder of a run", out, support, tmp_path / "other.qs")
    posing = tmp_path / "posing"
    posing.mkdir()
    shutil.copy(out, posing / "learner.qs")
    refuses("not a trained one", posing, support, tmp_path / "other.qs")
    with pytest.raises(UserError, match=r"is a trained learner, not an adapted one.*adapt"):
        load(run / "learner.qs")
    with pytest.raises(UserError, match=r"is a folder, not an adapted one.*adapt RUN"):
        load(run)
    checkpoint.save(out, (), {"step": 3})
    with pytest.raises(UserError, match="something else"):
        load(out)


def test_a_damaged_file_is_found_out(runs: dict[str, Path], support: Path, tmp_path: Path) -> None:
    out = tmp_path / "symbols.qs"
    adapted = adapt(runs["protonet"], support, out)
    whole = out.read_bytes()
    for damaged in (whole[:-100], whole[:1000], b"", b"not an archive"):
        out.write_bytes(damaged)
        with pytest.raises(DamagedFile):
            load(out)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    out.write_bytes(flipped)
    with pytest.raises(DamagedFile):
        load(out)
    header = json.loads(json.dumps({"kind": "adapted learner", "classes": 3}))
    checkpoint.save(out, adapted.predictor, header)
    with pytest.raises(DamagedFile, match="header makes no sense"):
        load(out)


def test_an_altered_header_is_damage_or_changes_nothing(adapted_file: Path, tmp_path: Path) -> None:
    """One key after the other is of another kind."""
    header, arrays = checkpoint.read(adapted_file)
    out, refused = tmp_path / "altered.qs", set()
    wrong = {word: [None, [], "x"] for word in header} | {
        "temperature": [None, 0, -1.0, "x"],
        "false_alarms": [1.5],
        "counts": [[3, 3], [3, 3, 2], [4, 5, 0], "333"],
    }
    for word, values in wrong.items():
        for value in values:
            checkpoint.save(out, arrays, {**header, word: value})
            try:
                load(out)
            except UserError:
                refused.add((word, str(value)))
    checkpoint.save(tmp_path / "learner.qs", arrays, {**header, "inputs": None})
    assert not learns_functions(tmp_path)
    for word in ("classes", "counts", "examples", "temperature", "false_alarms"):
        assert {(word, str(value)) for value in wrong[word]} <= refused


def test_tables_are_scaled_as_in_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["height,weight,species"]
    for k in range(12):
        centre = np.array([100.0, 0.01]) * rng.uniform(1, 3, 2)
        for _ in range(8):
            height, weight = centre * rng.normal(1, 0.02, 2)
            lines.append(f"{height},{weight},kind{k}")
    table = tmp_path / "animals.csv"
    table.write_text("\n".join(lines))
    tasks = TaskSettings(
        f"table:{table}", way=2, shot=1, query=2, train_way=3, label_column="species"
    )
    run = trained(tmp_path / "run", PixelsSettings(), tasks, 0)
    support, out = tmp_path / "new.csv", tmp_path / "new.qs"
    support.write_text("weight,size,species\n0.02,150,cat\n0.01,290,dog\n")
    refuses(r"features weight, size \(no height; also size\).* takes height", run, support, out)
    support.write_text("height,weight,species\n150,0.02,cat\n151,0.021,cat\n290,0.01,dog\n")
    adapted = adapt(run, support, out)
    assert np.abs(read_support(adapted.inputs, support)[0].x).max() < 5
    (tmp_path / "rows.csv").write_text("height,weight\n150,0.02\n291,0.011\n")
    rows = predict(out, [tmp_path / "rows.csv"])
    assert [row.name for row in rows] == ["cat", "dog"]
    assert rows[1].input.endswith("rows.csv, row 3")
    (tmp_path / "turned.csv").write_text("weight,height\n0.02,150\n0.011,291\n")
    turned = predict(out, [tmp_path / "turned.csv"])
    assert [row.probabilities for row in turned] == [row.probabilities for row in rows]
    (tmp_path / "rows.csv").write_text("weight,weight,height\n0.02,0.02,150\n")
    with pytest.raises(UserError, match="two columns of the same name"):
        predict(out, [tmp_path / "rows.csv"])
    (tmp_path / "rows.csv").write_text("species\ncat\n")
    with pytest.raises(UserError, match="no column but 'species'"):
        predict(out, [tmp_path / "rows.csv"])
    with pytest.raises(UserError, match="takes 2 features, not pictures"):
        predict(out, [tmp_path / "image.png"])


def test_it_is_served_where_the_data_are_not(
    runs: dict[str, Path], support: Path, queries: list[Path], tmp_path: Path
) -> None:
    """In a process of its own, with the run and the support set away."""
    out = tmp_path / "symbols.qs"
    run = shutil.copytree(runs["maml"], tmp_path / "run")
    adapt(run, support, out)
    expected = [row.name for row in predict(out, queries)]
    shutil.rmtree(run)
    shutil.rmtree(support)
    program = (
        "import sys; from pathlib import Path; from quickstudy.serving.predicting import predict;"
        "print([row.name for row in predict(Path(sys.argv[1]), [*map(Path, sys.argv[2:])])])"
    )
    command = [sys.executable, "-c", program, str(out), *map(str, queries)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str(expected)
