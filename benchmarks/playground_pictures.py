"""The pictures of the playground in the README: python -m benchmarks.playground_pictures

Everything in them is drawn by `benchmarks.strokes`, and answered by the learners of the package.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.browser import Page, chromium
from benchmarks.strokes import house, squiggle, star

HANDS = {"squiggle": squiggle, "star": star, "house": house}
WIDE, PHONE = Path("docs/playground.png"), Path("docs/playground-phone.png")
MOST_BYTES = 150_000
SETTLED = 0.5
"""Seconds until bars have their length."""


def teach(page: Page, shots: int) -> None:
    """Draw a few of each, and name them."""
    for name, hand in HANDS.items():
        for seed in range(shots):
            page.draw("#pad", hand(seed))
            if seed:
                page.click(f'[data-key="teach {name}"]')
                continue
            page.eval("document.querySelector('#new-name').focus()")
            page.write(name)
            page.click('[data-key="new"]')


def take(page: Page, path: Path) -> None:
    """Write what the window shows."""
    page.eval("document.activeElement.blur()")
    time.sleep(SETTLED)
    picture = page.picture()
    if len(picture) > MOST_BYTES:
        raise SystemExit(f"{path} would have {len(picture):,} bytes: at most {MOST_BYTES:,}")
    path.write_bytes(picture)
    print(f"{path}: {len(picture):,} bytes")


def main() -> None:
    """Serve the playground, draw, and take pictures."""
    command = [sys.executable, "-m", "quickstudy", "serve", "--port", "0"]
    serving = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert serving.stdout is not None
        address = serving.stdout.readline().split()[2] + "/"
        with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as page:
            page.prefer(color_scheme="light", reduced_motion="reduce")
            page.size(1200, 780)
            page.open(address)
            page.until("document.querySelector('#tools button')")
            teach(page, shots=3)
            page.draw("#pad", star(7))
            page.until("document.querySelector('.verdict .share')")
            take(page, WIDE)
            page.size(360, 740, phone=True, scale=1.5)
            page.click('[data-key="learner characters-maml"]')
            page.until("document.querySelector('#evidence .chart')")
            page.eval("document.querySelector('#learners').scrollIntoView()")
            take(page, PHONE)
    finally:
        serving.terminate()
        serving.wait()


if __name__ == "__main__":
    main()
