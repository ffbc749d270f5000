"""The table goes where the page has a place for it, and nowhere else."""

import json

import pytest

from benchmarks.page import render
from quickstudy.errors import UserError

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
SPREAD = {"median": 2.0, "low": 1.5, "high": 2.5}
RUN = {
    "command": "python -m benchmarks",
    "commit": "0123456789ab",
    "machine": {"processor": "a processor", "python": "3.11"},
    "versions": {"jax": "0.10"},
    "threads": 2,
    "repetitions": 5,
    "matrix product, operations a second": {"numpy": 1e11, "xla": 2e11},
    "copying, bytes a second": {"numpy": 1e10},
    "missing": {"higher": "ModuleNotFoundError: higher"},
    "cases": [
        {
            "case": "a case",
            "settings": {"kind": "MAMLStep"},
            "aim": {"peer": "PyTorch", "times": 3},
            "limit_seconds": 0.01,
            "share_of_limit": 0.5,
            "compile_seconds": 4.0,
            "contenders": {
                "quickstudy": {"seconds": {**SPREAD, "median": 0.02}, "ratio": SPREAD},
                "PyTorch": {"seconds": SPREAD, "ratio": SPREAD},
            },
            "left_out": {},
            "failed": {"TorchOpt": "RuntimeError: no memory"},
            "disagreed": {},
        }
    ],
}


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(RUN))
    return path


def test_a_new_page_has_the_table(results, tmp_path):
    page = tmp_path / "page.md"
    render(results, page)
    assert (
        "| a case | 20 ms | 2.0 (1.5–2.5) | PyTorch 3: not met | 50 % | 4 s |" in page.read_text()
    )
    assert "higher is left out" in page.read_text()
    assert "TorchOpt failed at a case: RuntimeError: no memory." in page.read_text()


def test_the_rest_of_a_page_stays(results, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    render(results, page)
    render(results, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert text.count("| a case |") == 1


def test_a_page_without_a_place_is_left_alone(results, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("mine")
    with pytest.raises(UserError, match="no place"):
        render(results, page)
    assert page.read_text() == "mine"


def test_another_file_is_not_a_run(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("{}")
    with pytest.raises(UserError, match="not a run"):
        render(path, tmp_path / "page.md")
