"""The report's figures: pure functions from arrays to inline SVG, and from images to PNG.

Sizes are in CSS pixels. Every colour is one of `COLOURS` and leaves as a CSS variable of that
name, with the light scheme's colour to fall back on: one drawing serves a light page, a dark
page and a slide it is copied to. The same arrays give the same bytes.
"""

import base64
import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter
from PIL import Image

from quickstudy.experiments.diagrams import Map, Panel
from quickstudy.files import require_ours
from quickstudy.report.data import Calibration, Curve, CurveEpisode, Embedding, Line, called
from quickstudy.terminal import printable

COLOURS = {
    "ink": "#1d2329",
    "muted": "#5a6570",
    "rule": "#ccd3da",
    "paper": "#ffffff",
    "class-0": "#0072c6",
    "class-1": "#c04a00",
    "class-2": "#00705a",
    "class-3": "#c43c92",
    "class-4": "#22282e",
}
"""The light scheme. `page.css` has the same names for the dark one."""

CLASSES = [colour for name, colour in COLOURS.items() if name.startswith("class-")]
MARKERS = "os^DvPX"  # 5 colours and 7 markers: the first 35 classes all look different
DASHES = ["-", "--", "-.", ":"]
MOST_BARS = 6
"""More of them lie, so that there is room for their names."""
MOST_MARKERS = 30
"""A line of more points is drawn as a curve with a band."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: selectable, searchable, in the page's own font
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.titlecolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # a dollar in a class name is a dollar
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "hatch.linewidth": 0.6,
}
WIDTH = 400


class Drawing:
    """A figure being drawn; `svg` is its text once the `with` block of `_drawing` has ended."""

    figure: Figure
    svg: str = ""


@contextmanager
def _drawing(name: str, alt: str, height: int) -> Iterator[Drawing]:
    """A blank figure in the report's style, whatever the user's own matplotlib settings are.
    `name` sets its element ids apart from those of the other figures on the page."""
    drawing = Drawing()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        matplotlib.rcParams["svg.hashsalt"] = name
        drawing.figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        yield drawing
        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with warnings.catch_warnings():  # text is set by the browser, which has more glyphs
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            drawing.figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    _, opening, body = re.split(r"(<svg [^>]*>)", text.getvalue(), maxsplit=1)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    for colour, value in COLOURS.items():
        body = body.replace(value, f"var(--{colour}, {value})")
    opening = re.sub(r'="([\d.]+)pt"', r'="\1"', opening)
    opening = opening.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"')
    drawing.svg = opening + body


def png(image: Float[np.ndarray, "H W C"]) -> str:
    """A data URI of an image in [0, 1] with C = 1, 3 or 4, at most 128 pixels a side."""
    pixels = np.round(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((128, 128))
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def require_picture(path: Path, mark: bytes = b"quickstudy") -> None:
    """Raise `UserError` where a picture cannot be written to `path`, or what is there is not one of
    those that `diagrams` makes, which name the program."""
    require_ours(path, mark, "a picture", "--picture")


def diagrams(panels: Sequence[Panel | Map]) -> bytes:
    """A PNG of a study's panels side by side: lines where x is a number, bars where it is a word,
    with their intervals; maps in grey."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "figure.dpi": 110, "font.size": 9})
        matplotlib.rcParams.update({"axes.titlesize": 10, "legend.fontsize": 8})
        across = min(len(panels), 3)
        down = -(-len(panels) // across)
        figure = Figure(figsize=(4.2 * across, 3.3 * down), layout="constrained")
        places = figure.subplots(down, across, squeeze=False).ravel()
        for axes, panel in zip(places, panels, strict=False):
            if isinstance(panel, Map):
                _map(axes, panel)
            else:
                _panel(axes, panel)
        for axes in places[len(panels) :]:
            axes.set_axis_off()
        data = io.BytesIO()
        figure.savefig(data, format="png", metadata={"Software": "quickstudy"})
    return data.getvalue()


def _panel(axes: Axes, panel: Panel) -> None:
    """One diagram of a study."""
    words = list(dict.fromkeys(x for line in panel.lines.values() for x in line))
    x_label, y_label = panel.x, called(panel.y)
    for i, (name, line) in enumerate(panel.lines.items()):
        mean, half = ([getattr(e, part) for e in line.values()] for part in ("mean", "half_width"))
        try:
            at: Any = [float(x) for x in line]
        except ValueError:
            at = [words.index(x) for x in line]
            bars: dict[str, Any] = {"label": name, "color": CLASSES[i], "capsize": 3}
            if len(words) > MOST_BARS:
                axes.barh(at, mean, xerr=half, height=0.6, **bars)
                axes.set_yticks(range(len(words)), words)
                axes.set_ylim(len(words) - 0.5, -0.5)
                x_label, y_label = called(panel.y), ""
                continue
            axes.bar(at, mean, yerr=half, width=0.6, **bars)
            axes.set_xticks(range(len(words)), words, rotation=20, ha="right")
            continue
        style: dict[str, Any] = {"label": name, "color": CLASSES[i % len(CLASSES)]}
        if len(line) > MOST_MARKERS:
            low, high = np.subtract(mean, half), np.add(mean, half)
            dashes, width = DASHES[i // len(CLASSES) % len(DASHES)], 2.5 if i == 0 else 1.2
            axes.plot(at, mean, linestyle=dashes, linewidth=width, **style)
            axes.fill_between(at, low, high, color=style["color"], alpha=0.2, linewidth=0)
            continue
        marker = MARKERS[i % len(MARKERS)]
        joined = "none" if name in panel.points else "-"
        axes.errorbar(
            at, mean, half, marker=marker, markersize=4, capsize=2, linestyle=joined, **style
        )
    for axis in panel.logarithmic:
        axes.set(**{f"{axis}scale": "log"})
        getattr(axes, f"{axis}axis").set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        getattr(axes, f"{axis}axis").set_minor_formatter(NullFormatter())
    axes.set(title=panel.title, xlabel=x_label, ylabel=y_label)
    if panel.y == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    if len(panel.lines) > 1:
        axes.legend()


def _map(axes: Axes, panel: Map) -> None:
    """Numbers as shades, 0 white, with the words of columns below, and those of rows beside."""
    axes.imshow(panel.values, cmap="Blues", vmin=0, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(panel.columns)), panel.columns, fontsize=5)
    axes.tick_params(axis="x", length=0)
    if panel.rows:
        named = [(at, word) for at, word in enumerate(panel.rows) if word]
        axes.set_yticks(*zip(*named, strict=True), fontsize=7)
        axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)


def loss_curve(name: str, curves: Sequence[Curve]) -> str:
    """Training loss against steps: raw values faint, and their moving average."""
    with _drawing(name, f"Training loss against training step: {_ends(curves)}.", 290) as drawing:
        axes = drawing.figure.subplots()
        for i, curve in enumerate(curves):
            _smoothed(axes, i, curve.steps, curve.loss, curve.name)
        axes.set(xlabel="training step", ylabel="training loss")
        _legend(axes)
    return drawing.svg


def metric_curve(name: str, curves: Sequence[Curve], metric: str, higher_is_better: bool) -> str:
    """The headline metric against steps, as `loss_curve`; validation points, the best a star."""
    alt = f"{called(metric)} against training step: {', '.join(curve.name for curve in curves)}."
    with _drawing(name, alt, 290) as drawing:
        axes = drawing.figure.subplots()
        for i, curve in enumerate(curves):
            _smoothed(axes, i, curve.steps, curve.metric, curve.name)
            colour, best = CLASSES[i % len(CLASSES)], curve.best(higher_is_better)
            dots: dict[str, Any] = {"color": colour, "markeredgecolor": COLOURS["paper"]}
            x, y = curve.validation_steps, curve.validation
            axes.plot(x, y, marker="o", markersize=6, linestyle="none", **dots)
            if best is not None:
                axes.plot(x[best], y[best], marker="*", markersize=17, **dots)
        axes.set(xlabel="training step", ylabel=called(metric))
        _in_percent(axes, metric)
        _legend(axes)
    return drawing.svg


def regression(name: str, episode: CurveEpisode) -> str:
    """A curve to be learnt, the points shown of it, and the predictions."""
    alt = f"A true curve, {len(episode.support_x)} support points on it, and the predicted curves "
    with _drawing(name, alt + " and ".join(episode.predictions) + ".", 330) as drawing:
        axes = drawing.figure.subplots()
        axes.plot(episode.x, episode.truth, color=COLOURS["ink"], linewidth=1.2, label="truth")
        for i, (label, y) in enumerate(episode.predictions.items()):
            colour, dashes = CLASSES[i % len(CLASSES)], DASHES[(i + 1) % len(DASHES)]
            axes.plot(episode.x, y, color=colour, linestyle=dashes, label=_label(label))
        dots = {"s": 60, "color": COLOURS["ink"], "edgecolor": COLOURS["paper"], "zorder": 3}
        axes.scatter(episode.support_x, episode.support_y, label="support", **dots)
        axes.set(xlabel="x", ylabel="y")
        _legend(axes)
    return drawing.svg


def sweep(name: str, setting: str, lines: Sequence[Line], metric: str, chance: float | None) -> str:
    """The metric against a setting at test time, with 95% intervals."""
    alt = f"{called(metric)} against {setting} for {', '.join(line.name for line in lines)}."
    with _drawing(name, alt, 310) as drawing:
        axes = drawing.figure.subplots()
        if chance is not None:
            axes.axhline(chance, color=COLOURS["muted"], linewidth=1, linestyle=(0, (1, 2)))
            axes.annotate(
                "chance",
                (1, chance),
                (0, 3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                color=COLOURS["muted"],
            )
        for i, line in enumerate(lines):
            axes.errorbar(
                line.x,
                line.mean,
                line.half_width,
                color=CLASSES[i % len(CLASSES)],
                linestyle=DASHES[i % len(DASHES)],
                marker=MARKERS[i % len(MARKERS)],
                capsize=3,
                label=_label(line.name),
            )
        axes.set(xlabel=printable(setting), ylabel=called(metric))
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        _in_percent(axes, metric)
        if len(lines) > 1:
            _legend(axes)
    return drawing.svg


def reliability(name: str, calibration: Calibration) -> str:
    """How often claims of each confidence came true, above how many there were of each."""
    held = calibration.counts > 0
    bins = len(held)
    middle = (np.arange(bins)[held] + 0.5) / bins
    confidence, correct = calibration.confidence[held], calibration.correct[held]
    error = f"{calibration.error:.1%}"
    alt = f"Reliability diagram of {calibration.name}: expected calibration error {error}."
    with _drawing(name, alt, 400) as drawing:
        above, below = drawing.figure.subplots(2, sharex=True, height_ratios=[3, 1])
        above.bar(middle, correct, 0.9 / bins, color=CLASSES[0], label="came true")
        gap = {"color": "none", "edgecolor": CLASSES[1], "hatch": "////", "label": "gap"}
        above.bar(middle, confidence - correct, 0.9 / bins, bottom=correct, **gap)
        diagonal = {"color": COLOURS["ink"], "linestyle": "--", "linewidth": 1.2}
        above.plot([0, 1], [0, 1], **diagonal, label="perfect")
        above.legend(loc="upper left")
        above.set(
            title=f"{printable(calibration.name)}: calibration error {error}",
            ylabel="came true",
            ylim=(0, 1.02),
        )
        above.yaxis.set_major_formatter(PercentFormatter(1))
        below.bar(middle, calibration.counts[held], 0.9 / bins, color=COLOURS["muted"])
        below.set(xlabel="confidence claimed", ylabel="claims", xlim=(0, 1))
        below.xaxis.set_major_formatter(PercentFormatter(1))
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    return drawing.svg


def scatter(name: str, embedding: Embedding) -> str:
    """Examples as points, coloured and shaped by class; prototypes large."""
    alt = f"{len(embedding.points)} examples of {len(embedding.names)} classes in two dimensions."
    columns = 3 if max(map(len, embedding.names)) <= 16 else 2
    with _drawing(name, alt, 380 + 20 * (-(-len(embedding.names) // columns))) as drawing:
        axes = drawing.figure.subplots()
        for k, label in enumerate(embedding.names):
            look: dict[str, Any] = {
                "color": CLASSES[k % len(CLASSES)],
                "marker": MARKERS[k % len(MARKERS)],
            }
            x, y = embedding.points[embedding.labels == k].T
            axes.scatter(x, y, s=26, alpha=0.75, linewidth=0, label=_label(label), **look)
            if embedding.prototypes is not None:
                edge = {"edgecolor": COLOURS["ink"], "linewidth": 1.5, "zorder": 3}
                axes.scatter(*embedding.prototypes[k], s=190, **look, **edge)
        axes.set(xlabel="first principal component", ylabel="second principal component")
        axes.set_aspect("equal", "datalim")
        axes.tick_params(length=0, labelbottom=False, labelleft=False)
        axes.grid(False)
        drawing.figure.legend(loc="outside lower left", ncols=columns, handletextpad=0.2)
    return drawing.svg


def _smoothed(axes: Axes, i: int, steps: np.ndarray, values: np.ndarray, label: str) -> None:
    """At most 400 of the raw values, faint, and their moving average over 1/40 of the run."""
    colour, dashes = CLASSES[i % len(CLASSES)], DASHES[i % len(DASHES)]
    window, thin = np.ones(max(1, len(values) // 40)), slice(None, None, -(-len(values) // 400))
    finite = np.isfinite(values)
    total = np.convolve(np.where(finite, values, 0.0), window, "same")
    smooth = total / np.maximum(np.convolve(finite, window, "same"), 1)
    axes.plot(steps[thin], values[thin], color=colour, alpha=0.3, linewidth=0.8)
    axes.plot(steps[thin], smooth[thin], color=colour, linestyle=dashes, label=_label(label))


def _in_percent(axes: Axes, metric: str) -> None:
    if metric == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1))


def _legend(axes: Axes) -> None:
    """Above the axes, where it hides no data."""
    axes.figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2)


def _ends(curves: Sequence[Curve]) -> str:
    return "; ".join(f"{c.name} from {c.loss[0]:.3g} to {c.loss[-1]:.3g}" for c in curves)


def _label(name: str) -> str:
    """A name for the legend: its end, where it is long; matplotlib hides a leading underscore."""
    shown = printable(name if len(name) <= 24 else "…" + name[-23:])
    return shown if shown[:1] != "_" else "\u200b" + shown
