"""The page in a real browser without a network: it renders, logs nothing, and fits a phone."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from quickstudy.report.page import POLICY, write_report

from .conftest import full_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=5000",
]

LOOK = """<script>
addEventListener("load", () => {
  const all = (what) => [...document.querySelectorAll(what)];
  const colour = (element, property) => getComputedStyle(element)[property];
  parent.postMessage(JSON.stringify({
    headings: all("h2").map((heading) => heading.textContent),
    images: all("img").length,
    decoded: all("img").filter((image) => image.complete && image.naturalWidth > 0).length,
    figures: all("svg").map((svg) => svg.getBoundingClientRect().height),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    paper: colour(document.documentElement, "backgroundColor"),
    ink: colour(document.body, "color"),
    figureInk: colour(document.querySelector("svg text[style*='--ink']"), "fill"),
  }), "*");
});
</script>"""


def chromium(folder: Path, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [CHROMIUM, *FLAGS, profile, *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def look(folder: Path, width: int, scheme: int) -> dict[str, Any]:
    """What a copy of the page says of itself, in a frame of `width` CSS pixels: a window of its
    own cannot be as narrow as a phone. Scheme 0 is dark, 1 light."""
    write_report(folder / "report.html", full_report())
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert POLICY in text
    open_text = text.replace(POLICY, POLICY + "; script-src 'unsafe-inline'")
    (folder / "copy.html").write_text(open_text.replace("</body>", LOOK + "</body>"))
    frame = f'<iframe src="copy.html" style="width:{width}px;height:900px;border:0"></iframe>'
    listen = "<script>onmessage = (event) => { document.body.textContent = event.data }</script>"
    (folder / "frame.html").write_text(f"<!doctype html>{listen}<body>{frame}</body>")
    flags = ["--dump-dom", f"--blink-settings=preferredColorScheme={scheme}"]
    seen = chromium(folder, folder / "frame.html", "--window-size=1300,1000", *flags).stdout
    found = re.search(r"<body>(\{.*\})", seen, flags=re.S)
    assert found, seen[:2000]
    return json.loads(unescape(found[1]))


def luminance(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / (3 * 255)


@pytest.mark.parametrize(("width", "scheme"), [(360, 0), (1200, 1)])
def test_it_renders_at_every_width_in_both_schemes(tmp_path: Path, width: int, scheme: int) -> None:
    page = look(tmp_path, width, scheme)
    assert len(page["headings"]) == 8
    assert page["images"] == page["decoded"] == 5 + 20 + 6
    assert len(page["figures"]) == 6
    assert min(page["figures"]) > 100
    assert page["overflow"] <= 0
    assert page["figureInk"] == page["ink"]
    paper, ink = luminance(page["paper"]), luminance(page["ink"])
    assert (paper < 0.2 and ink > 0.8) if scheme == 0 else (paper > 0.8 and ink < 0.2)


def test_the_page_itself_logs_nothing(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", full_report())
    done = chromium(tmp_path, tmp_path / "report.html", "--dump-dom", "--enable-logging=stderr")
    assert "What gets confused" in done.stdout
    assert "CONSOLE" not in done.stderr
