"""The sections of the report: from data to HTML, in the order they are read."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from quickstudy.estimate import Estimate
from quickstudy.report import episode, figures
from quickstudy.report.data import Confusion, Embedding, ReportData, Row, called
from quickstudy.report.markup import (
    Section,
    figure,
    heading,
    image,
    level,
    number,
    panels,
    table,
)


def sections(data: ReportData) -> list[Section]:
    """The sections for which there are data."""
    parts: list[Section] = []
    if data.rows:
        parts.append(_results(data))
    if data.episode is not None:
        parts.append(episode.section(data.episode))
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
    """One figure, large, and what it means: that of the best, or of the row that is named. Where
    this is inductive, the transductive one stands beside."""
    if not data.rows:
        return ""
    best = next((row for row in data.rows if row.name == data.headline), _best(data))
    mean, _, half = number(best.headline, data.metric).partition(" ± ")
    unit = "%" if half.endswith("%") else ""
    among = f", the best of {len(data.rows)}" if len(data.rows) > 1 else ""
    if data.headline:
        among = {
            "inductive": ", each query by itself, as predict answers",
            "transductive": ", whose queries are normalised together (transductive)",
        }.get(best.mode, "")
        among += "".join(
            f" ({number(row.headline, data.metric)} where all queries of an episode are normalised "
            "together: transductive)"
            for row in data.rows
            if row.mode == "transductive" and row is not best
        )
    chance = "" if data.chance is None else f" Guessing gives {level(data.chance, data.metric)}."
    return (
        f'<p class="headline"><strong>{mean}{unit}</strong> <span>± {half}</span></p>\n'
        f"<p>The {escape(called(data.metric))} of {escape(best.name)}{among}: mean and 95% "
        f"interval {best.headline.covers}.{chance}</p>"
        + (f"\n<p>{escape(data.verdict)}.</p>" if data.verdict else "")
    )


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
    head = [
        "Learner",
        escape(heading(called(metric))),
        '<span class="unseen">Drawn to scale</span>',
    ]
    rows = []
    for row in data.rows:
        error = row.calibration_error
        optional = [
            number(row.difference, metric, "+") if row.difference else "best" * (row is best),
            number(row.nll) if row.nll else "",
            "" if error is None else f"{100 * error:.1f}%",
            escape(row.mode),
        ]
        shown = [cell for cell, (_, wanted) in zip(optional, held, strict=True) if wanted]
        rows.append([escape(row.name), number(row.headline, metric), _ruler(row, data), *shown])
    head += [name for name, wanted in held if wanted]
    kinds = dict.fromkeys(row.headline.covers for row in data.rows)
    lead = f"Means over the same {data.episodes:,} test episodes; the ± is a 95% interval "
    lead += f"{'. Of others it is one '.join(kinds)}."
    if data.chance is not None:
        lead += f" The dotted line is guessing, {level(data.chance, metric)}."
    if held[0][1]:
        lead += " Differences are paired, episode by episode: where the interval leaves out zero, "
        lead += "luck is an unlikely explanation."
    return Section("results", "Results", "Results", lead, table("Results", head, rows))


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


def _learning(data: ReportData) -> Section:
    lead = "How the learner improved while it trained on one batch of episodes after another. "
    lead += "Validation episodes are kept apart, to choose the best moment to stop."
    notes = []
    for curve in data.curves:
        best = curve.best(data.higher_is_better)
        if best is not None:
            notes.append(
                f"{escape(curve.name)}: best validation {escape(called(data.metric))} "
                f"{level(float(curve.validation[best]), data.metric)} at step "
                f"{curve.validation_steps[best]:,} (★)."
            )
    metric = figures.metric_curve("metric", data.curves, data.metric, data.higher_is_better)
    body = panels(
        figure(
            figures.loss_curve("loss", data.curves),
            "Faint: raw values. Line: their moving average over a fortieth of the run.",
        ),
        figure(metric, "Dots: validation. " + " ".join(notes) if notes else ""),
    )
    return Section("learning", "Learning curves", "Learning curves", lead, body)


def _sweep(i: int, data: ReportData) -> Section:
    sweep, metric = data.sweeps[i], data.metric
    title = f"{heading(called(metric))} against {sweep.setting}"
    lead = f"What more or fewer {escape(sweep.setting)} at test time change. "
    lead += "Bars are 95% intervals over episodes."
    chart = figures.sweep(f"sweep-{i}", sweep.setting, sweep.lines, metric, data.chance)
    head = [escape(heading(sweep.setting)), *(escape(line.name) for line in sweep.lines)]
    cells = [
        {
            float(x): number(Estimate(float(mean), float(half), data.episodes), metric)
            for x, mean, half in zip(line.x, line.mean, line.half_width, strict=True)
        }
        for line in sweep.lines
    ]
    settings = sorted({x for column in cells for x in column})
    rows = [[f"{x:g}", *(column.get(x, "") for column in cells)] for x in settings]
    body = panels(figure(chart), table(title, head, rows))
    return Section(f"sweep-{i}", f"Against {sweep.setting}", title, lead, body)


def _calibration(data: ReportData) -> Section:
    lead = "Of the claims made with 80% confidence, 80% should come true. Bars below the "
    lead += "dashed line: too sure of itself; above it: not sure enough."
    diagrams = [
        figure(figures.reliability(f"calibration-{i}", calibration))
        for i, calibration in enumerate(data.calibration)
    ]
    title = "Calibration: is its confidence deserved?"
    return Section("calibration", "Calibration", title, lead, panels(*diagrams))


def _embedding(embedding: Embedding) -> Section:
    lead = "Where the network puts each example: what it finds alike lies close together."
    caption = "Projected to the first two principal components"
    if embedding.explained is not None:
        caption += f", which hold {100 * embedding.explained:.0f}% of the variance"
    caption += "; distances in the full space differ."
    if embedding.prototypes is not None:
        caption += " Large markers: the classes' prototypes."
    body = figure(figures.scatter("embedding", embedding), caption)
    title = "Embedding: how the network sees examples"
    return Section("embedding", "Embedding", title, lead, body)


def _confusions(confusions: Sequence[Confusion]) -> Section:
    lead = "Which class is most often taken for which, among queries whose episode held both."
    rows = []
    for pair in confusions:
        share = pair.count / max(pair.total, 1)
        rows.append(
            [
                _example(pair.true, pair.true_image),
                _example(pair.predicted, pair.predicted_image),
                f'<span class="bar" style="width:{4 * share:.2f}rem"></span> '
                f"{100 * share:.0f}% <small>({pair.count:,} of {pair.total:,})</small>",
            ]
        )
    body = table("What gets confused", ["True class", "Taken for", "How often"], rows)
    return Section("confusions", "Confusions", "What gets confused", lead, body)


def _example(name: str, pixels: np.ndarray | None) -> str:
    picture = "" if pixels is None else image(pixels, f"an example of {name}") + " "
    return picture + escape(name)


def _protocol(protocol: Mapping[str, Any]) -> Section:
    lead = "What was measured, on what and how, so that it can be measured again."
    rows = [[escape(key), _value(value)] for key, value in protocol.items()]
    body = table("Protocol", ["Setting", "Value"], rows).replace("<table>", '<table class="pairs">')
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
