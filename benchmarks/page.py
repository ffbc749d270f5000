"""What was measured, as tables: on the terminal, and in `docs/performance.md`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import ours
from benchmarks.cases import in_words
from benchmarks.suite import TOLERANCE, products_key
from quickstudy.checkpoint import write_atomically
from quickstudy.errors import UserError

PAGE = Path("docs/performance.md")
PLACE = "benchmarks"
"""Of the suite's table in the page; see `insert`."""


def amount(seconds: float) -> str:
    """Milliseconds in three digits.

    >>> amount(0.01234)
    '12.3 ms'
    """
    ms = 1000 * seconds
    return f"{ms:,.0f} ms" if ms >= 100 else f"{ms:.3g} ms"


def times(ratio: Mapping[str, float]) -> str:
    """A ratio with its spread.

    >>> times({"median": 2.0, "low": 1.96, "high": 13.0})
    '2.0 (2.0–13)'
    """

    def figure(x: float) -> str:
        return f"{x:.0f}" if x >= 9.95 else f"{x:.1f}" if x >= 0.95 else f"{x:.2f}"

    return f"{figure(ratio['median'])} ({figure(ratio['low'])}–{figure(ratio['high'])})"


def percent(share: float) -> str:
    """A share of the limit."""
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def print_table(run: Mapping[str, Any]) -> None:
    """Every contender in a row, in eighty columns."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("case", "contender"):
        table.add_column(column)
    for column in ("a step", "times ours", "of the limit"):
        table.add_column(column, justify="right", no_wrap=True)
    for case in run["cases"]:
        name = case["case"]
        for contender, found in case["contenders"].items():
            own = contender == ours.NAME
            table.add_row(
                name,
                contender,
                amount(found["seconds"]["median"]),
                "" if own else times(found["ratio"]),
                percent(case["limit_seconds"] / found["seconds"]["median"]),
                style="bold" if own else None,
            )
            name = ""
        for kind, style in (("left_out", "dim"), ("failed", "red"), ("disagreed", "bold red")):
            for contender, why in case.get(kind, {}).items():
                table.add_row(why, contender, "–", "–", "–", style=style)
        table.add_section()
    Console().print(table)
    for peer, why in run["missing"].items():
        Console().print(f"{peer} is left out: {why}", highlight=False)


def markdown(run: Mapping[str, Any]) -> str:
    """The table of one run, with what it was measured on."""
    peers = list(
        dict.fromkeys(
            name for case in run["cases"] for name in case["contenders"] if name != ours.NAME
        )
    )
    heads = ["case", "quickstudy, a step", *peers, "aim", "of the limit", "compiling"]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for case in run["cases"]:
        found = case["contenders"]
        cells = [
            case["case"],
            amount(found[ours.NAME]["seconds"]["median"]),
            *(times(found[peer]["ratio"]) if peer in found else "–" for peer in peers),
            aim_in_words(case),
            percent(case["share_of_limit"]),
            f"{case['compile_seconds']:.0f} s",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    machine = run["machine"]
    used = {case["settings"].get("arithmetic", "float32") for case in run["cases"]}
    products = " and ".join(
        f"{max(run[key].values()) / 1e9:,.0f} GFLOP/s{in_words(arithmetic)}"
        for arithmetic in TOLERANCE
        if arithmetic in used and (key := products_key(arithmetic))
    )
    tolerances = " and ".join(
        f"{TOLERANCE[arithmetic]:g}{in_words(arithmetic)}"
        for arithmetic in TOLERANCE
        if arithmetic in used
    )
    copies = max(run["copying, bytes a second"].values())
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return "\n".join(
        [
            *lines,
            "",
            "Under a peer's name: how many times longer a step takes it than quickstudy, the "
            f"median of {run['repetitions']} repetitions in turns, with the least and greatest. "
            "Network, episodes and arithmetic are the same: from the same parameters the losses "
            f"and gradient norms agree to {tolerances} of themselves before anything is timed. The "
            "limit is the "
            "greater of the operations of the convolutions and linear layers over the rate of a "
            f"matrix product here, {products}, and the bytes that cannot but "
            f"be moved over the rate of copying, {copies / 1e9:.1f} GB/s; the share is "
            "quickstudy's.",
            "",
            f"`{run['command']}` · commit {run['commit']} · {machine['processor']}, "
            f"{run['threads']} threads each · Python {machine['python']}, {versions}.",
            *(f"\n{peer} is left out: {why}." for peer, why in run["missing"].items()),
            *(
                f"\n{peer} failed at {case['case']}: {why}."
                for case in run["cases"]
                for peer, why in case.get("failed", {}).items()
            ),
        ]
    )


def aim_in_words(case: Mapping[str, Any]) -> str:
    """What a case's ratio is to be, and whether it is."""
    aim = case.get("aim")
    if aim is None:
        return "–"
    peer = case["contenders"].get(aim["peer"])
    if peer is None:
        met = "not measured"
    else:
        met = "met" if peer["ratio"]["median"] >= aim["times"] else "not met"
    return f"{aim['peer']} {aim['times']:g}: {met}"


def render(results: Path, page: Path) -> None:
    """Put the table of a run into the page. Raises `UserError` where either is not as it is
    written here."""
    try:
        table = markdown(json.loads(results.read_text()))
    except FileNotFoundError as error:
        raise UserError(f"there is no {results}: make benchmark writes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{results} is not a run of the benchmarks: take it away") from error
    insert(table, page, PLACE)


def insert(table: str, page: Path, place: str) -> None:
    """Put a table into the page between the two comments that name its place; everything else
    there is left alone. Raises `UserError` where the page has no such place."""
    first, last = f"<!-- {place}: begin -->", f"<!-- {place}: end -->"
    text = page.read_text() if page.exists() else f"# Performance\n\n{first}\n{last}\n"
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise UserError(f"{page} has no place for the table: add lines {first} and {last}")
    write_atomically(page, f"{before}{first}\n{table}\n{last}{after}".encode())
