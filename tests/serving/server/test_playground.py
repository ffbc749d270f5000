"""The playground in a real browser: drawn on, by mouse, finger and keyboard, and it learns."""

import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from PIL import Image, ImageDraw

import quickstudy
from benchmarks.browser import CHROMIUM, Page, chromium
from benchmarks.strokes import Stroke, house, squiggle, star
from quickstudy.serving.server import learners, running
from quickstudy.serving.server.app import application
from quickstudy.serving.server.guard import Guard
from quickstudy.serving.server.strokes import EXTENT, PEN

from . import tiny

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.xdist_group("playground"),
]
CTRL = 2
PHONE = 360
LONG = "a" * 60
"""As long as a name can be."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server with the learner of characters that the package brings along, and small ones."""
    limits = replace(tiny.LIMITS, most_examples=32)
    _, *small = tiny.shipped(limits)
    characters = next(x for x in learners.shipped(limits) if x.name == "characters")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learners, "shipped", lambda _: [characters, *small])
        served = running.prepared([], limits, None)
    listening = running.Place("127.0.0.1", 0, ()).listen()
    settings = uvicorn.Config(Guard(application(served)), log_config=None, lifespan="off")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, address: str) -> Iterator[Page]:
    """The playground as at a first visit. Afterwards it has logged nothing, and has asked no other
    host for anything."""
    browser.open(f"{address}icon.svg")
    browser.eval("localStorage.clear()")
    browser.size(1280, 800)
    browser.prefer(color_scheme="light", reduced_motion="reduce")
    browser.logged.clear()
    browser.requested.clear()
    browser.open(address)
    browser.until("document.querySelector('#tools button')")
    yield browser
    assert browser.logged == []
    assert browser.requested
    assert [x for x in browser.requested if not x.startswith((address, "data:", "blob:"))] == []


def test_the_page_draws_ink_as_wide_and_as_large_as_the_server() -> None:
    lines = (Path(running.__file__).parent / "page" / "pictures.js").read_text()
    found = re.search(r"\[EXTENT, PEN\] = \[([\d.]+), ([\d.]+) / ([\d.]+)\]", lines)
    assert found is not None
    extent, pen, side = map(float, found.groups())
    assert (extent, pen / side) == (EXTENT, PEN)


def key(name: str) -> str:
    return f'[data-key="{name}"]'


def says(page: Page) -> str:
    return page.eval("document.querySelector('#says').innerText")


def teach(page: Page, stroke: Stroke, name: str, *, touch: bool = False) -> None:
    """Draw, and say what it is."""
    page.eval("scrollTo(0, 0)")
    page.draw("#pad", stroke, touch=touch)
    if page.eval(f"document.querySelector('{key(f'teach {name}')}') !== null"):
        page.click(key(f"teach {name}"))
        return
    page.eval("document.querySelector('#new-name').focus()")
    page.write(name)
    page.click(key("new"))


def taught(page: Page) -> dict[str, int]:
    """How many examples each thing has."""
    found = page.eval(
        "[...document.querySelectorAll('.thing')].map((thing) => [thing.dataset.name,"
        " thing.querySelectorAll('.examples [role=img], .examples img').length])"
    )
    return dict(found)


def shares(page: Page, of: str) -> list[float]:
    """How long bars are."""
    share = "getComputedStyle(x).getPropertyValue('--share')"
    return page.eval(f"[...document.querySelectorAll('{of}')].map((x) => Number({share}))")


def two_things(page: Page, *, touch: bool = False) -> None:
    for seed in range(3):
        teach(page, squiggle(seed), "squiggle", touch=touch)
    for seed in range(3):
        teach(page, star(seed), "star", touch=touch)
    assert taught(page) == {"squiggle": 3, "star": 3}


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways. With something wider, a phone's `innerWidth`
    grows: so it does not count."""
    return page.eval("document.documentElement.scrollWidth") <= PHONE


def test_three_squiggles_three_stars_and_it_names_the_fourth(page: Page) -> None:
    assert says(page) == "Draw something."
    two_things(page)
    for drawn, name in ((star(7), "star"), (squiggle(7), "squiggle")):
        page.draw("#pad", drawn)
        page.until(f"document.querySelector('#says').innerText.startsWith('{name}')")
        bars = shares(page, ".thing")
        assert sum(bars) == pytest.approx(1, abs=1e-3)
        assert max(bars) == bars[["squiggle", "star"].index(name)]
        nearest = page.until("document.querySelector('#evidence .row .note')?.innerText")
        assert nearest == name
        page.click(key("Clear"))
        assert says(page) == "Draw one more."
    page.draw("#pad", star(8))
    page.open(page.eval("location.href"))  # it is all there again
    page.until("document.querySelector('#says').innerText.startsWith('star')")
    assert taught(page) == {"squiggle": 3, "star": 3}


def test_a_finger_on_a_phone_in_the_dark(page: Page) -> None:
    page.size(PHONE, 740, phone=True)
    page.prefer(color_scheme="dark")
    assert fits(page)
    two_things(page, touch=True)
    page.eval("scrollTo(0, 0)")
    page.draw("#pad", star(7), touch=True)
    page.until("document.querySelector('#says').innerText.startsWith('star')")
    assert page.eval("scrollY") == 0  # drawing does not scroll
    assert fits(page)
    page.click(key("learner maml"))
    page.until("document.querySelector('#evidence .chart')")
    page.click(key("save"))
    page.until("document.querySelector('.result code')")
    assert fits(page)
    page.click(key("Clear"))
    teach(page, house(0), LONG, touch=True)
    page.eval("scrollTo(0, 0)")
    page.draw("#pad", house(0), touch=True)
    page.until(f"document.querySelector('.cards').innerText.includes('{LONG}')")
    assert fits(page)
    page.click(key("unseen"))
    page.until("document.querySelector('.truth')")
    assert fits(page)


def tab_to(page: Page, name: str) -> None:
    """Press the Tab key until an element has the focus."""
    for _ in range(60):
        page.press("Tab", 9)
        if page.eval(f"document.activeElement.matches('{key(name)}')"):
            return
    raise AssertionError(f"Tab does not come to {name}")


def photograph(path: Path, stroke: Stroke) -> Path:
    """Ink on paper that is darker on one side."""
    paper = Image.linear_gradient("L").rotate(90).resize((600, 500)).point(lambda x: 90 + x // 2)
    line = [(150 + 300 * x, 100 + 300 * y) for x, y in stroke]
    ImageDraw.Draw(paper).line(line, fill=50, width=12, joint="curve")
    paper.save(path)
    return path


def test_by_keyboard_and_from_files(page: Page, tmp_path: Path) -> None:
    kinds = {"star": star, "house": house}
    for name in kinds:
        tab_to(page, "new name")
        page.write(name)
        page.press("Enter", 13, text="\r")
    assert taught(page) == {"star": 0, "house": 0}
    for name, hand in kinds.items():
        files = [photograph(tmp_path / f"{name}{seed}.jpg", hand(seed)) for seed in range(3)]
        tab_to(page, f"files {name}")
        page.choose_file(key(f"files {name}"), *files)
        page.until(f"document.querySelectorAll('[data-name={name}] img').length === 3")
    tab_to(page, "Picture")
    (tmp_path / "wrong.jpg").write_text("no picture")
    page.choose_file(key("Picture"), tmp_path / "wrong.jpg")
    page.until("document.querySelector('#hint').innerText.startsWith('wrong.jpg is no picture')")
    page.click(key("remove house"))
    assert says(page) == "Something else."  # what comes next takes the message away
    page.press("z", 90, modifiers=CTRL)
    page.choose_file(key("Picture"), photograph(tmp_path / "query.jpg", house(7)))
    page.until("document.querySelector('#says').innerText.startsWith('house')")
    tab_to(page, "example star 2")
    page.press("Enter", 13, text="\r")
    assert taught(page) == {"star": 2, "house": 3}
    assert page.eval("document.activeElement !== document.body")
    page.press("z", 90, modifiers=CTRL)
    assert taught(page) == {"star": 3, "house": 3}
    page.until("document.querySelector('#live').innerText.startsWith('house')")
    tab_to(page, "name 0")
    page.eval("document.activeElement.select()")
    page.write("sun")
    page.press("Enter", 13, text="\r")
    page.until("document.querySelector('[data-name=sun]')")
    assert page.eval("document.activeElement.dataset.key") == "name 0"
    page.eval("document.activeElement.select()")
    page.write("sunflower")
    page.press("Tab", 9)
    page.until("document.querySelector('[data-name=sunflower]')")
    assert page.eval("document.activeElement.dataset.key") == "teach sunflower"
    tab_to(page, "measure")
    page.press("Enter", 13, text="\r")
    page.until(
        "document.querySelector('#live').innerText.match(/: \\d of 6 left-out examples right/)"
    )
    assert page.eval("document.activeElement.dataset.key") == "measure"
    unnamed = page.eval(
        "[...document.querySelectorAll('button, input, select')].filter((x) =>"
        " !(x.innerText || x.ariaLabel || x.labels?.[0]?.innerText)).map((x) => x.outerHTML)"
    )
    assert unnamed == []


def test_unseen_characters_and_the_score(page: Page) -> None:
    page.click(key("unseen"))
    page.until("document.querySelector('.truth')")
    page.click(key("Next"))
    page.click(key("All"))
    page.until("document.querySelector('.score')")
    scores = page.eval("[...document.querySelectorAll('.score')].map((x) => x.innerText)")
    assert len(scores) >= 2
    assert all(score.startswith("right ") and score.endswith(" of 10") for score in scores)
    page.click(key("New"))
    page.until("document.querySelector('.score')?.innerText.endsWith(' of 11')")
    page.eval("window.dispatchEvent(new Event('pagehide'))")
    kept = "JSON.parse(localStorage.getItem('quickstudy playground 1')).unseen"
    assert page.eval(kept)["before"] == {}  # other learners may have these names at the next visit
    assert page.eval(kept)["deal"]["learnt"] is None
    page.draw("#pad", star(0))  # one's own drawing does not count
    page.until("document.querySelector('.truth') === null")
    page.until("document.querySelector('.verdict')")
    assert page.eval("document.querySelector('.score').innerText").endswith(" of 11")


def test_gradient_steps_and_attention(page: Page) -> None:
    two_things(page)
    page.draw("#pad", star(7))
    page.until("document.querySelector('.verdict')")
    page.click(key("learner maml"))
    page.until("document.querySelector('#evidence .chart')")
    last = page.eval("Number(document.querySelector('[type=range]').max)")
    assert last >= 1
    after = shares(page, ".thing")
    page.eval(f"document.querySelector('{key('step')}').focus()")
    for _ in range(last):
        page.press("ArrowLeft", 37)
    assert page.eval("document.querySelector('#evidence h3').innerText").startswith("Before")
    before = shares(page, ".thing")
    assert before != after
    assert sum(before) == pytest.approx(sum(after), abs=1e-3)
    alt = page.eval("document.querySelector('#evidence img.pixels').alt")
    assert alt == "The drawing in 28 × 28 pixels"
    page.click(key("learner matching"))
    page.until("document.querySelector('#evidence .row .bar')")
    attention = shares(page, "#evidence .row .class")
    assert len(attention) == 6
    assert attention == sorted(attention, reverse=True)
    assert sum(attention) == pytest.approx(1, abs=1e-3)
    page.click(key("measure"))
    said = page.until("document.querySelector('.cards').innerText.match(/\\d of 6 left-out/g)")
    assert len(said) >= 2


def test_what_was_taught_is_kept_as_a_model(page: Page, address: str, tmp_path: Path) -> None:
    two_things(page)
    page.eval("document.querySelector('[aria-label=\"Name of the model\"]').select()")
    page.write("drawn-here")
    page.click(key("save"))
    page.until("document.querySelector('.result code')")
    replaced = "document.querySelector('.result').innerText.includes('was there, and was replaced')"
    assert not page.eval(replaced)
    copied = "document.querySelector('.command button')"
    page.click(".command button")
    page.until(f"['Copied', 'Not copied'].includes({copied}.innerText)")
    page.eval("Object.defineProperty(navigator, 'clipboard', {value: undefined})")  # as over http
    teach(page, star(9), "star")  # the name that was written stays
    page.click(key("save"))
    page.until(replaced)
    assert page.eval(f"{copied} === null")
    with urllib.request.urlopen(page.eval("document.querySelector('.result a').href")) as file:
        (tmp_path / "drawn-here.qs").write_bytes(file.read())
    assert list(quickstudy.load(tmp_path / "drawn-here.qs").classes_) == ["squiggle", "star"]
    query = {"inputs": [{"strokes": [[[100 * x, 100 * y] for x, y in star(7)]]}]}
    request = urllib.request.Request(
        f"{address}v1/models/drawn-here/predict",
        json.dumps(query).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["predictions"][0]["name"] == "star"


def test_undo_takes_back_strokes_examples_and_things(page: Page) -> None:
    page.draw("#pad", [(0.2, 0.2), (0.8, 0.8)])
    page.write("cr")  # the name is asked for, and its field has the focus
    page.draw("#pad", [(0.2, 0.8), (0.8, 0.2)])
    strokes = "document.querySelector('#pad .ink').getAttribute('d').split('M').length - 1"
    assert page.eval(strokes) == 2
    page.write("oss")
    page.press("Enter", 13, text="\r")
    assert taught(page) == {"cross": 1}
    for _ in range(2):
        page.click(key("Undo"))
    assert taught(page) == {}
    assert page.eval(strokes) == 1
