"""The report: one HTML page for a run, with everything on it and nothing from the network.

    write_report("report.html", ReportData("protonet on glyphs", "accuracy", episodes=600, …))

The page has no script, and a content policy that forbids every connection. All text that comes
from users is escaped.
"""

import os
from html import escape
from importlib.resources import files
from pathlib import Path

from quickstudy.errors import UserError
from quickstudy.files import require_ours, write_atomically
from quickstudy.report.data import ReportData

__all__ = ["ReportData", "require_page", "write_report"]

KICKER = '<p class="kicker">quickstudy report</p>'
"""Every report has it."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

WORDS = {
    "Episode": "one small task: a few labelled examples to learn from, others to be tested on.",
    "Support": "the labelled examples that the learner may study.",
    "Query": "the examples that it is then tested on.",
    "Way and shot": "how many classes an episode has, and how many support examples of each.",
    "Adapt": "to learn from a support set; an inner step is one gradient step while doing so.",
    "Prototype": "the mean of a class's support examples, where the network puts them.",
    "Transductive": "a prediction may depend on the other queries; inductive: it may not.",
    "95% interval": "were the test repeated, 95% of such intervals would hold the true mean.",
    "MSE": "mean squared error: small is good.",
    "NLL": "negative log-likelihood, in nats: small where the right answer was held probable.",
    "Calibration error": "how far confidence is, on average, from how often it is right.",
}


def write_report(path: str | os.PathLike[str], data: ReportData) -> None:
    """Write the page to `path`, whole or not at all. Raises `UserError` as `require_page` does."""
    require_page(Path(path))
    write_atomically(
        Path(path), render(data).encode(errors="backslashreplace"), "choose another --out"
    )


def require_page(path: Path) -> None:
    """Raise `UserError` where a report cannot be written to `path`, or is not one of those that it
    would replace."""
    require_ours(path, KICKER.encode(), "a report", "--out")


def render(data: ReportData) -> str:
    """The page as text; the same data give the same text."""
    try:
        from quickstudy.report import sections
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise UserError("the report needs matplotlib: pip install 'quickstudy[report]'") from None
    held = sections.sections(data)
    links = "".join(f'<a href="#{part.anchor}">{escape(part.word)}</a>' for part in held)
    words = "".join(f"<dt>{word}</dt><dd>{meaning}</dd>" for word, meaning in WORDS.items())
    style = files("quickstudy.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(data.title)} · quickstudy</title>
<style>
{style}</style>
</head>
<body>
<header>
{KICKER}
<h1>{escape(data.title)}</h1>
{sections.headline(data)}
<details><summary>The words on this page</summary><dl>{words}</dl></details>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{"".join(part.html() for part in held)}</main>
</body>
</html>
"""
