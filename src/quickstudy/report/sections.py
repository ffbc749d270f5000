"""The sections of the report: from data to HTML, in the order they are read."""

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, isfinite, log10
from typing import Any, NamedTuple

import numpy as np

from quickstudy.report import figures
from quickstudy.report.data import (
    Confusion,
    CurveEpisode,
    Embedding,
    Estimate,
    ImageEpisode,
    ReportData,
    Row,
)

MOST_CLASSES, MOST_EACH = 20, 5  # what is drawn of an episode: classes, and images of each


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


def sections(data: ReportData) -> list[Section]:
    """The sections for which there are data."""
    parts: list[Section] = []
    if data.rows:
        parts.append(_results(data))
    if data.episode is not None:
        parts.append(_episode(data.episode))
    if data.curves:
        parts.append(_learning(data))
    parts.extend(_sweep(i, data) for i in range(len(data.sweeps)))
    if data.calibration:
        parts.append(_calibration(data))
    if data.embedding is not None:
        parts.append(_embedding(data.embedding))
    if data.confusions:
        parts.append(_confusions(data.confusions))
    if data.protocol:
        parts.append(_protocol(data.protocol))
    return parts


def headline(data: ReportData) -> str:
    """The best figure, large, and what it means."""
    if not data.rows:
        return ""
    best = _best(data)
    mean, _, half = number(best.headline, data.metric).partition(" ± ")
    unit = " %" if half.endswith(" %") else ""
    among = f", the best of {len(data.rows)}" if len(data.rows) > 1 else ""
    chance = "" if data.chance is None else f" Guessing gives {level(data.chance, data.metric)}."
    return (
        f'<p class="headline"><strong>{mean}{unit}</strong> <span>± {half}</span></p>\n'
        f"<p>The {escape(data.metric)} of {escape(best.name)}{among}: mean and 95 % interval "
        f"over {data.episodes:,} test episodes.{chance}</p>"
    )


def number(estimate: Estimate, metric: str = "", sign: str = "") -> str:
    """An estimate to two significant digits of its interval; accuracy in percent.

    >>> number(Estimate(0.98734, 0.0021), "accuracy"), number(Estimate(0.43219, 0.021))
    ('98.73 ± 0.21 %', '0.432 ± 0.021')
    """
    scale, unit = (100, " %") if metric == "accuracy" else (1, "")
    mean, half = estimate.mean * scale, estimate.half_width * scale
    digits = min(max(1 - floor(log10(half)), 0), 4) if isfinite(half) and half > 0 else 3
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}{unit}".replace("-", "−")


def level(value: float, metric: str) -> str:
    """A figure that has no interval.

    >>> level(0.2, "accuracy"), level(3.14159, "mse")
    ('20.0 %', '3.14')
    """
    return f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.3g}"


def _best(data: ReportData) -> Row:
    pick = max if data.higher_is_better else min
    return pick(data.rows, key=lambda row: row.headline.mean)


def _results(data: ReportData) -> Section:
    best, metric = _best(data), data.metric
    held = [
        ("Difference to the best", any(row.difference for row in data.rows)),
        ("NLL", any(row.nll for row in data.rows)),
        ("Calibration error", any(row.calibration_error is not None for row in data.rows)),
        ("Prediction", any(row.mode for row in data.rows)),
    ]
    head = ["Learner", metric.capitalize(), '<span class="unseen">Drawn to scale</span>']
    rows = []
    for row in data.rows:
        error = row.calibration_error
        optional = [
            number(row.difference, metric, "+") if row.difference else "best" * (row is best),
            number(row.nll) if row.nll else "",
            "" if error is None else f"{100 * error:.1f} %",
            escape(row.mode),
        ]
        shown = [cell for cell, (_, wanted) in zip(optional, held, strict=True) if wanted]
        rows.append([escape(row.name), number(row.headline, metric), _ruler(row, data), *shown])
    head += [name for name, wanted in held if wanted]
    lead = f"Every learner is tested on the same {data.episodes:,} episodes, of classes or tasks "
    lead += "that no training saw. ± is a 95 % interval over episodes."
    if data.chance is not None:
        lead += f" The dotted line is guessing, {level(data.chance, metric)}."
    if held[0][1]:
        lead += " Differences are paired, episode by episode: one whose interval leaves out zero "
        lead += "is more than luck."
    return Section("results", "Results", "Results", lead, _table("Results", head, rows))


def _ruler(row: Row, data: ReportData) -> str:
    """A dot with its interval on a scale that all rows share."""
    ends = [r.headline.mean + s * r.headline.half_width for r in data.rows for s in (-1, 1)]
    ends += [] if data.chance is None else [data.chance]
    low, high = min(ends), max(ends)
    spread = (high - low) or 1.0

    def at(value: float) -> str:
        return f"{4 + 92 * (value - low) / spread:.1f}%"

    mean, half = row.headline.mean, row.headline.half_width
    chance = "" if data.chance is None else f'<i class="chance" style="left:{at(data.chance)}"></i>'
    return (
        f'<span class="ruler" aria-hidden="true">{chance}'
        f'<i class="range" style="left:{at(mean - half)};width:{184 * half / spread:.1f}%"></i>'
        f'<i class="dot" style="left:{at(mean)}"></i></span>'
    )


def _episode(episode: ImageEpisode | CurveEpisode) -> Section:
    if isinstance(episode, CurveEpisode):
        lead = "One task as the learner meets it: from the support points alone, it must guess "
        lead += "the whole curve."
        body = _figure(figures.regression("episode", episode))
        return Section("episode", "An episode", "One episode, drawn", lead, body)
    lead = "One task as the learner meets it: it studies the support images, then says of each "
    lead += "query which of those classes it belongs to."
    names, guesses = episode.names, np.argmax(episode.probabilities, axis=1)
    classes = range(min(len(names), MOST_CLASSES))
    support = "".join(
        f'<li class="class-{k % len(figures.CLASSES)}">{_chip(k)} <span class="name">'
        f'{escape(names[k])}</span><span class="tiles">'
        + "".join(
            _image(episode.support_images[i], f"support image of {names[k]}")
            for i in _first(episode.support_labels, k)
        )
        + "</span></li>\n"
        for k in classes
    )
    queries = "".join(
        f'<li class="class-{k % len(figures.CLASSES)}">{_chip(k)} <span class="name">'
        f'{escape(names[k])}</span><span class="tiles">'
        + "".join(_query(episode, i, int(guesses[i])) for i in _first(episode.query_labels, k))
        + "</span></li>\n"
        for k in classes
    )
    right = int(np.sum(guesses == episode.query_labels))
    left_out = len(names) - len(classes)
    caption = f"{right} of {len(guesses)} queries right. ✓ right, ✗ wrong; the number is the "
    caption += "class predicted, then the probability given to it."
    caption += f" At most {MOST_EACH} images of a class are drawn."
    caption += f" {left_out} more classes are not drawn." if left_out else ""
    body = (
        f'<h3>Support: what it studies</h3>\n<ul class="classes support">\n{support}</ul>\n'
        f'<h3>Queries, by true class: what it is tested on</h3>\n<ul class="classes">\n{queries}'
        f'</ul>\n<p class="caption">{caption}</p>'
    )
    return Section("episode", "An episode", "One episode, drawn", lead, body)


def _query(episode: ImageEpisode, i: int, guess: int) -> str:
    right = guess == episode.query_labels[i]
    mark, word = ("✓", "right") if right else ("✗", "wrong")
    percent = f"{100 * episode.probabilities[i, guess]:.0f} %"
    true, predicted = episode.names[episode.query_labels[i]], episode.names[guess]
    alt = f"query of {true}, predicted {predicted} with probability {percent}: {word}"
    return (
        f'<span class="query {word}">{_image(episode.query_images[i], alt)}'
        f'<span aria-hidden="true" class="class-{guess % len(figures.CLASSES)}">'
        f"<b>{mark}</b> {_chip(guess)} {percent}</span></span>"
    )


def _first(labels: np.ndarray, k: int) -> np.ndarray:
    return np.flatnonzero(labels == k)[:MOST_EACH]


def _chip(k: int) -> str:
    return f'<span class="chip">{k + 1}</span>'


def _image(image: np.ndarray, alt: str) -> str:
    return f'<img src="{figures.png(image)}" alt="{escape(alt)}">'


def _learning(data: ReportData) -> Section:
    lead = "How the learner improved while it trained on one batch of episodes after another. "
    lead += "Validation episodes use classes or tasks that it does not train on."
    notes = []
    for curve in data.curves:
        best = curve.best(data.higher_is_better)
        if best is not None:
            notes.append(
                f"{escape(curve.name)}: best validation {escape(data.metric)} "
                f"{level(float(curve.validation[best]), data.metric)} at step "
                f"{curve.validation_steps[best]:,} (★)."
            )
    metric = figures.metric_curve("metric", data.curves, data.metric, data.higher_is_better)
    body = _panels(
        _figure(figures.loss_curve("loss", data.curves), "Faint: raw. Line: moving average."),
        _figure(metric, " ".join(notes)),
    )
    return Section("learning", "Learning curves", "Learning curves", lead, body)


def _sweep(i: int, data: ReportData) -> Section:
    sweep, metric = data.sweeps[i], data.metric
    heading = f"{metric.capitalize()} against {sweep.setting}"
    lead = f"The same learner, tested with other numbers of {escape(sweep.setting)}. Bars are 95 % "
    lead += "intervals over episodes."
    chart = figures.sweep(f"sweep-{i}", sweep.setting, sweep.lines, metric, data.chance)
    head = [escape(sweep.setting.capitalize()), *(escape(line.name) for line in sweep.lines)]
    settings = sorted({float(x) for line in sweep.lines for x in line.x})
    rows = [
        [f"{x:g}"]
        + [
            next(
                (
                    number(Estimate(float(mean), float(half)), metric)
                    for at, mean, half in zip(line.x, line.mean, line.half_width, strict=True)
                    if at == x
                ),
                "",
            )
            for line in sweep.lines
        ]
        for x in settings
    ]
    body = _panels(_figure(chart), _table(heading, head, rows))
    return Section(f"sweep-{i}", f"Against {sweep.setting}", heading, lead, body)


def _calibration(data: ReportData) -> Section:
    lead = "Of the answers given with 80 % confidence, 80 % should be right. Bars below the "
    lead += "dashed line: too sure of itself; above it: not sure enough."
    diagrams = [
        _figure(figures.reliability(f"calibration-{i}", calibration))
        for i, calibration in enumerate(data.calibration)
    ]
    heading = "Calibration: is its confidence deserved?"
    return Section("calibration", "Calibration", heading, lead, _panels(*diagrams))


def _embedding(embedding: Embedding) -> Section:
    lead = "Where the network puts each example: what it finds alike lies close together."
    caption = "Projected to the first two principal components"
    if embedding.explained is not None:
        caption += f", which hold {100 * embedding.explained:.0f} % of the variance"
    caption += "; distances in the full space differ."
    if embedding.prototypes is not None:
        caption += " Large markers: the classes' prototypes."
    body = _figure(figures.scatter("embedding", embedding), caption, "chart wide")
    heading = "Embedding: how the network sees examples"
    return Section("embedding", "Embedding", heading, lead, body)


def _confusions(confusions: Sequence[Confusion]) -> Section:
    lead = "The classes most often taken for another, of the queries that could have been."
    rows = []
    for pair in confusions:
        share = pair.count / max(pair.total, 1)
        pictures = [
            "" if image is None else _image(image, f"an example of {name}") + " "
            for image, name in (
                (pair.true_image, pair.true),
                (pair.predicted_image, pair.predicted),
            )
        ]
        rows.append(
            [
                f'{pictures[0]}<span class="name">{escape(pair.true)}</span>',
                f'{pictures[1]}<span class="name">{escape(pair.predicted)}</span>',
                f'<span class="bar" style="width:{4 * share:.2f}rem"></span> '
                f"{100 * share:.0f} % <small>({pair.count:,} of {pair.total:,})</small>",
            ]
        )
    body = _table("What gets confused", ["True class", "Taken for", "How often"], rows)
    return Section("confusions", "Confusions", "What gets confused", lead, body)


def _protocol(protocol: Mapping[str, Any]) -> Section:
    lead = "All that is needed to measure the same figures again."
    rows = [[escape(key), _value(value)] for key, value in protocol.items()]
    body = _table("Protocol", ["Setting", "Value"], rows).replace(
        "<table>", '<table class="pairs">'
    )
    return Section("protocol", "Protocol", "Protocol", lead, body)


def _value(value: Any) -> str:
    """A JSON value in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "<br>".join(f"{escape(str(key))} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(inner) for inner in value)
    return escape(f"{value:g}" if isinstance(value, float) else str(value))


def _panels(*parts: str) -> str:
    return f'<div class="panels">{"".join(parts)}</div>'


def _figure(content: str, caption: str = "", kind: str = "chart") -> str:
    caption = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="{kind}">{content}{caption}</figure>'


def _table(name: str, head: list[str], rows: list[list[str]]) -> str:
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
