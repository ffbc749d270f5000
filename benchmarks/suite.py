"""Measuring a case: the contenders agree first, then take turns."""

import dataclasses
import importlib
from collections.abc import Mapping
from importlib import metadata
from types import ModuleType
from typing import Any

from benchmarks import machine, ours
from benchmarks.cases import Case
from benchmarks.contender import Contender, LeftOut
from benchmarks.operations import bytes_moved, operations
from benchmarks.timing import Spread, in_turns, ratio
from quickstudy.recipes.evidence import provenance

PEERS = {
    "pytorch": "torch",
    "torch_func": "torch",
    "higher": "higher",
    "torchopt": "torchopt",
    "easyfsl": "easyfsl",
}
"""Modules of `benchmarks.peers`, and the package that each is about."""

TOLERANCE = 1e-3
"""The relative difference at which two figures in float32 no longer agree."""


class Disagreement(Exception):
    """A peer that computes something else: its times would mean nothing."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the hardware reaches: the best of several libraries."""

    operations_per_second: float
    bytes_per_second: float

    def seconds(self, case: Case) -> float:
        """The least time of one step."""
        return max(
            operations(case) / self.operations_per_second,
            bytes_moved(case) / self.bytes_per_second,
        )


def load_peers() -> tuple[dict[str, ModuleType], dict[str, str]]:
    """The peers that can be imported by their names, and of each other why it cannot."""
    there: dict[str, ModuleType] = {}
    missing: dict[str, str] = {}
    for module in PEERS:
        try:
            peer = importlib.import_module(f"benchmarks.peers.{module}")
            there[peer.NAME] = peer
        except Exception as error:  # what a package does when it no longer fits has many names
            missing[module] = in_one_line(error)
    return there, missing


def evidence(peers: Mapping[str, ModuleType]) -> tuple[Limits, dict[str, Any]]:
    """What stands beside the figures: commit, machine, versions, threads; and its limits."""
    products, copies = machine.matrix_products(), machine.copies()
    found = provenance()
    for peer in peers.values():
        package = PEERS[peer.__name__.rpartition(".")[2]]
        found["versions"][package] = metadata.version(package)
        if hasattr(peer, "matrix_products"):
            products["torch"] = peer.matrix_products(machine.SIZE, machine.fastest)
            copies["torch"] = peer.copies(machine.COPIED, machine.fastest)
    limits = Limits(max(products.values()), max(copies.values()))
    return limits, {
        **found,
        "threads": machine.threads(),
        "matrix product, operations a second": products,
        "copying, bytes a second": copies,
    }


def measure(
    case: Case, peers: Mapping[str, ModuleType], repetitions: int, limits: Limits
) -> dict[str, Any]:
    """One case, as plain JSON values. Times are in seconds a step."""
    mine, problem = ours.contender(case)
    figures = mine.figures()
    contenders: dict[str, Contender] = {ours.NAME: mine}
    left_out: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for name, peer in peers.items():
        if type(case) not in peer.CONTENDERS:
            continue
        try:
            contenders[name] = agreeing(peer.CONTENDERS[type(case)](case, problem), figures)
        except Disagreement as error:
            wrong[name] = str(error)
        except Exception as error:  # LeftOut, or whatever a package meets in this case
            left_out[name] = in_one_line(error)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    steps: dict[str, int] = {}
    for turn in in_turns(contenders, repetitions):
        for name, (count, each) in turn.items():
            steps[name] = count
            seconds[name].append(each)
    least = limits.seconds(case)
    return {
        "case": case.name,
        "settings": {"kind": type(case).__name__, **dataclasses.asdict(case)},
        "operations": operations(case),
        "bytes": bytes_moved(case),
        "limit_seconds": least,
        "share_of_limit": least / Spread.of(seconds[ours.NAME]).median,
        "compile_seconds": mine.compile_seconds,
        "figures": figures,
        "contenders": {
            name: {
                "seconds": dataclasses.asdict(Spread.of(taken)),
                "ratio": dataclasses.asdict(ratio(taken, seconds[ours.NAME])),
                "each": taken,
                "steps_per_repetition": steps[name],
            }
            for name, taken in seconds.items()
        },
        "left_out": left_out,
        "disagreed": wrong,
    }


def agreeing(peer: Contender, wanted: Mapping[str, float]) -> Contender:
    """The peer, if its figures are those wanted. Raises `Disagreement`."""
    found = peer.figures()
    for name, value in wanted.items():
        if not abs(found[name] - value) <= TOLERANCE * abs(value):
            raise Disagreement(f"its {name} is {found[name]:.6g}, ours {value:.6g}")
    return peer


def in_one_line(error: Exception) -> str:
    """The first line of what an exception says."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, LeftOut) else f"{type(error).__name__}: {lines[0]}"
