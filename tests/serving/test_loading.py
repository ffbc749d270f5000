"""What adapt has made, in a Python program and on many files."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import quickstudy
from quickstudy.cli import predict as predict_command
from quickstudy.data.inputs import Inputs
from quickstudy.datasets.columns import Column
from quickstudy.datasets.encoding import Encoding
from quickstudy.errors import UserError
from quickstudy.serving.predicting import predict
from quickstudy.serving.values import read_values


def test_inputs_of_any_form_are_the_same_inputs(adapted_file: Path, queries: list[Path]) -> None:
    symbols = quickstudy.load(str(adapted_file))
    assert symbols.classes_.tolist() == ["across", "down", "round"]
    p = symbols.predict_proba(queries)
    rows = predict(adapted_file, queries)
    np.testing.assert_array_equal(p, [list(row.probabilities.values()) for row in rows])
    assert symbols.unknown(queries).tolist() == [row.unknown for row in rows]
    x = symbols.read(queries)
    pictures = [Image.open(path) for path in queries]
    for same in (list(map(str, queries)), pictures, x, np.round(255 * x[..., 0]).astype(np.uint8)):
        np.testing.assert_array_equal(symbols.predict_proba(same), p)
    assert symbols.predict(str(queries[0])).tolist() == [symbols.classes_[p[0].argmax()]]
    assert symbols.score(queries, symbols.predict(queries)) == 1.0
    for match, wrong in {
        "takes images of 16 × 16 × 1; X holds 3 features": [[1, 2, 3]],
        "X holds nothing": [],
        "X has rows of different lengths": [[1, 2], [3]],
        "X is a single NoneType": None,
        "X is a single int": 3,
        "X is a single dict": {"a": 1.0},
        "takes images of 16 × 16 × 1; X holds 1 features": [{"a": 1.0}],
        "cannot read the image nowhere.png": "nowhere.png",
    }.items():
        with pytest.raises(UserError, match=match):
            symbols.predict(wrong)
    with pytest.raises(UserError, match=r"y has shape \(2,\)"):
        symbols.score(queries, [0, 1])
    larger = pictures[1].resize((80, 60))
    expected = [symbols.predict_proba(one)[0] for one in (pictures[0], larger)]
    np.testing.assert_allclose(symbols.predict_proba([pictures[0], larger]), expected, atol=1e-6)


def test_bytes_are_not_inverted_which_is_said(
    adapted_file: Path, queries: list[Path], capsys
) -> None:
    symbols = quickstudy.load(adapted_file)
    dark = np.array([np.asarray(Image.open(path).resize((16, 16))) for path in queries])
    capsys.readouterr()
    symbols.predict(queries)
    assert "255 - X" not in capsys.readouterr().err
    symbols.predict(255 - dark)
    assert "give 255 - X if ink is dark in X too" in capsys.readouterr().err


def test_a_score_knows_other_spellings(adapted_file: Path, queries: list[Path], capsys) -> None:
    symbols = quickstudy.load(adapted_file)
    taken = symbols.predict(queries)
    assert symbols.score(queries, [f" {name}  " for name in taken]) == 1.0
    assert "none of the classes" not in capsys.readouterr().err
    assert symbols.score(queries, [*taken[:-1], "Round"]) == pytest.approx(11 / 12)
    assert "none of the classes, such as 'Round'" in capsys.readouterr().err


def test_the_page_on_adapting_runs(
    adapted_file: Path, queries: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "adapting.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(adapted_file, "symbols.qs")
    Path("scans").mkdir()
    for name in ("a.png", "b.png", "scans/c.png"):
        shutil.copy(queries[0], name)
    exec(example, {})


class Frame:
    """As much of a data frame as is asked for."""

    def __init__(self, **columns: list):
        self.columns, self._cells = list(columns), columns

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self._cells[name], dtype=object)

    def __len__(self) -> int:
        return len(self._cells[self.columns[0]])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(list(self._cells.values()), dtype=object).T


def test_tables_of_any_form_are_the_same_rows() -> None:
    columns = [Column("age", "number"), Column("kind", "category", ("l", "s"))]
    encoding = Encoding.of("x.csv", columns, np.array([[1.0, 0], [3.0, 1], [5.0, 0]]))
    inputs = Inputs.unscaled((3,), encoding)
    expected = [[4, 0, 1], [7, 1, 0]]
    for given in (
        [[4, "s"], [7, "l"]],
        [{"kind": "s", "age": 4}, {"age": 7, "kind": "l"}],
        Frame(kind=["s", "l"], age=[4, 7]),
    ):
        np.testing.assert_array_equal(read_values(inputs, given), expected)
    with pytest.raises(UserError, match="rows of 1 cells, and the learner takes age, kind"):
        read_values(inputs, [[4]])
    with pytest.raises(UserError, match="rows of 1 cells"):
        read_values(inputs, [[4, "s"], 3])
    with pytest.raises(UserError, match="no kind"):
        read_values(inputs, Frame(age=[4]))


def test_importing_the_package_imports_no_jax() -> None:
    program = "import sys, quickstudy; print('jax' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout.strip() == "False"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_many_files_and_one_that_cannot_be_read(
    adapted_file: Path,
    queries: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
) -> None:
    """A row for each file in order; the bad one has its error, and nothing else is lost."""
    folder, out = tmp_path / "scans", tmp_path / f"rows.{suffix}"
    folder.mkdir()
    for i in range(70):
        shutil.copy(queries[i % 12], folder / f"{i:02}.png")
    (folder / "41.png").write_bytes(b"no picture")
    assert predict_command.run([str(adapted_file), str(folder), "--out", str(out)]) == 1
    assert "1 of 70 inputs could not be read" in capsys.readouterr().err
    with out.open(newline="") as file:
        lines = [*csv.DictReader(file)] if suffix == "csv" else [*map(json.loads, file)]
    assert [line["input"] for line in lines] == [str(path) for path in sorted(folder.iterdir())]
    assert [i for i, line in enumerate(lines) if line.get("error")] == [41]
    expected = predict(adapted_file, queries)
    for i, line in enumerate(lines):
        if i != 41:
            row, k = expected[i % 12], "class" if suffix == "csv" else "name"
            assert line[k] == row.name
            assert float(line["probability"]) == pytest.approx(row.probability, abs=1e-5)
            p = line["p(round)"] if suffix == "csv" else line["probabilities"]["round"]
            assert float(p) == pytest.approx(row.probabilities["round"], abs=1e-5)
    (tmp_path / "empty").mkdir()
    assert predict_command.run([str(adapted_file), str(tmp_path / "empty"), "--out", str(out)]) == 1
    assert "holds nothing to predict" in out.read_text()
    out.unlink()
    assert predict_command.run([str(adapted_file), str(queries[0]), "--out", str(out)]) == 0
    assert predict_command.run([str(adapted_file), str(queries[0]), "--out", str(out)]) == 0
    mine = "input,age\na.png,3\n" if suffix == "csv" else '{"input": "a.png", "age": 3}\n'
    for content in ("years of work", mine, f"# {out.read_text()}", '"' * 200_000):
        out.write_text(content)
        for wrong in (out, tmp_path / "rows.xlsx"):
            with pytest.raises(UserError, match=r"--out"):
                predict_command.run([str(adapted_file), str(folder), "--out", str(wrong)])
        assert out.read_text() == content
    out.unlink()
    with pytest.raises(UserError, match="is one of the inputs"):
        predict_command.run([str(adapted_file), str(out), "--out", str(out)])
