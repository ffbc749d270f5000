"""The page's structure, read as text."""

import importlib
import os
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from quickstudy.errors import UserError
from quickstudy.estimate import Estimate
from quickstudy.report.data import Calibration, Confusion, ReportData, Row
from quickstudy.report.figures import COLOURS
from quickstudy.report.markup import number
from quickstudy.report.page import render, write_report
from quickstudy.terminal import printable

from .conftest import NAMES, full_report, image_episode, sinusoid

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What the tests look at; fails where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.text.setdefault(self.open[-1], []).append(data.strip())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    return render(full_report())


def test_every_section_is_there_once(text: str) -> None:
    page = Page(text)
    assert page.text["h1"] == ["Four learners on glyphs, 5-way 1-shot"]
    assert page.text["h2"] == [
        "Results",
        "One episode, drawn",
        "Learning curves",
        "Accuracy against inner steps",
        "Calibration: is its confidence deserved?",
        "Embedding: how the network sees examples",
        "What gets confused",
        "Protocol",
    ]
    anchors = {attributes["id"] for attributes in page.attributes("section")}
    assert {attributes["href"] for attributes in page.attributes("a")} == {f"#{a}" for a in anchors}
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_headline_and_results(text: str) -> None:
    assert "<strong>96.12%</strong> <span>± 0.41%</span>" in text
    covers = "over 600 test episodes of one training; another training may differ by more"
    assert f"mean and 95% interval {covers}. Guessing gives 20.0%." in text
    assert f"Means over the same 600 test episodes; the ± is a 95% interval {covers}." in text
    assert "<td>−1.79 ± 0.49%</td>" in text


def test_the_headline_is_what_predict_would_give() -> None:
    """A better figure that looks at all queries together stands beside."""
    rows = [
        Row("maml", Estimate(0.8, 0.01, 600), mode="inductive"),
        Row("maml, batch statistics", Estimate(0.9, 0.01, 600), mode="transductive"),
        Row("ridge", Estimate(0.95, 0.01, 600), mode="no batch norm"),
    ]
    text = render(full_report(rows=rows, headline="maml"))
    assert "<strong>80.00%</strong>" in text or "<strong>80.0%</strong>" in text
    assert "The accuracy of maml, each query by itself, as predict answers (90" in text
    assert "transductive): mean and 95% interval" in text


@pytest.mark.parametrize(
    ("field", "empty", "heading"),
    [
        ("rows", (), "Results"),
        ("protocol", None, "Protocol"),
        ("curves", (), "Learning curves"),
        ("episode", None, "One episode, drawn"),
        ("sweeps", (), "Accuracy against inner steps"),
        ("calibration", (), "Calibration: is its confidence deserved?"),
        ("embedding", None, "Embedding: how the network sees examples"),
        ("confusions", (), "What gets confused"),
    ],
)
def test_a_section_without_data_is_left_out(field: str, empty: object, heading: str) -> None:
    only_this = ReportData("t", "accuracy", 10, **{field: getattr(full_report(), field)})
    assert Page(render(only_this)).text["h2"] == [heading]
    without = replace(only_this, **{field: empty})
    assert "h2" not in Page(render(without)).text


def test_regression_in_place_of_classes() -> None:
    row = Row("MAML", Estimate(0.0321, 0.004, 600))
    data = ReportData("s", "mse", 600, False, rows=[row], episode=sinusoid())
    text = render(data)
    assert "The MSE of MAML" in text
    assert "<strong>0.0321</strong> <span>± 0.0040</span>" in text
    for label in ("truth", "support", "before adapting", "after 10 steps"):
        assert f">{label}</text>" in text


def named(name: str) -> ReportData:
    """A report in which everything that has a name of the user's is called `name`."""
    episode = image_episode()
    full = full_report()
    assert full.embedding is not None
    return replace(
        full,
        title=name,
        rows=[replace(full.rows[0], name=name, mode=name)],
        protocol={name: name, "nested": {name: [name]}},
        curves=[replace(full.curves[0], name=name)],
        episode=replace(episode, names=[name, *episode.names[1:]]),
        sweeps=[replace(full.sweeps[0], setting=name)],
        calibration=[replace(full.calibration[0], name=name)],
        embedding=replace(full.embedding, names=[name, *NAMES[1:]]),
        confusions=[Confusion(name, name, 1, 2, episode.query_images[0])],
    )


def test_what_users_write_is_escaped() -> None:
    text = render(named('<script>alert("1")</script>&'))
    assert "<script" not in text
    assert not Page(text).attributes("script")


@pytest.mark.parametrize("name", [os.fsdecode(b"no-\xff-text"), "_under", "$x_{", "a\x1b[2J\nb"])
def test_names_of_any_characters_are_shown(tmp_path: Path, name: str) -> None:
    write_report(tmp_path / "report.html", named(name))
    text = (tmp_path / "report.html").read_text("utf-8")
    assert Page(text).text["h1"] == [name.replace("\udcff", "\\udcff")]
    for drawing in re.findall(r"<svg.*?</svg>", text, flags=re.S):
        assert "\x1b" not in re.sub(r'aria-label="[^"]*"', "", drawing)
    assert f"{printable(name)}</text>" in text


def test_nothing_is_loaded_from_a_network(text: str) -> None:
    page = Page(text)
    assert not page.attributes("script")
    assert all(
        (a["src"] or "").startswith("data:image/png;base64,") for a in page.attributes("img")
    )
    assert [a["href"] for a in page.attributes("link")] == ["data:,"]
    assert not re.search(r"@import|url\((?!#)", text)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_everything_seen_has_words(text: str) -> None:
    page = Page(text)
    assert page.attributes("html")[0]["lang"] == "en"
    assert all(a["alt"] for a in page.attributes("img"))
    assert all(a["role"] == "img" and a["aria-label"] for a in page.attributes("svg"))
    assert all(a["scope"] in ("col", "row") for a in page.attributes("th"))
    assert "✗" in text
    assert "✓" in text
    assert re.search(r'alt="query of \S+, predicted \S+ with probability \d+%: wrong"', text)


def test_figures_are_xml_in_the_colours_of_the_page(text: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    assert len(drawings) == 6
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        bare = re.sub(r"var\(--[a-z0-9-]+, #[0-9a-f]{6}\)", "", drawing)
        assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", bare)


def test_the_style_sheet_has_every_colour_in_both_schemes() -> None:
    style = files("quickstudy.report").joinpath("page.css").read_text(encoding="utf-8")
    light, dark = style.split("prefers-color-scheme: dark")
    for name, value in COLOURS.items():
        assert f"--{name}: {value};" in light
        assert f"--{name}: #" in dark


def test_the_same_data_give_the_same_bytes(text: str) -> None:
    assert render(full_report()) == text


def test_a_large_episode_is_capped() -> None:
    data = ReportData("t", "accuracy", 1, episode=image_episode(way=25, shot=7, queries=7))
    text = render(data)
    assert len(Page(text).attributes("img")) == 20 * 5 + 20 * 5
    assert "100 of the queries are drawn." in text


def test_numbers_have_two_digits_of_their_interval() -> None:
    assert number(Estimate(0.98734, 0.0021, 600), "accuracy") == "98.73 ± 0.21%"
    assert number(Estimate(0.43219, 0.021, 600)) == "0.432 ± 0.021"
    assert number(Estimate(-0.01, 0.0, 600), "accuracy", "+") == "−1.000 ± 0.000%"
    assert number(Estimate(0.5, float("nan"), 600)) == "0.500 ± nan"


def test_calibration_error_is_the_weighted_gap() -> None:
    sums = np.array([[0.0, 0.0, 0.0], [10.0, 6.0, 5.0], [30.0, 27.0, 30.0]])
    calibration = Calibration.from_sums("a", sums)
    assert calibration.error == pytest.approx((10 * 0.1 + 30 * 0.1) / 40)
    assert Calibration.from_sums("a", np.zeros((3, 3))).error == 0


SHORT = ReportData("t", "accuracy", 10, rows=[Row("a", Estimate(0.5, 0.1, 600))])


def test_write_replaces_the_page_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(path, replace(SHORT, title="before"))
    write_report(path, SHORT)
    assert path.read_text(encoding="utf-8") == render(SHORT)
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*report\.html: it is a folder"):
        write_report(tmp_path / "report.html", SHORT)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = importlib.import_module("quickstudy.report")
    for name in ("figures", "markup", "episode", "sections"):
        monkeypatch.delitem(sys.modules, f"quickstudy.report.{name}")
        monkeypatch.delattr(package, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'quickstudy\[report\]'"):
        write_report(tmp_path / "report.html", SHORT)
