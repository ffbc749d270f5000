"""The report's building blocks: figures as text, and pieces of HTML."""

from html import escape
from math import floor, isfinite, log10
from typing import NamedTuple

import numpy as np

from quickstudy.estimate import Estimate
from quickstudy.report import figures


class Section(NamedTuple):
    """A section of the page; `lead` and `body` are HTML, the rest is text."""

    anchor: str
    word: str
    """In the navigation."""
    heading: str
    lead: str
    """One line that says what is seen, for someone who has never seen such a figure."""
    body: str

    def html(self) -> str:
        return (
            f'<section id="{self.anchor}">\n<h2>{escape(self.heading)}</h2>\n'
            f'<p class="lead">{self.lead}</p>\n{self.body}\n</section>\n'
        )


def number(estimate: Estimate, metric: str = "", sign: str = "") -> str:
    """An estimate to two significant digits of its interval; accuracy in percent.

    >>> number(Estimate(0.98734, 0.0021, 600), "accuracy")
    '98.73 ± 0.21%'
    >>> number(Estimate(0.43219, 0.021, 600))
    '0.432 ± 0.021'
    """
    scale, unit = (100, "%") if metric == "accuracy" else (1, "")
    mean, half = estimate.mean * scale, estimate.half_width * scale
    digits = min(max(1 - floor(log10(half)), 0), 4) if isfinite(half) and half > 0 else 3
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}{unit}".replace("-", "−")


def level(value: float, metric: str) -> str:
    """A figure that has no interval.

    >>> level(0.2, "accuracy"), level(3.14159, "mse")
    ('20.0%', '3.14')
    """
    return f"{100 * value:.1f}%" if metric == "accuracy" else f"{value:.3g}"


def heading(words: str) -> str:
    return words[:1].upper() + words[1:]


def image(image: np.ndarray, alt: str) -> str:
    return f'<img src="{figures.png(image)}" alt="{escape(alt)}">'


def panels(*parts: str) -> str:
    return f'<div class="panels">{"".join(parts)}</div>'


def figure(content: str, caption: str = "") -> str:
    caption = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{content}{caption}</figure>"


def table(name: str, head: list[str], rows: list[list[str]]) -> str:
    """Cells are HTML. The first column heads the rows; on a narrow screen the table scrolls."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{escape(name)}" tabindex="0"><table>'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )
