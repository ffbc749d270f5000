"""Measuring a case: the contenders agree first, then take turns."""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any

import jax

from benchmarks import machine, ours
from benchmarks.cases import Arithmetic, Case, aim, in_words
from benchmarks.contender import Contender, LeftOut
from benchmarks.operations import bytes_moved, operations
from benchmarks.timing import Spread, in_turns, ratio
from quickstudy.devices import cores
from quickstudy.runs.evidence import provenance

PEERS = {
    "pytorch": "torch",
    "torch_func": "torch",
    "higher": "higher",
    "torchopt": "torchopt",
    "easyfsl": "easyfsl",
}
"""Modules of `benchmarks.peers`, and the package that each is about."""

TOLERANCE: dict[Arithmetic, float] = {"float32": 1e-3, "tensorfloat32": 1e-2, "bfloat16": 0.1}
"""The relative difference at which two figures no longer agree."""


class Disagreement(Exception):
    """A peer that computes something else: its times would mean nothing."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the hardware reaches: the best of several libraries."""

    operations_per_second: Mapping[Arithmetic, float]
    bytes_per_second: float

    def seconds(self, case: Case) -> float:
        """The least time of one step."""
        return max(
            operations(case) / self.operations_per_second[case.arithmetic],
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


def evidence(
    peers: Mapping[str, ModuleType], arithmetics: Sequence[Arithmetic] = ("float32",)
) -> tuple[Limits, dict[str, Any]]:
    """What stands beside the figures: commit, machine, versions, threads; and its limits."""
    products: dict[Arithmetic, dict[str, float]] = {
        a: machine.matrix_products(a) for a in arithmetics
    }
    copies = machine.copies()
    found = provenance()
    for peer in peers.values():
        package = PEERS[peer.__name__.rpartition(".")[2]]
        found["versions"][package] = metadata.version(package)
        if hasattr(peer, "matrix_products"):
            for a in arithmetics:
                products[a]["torch"] = peer.matrix_products(machine.size(), machine.fastest, a)
            copies["torch"] = peer.copies(machine.copied(), machine.fastest)
    limits = Limits({a: max(x.values()) for a, x in products.items()}, max(copies.values()))
    return limits, {
        **found,
        "threads": cores(),
        **{products_key(a): x for a, x in products.items()},
        "copying, bytes a second": copies,
    }


def products_key(arithmetic: Arithmetic) -> str:
    """What a run calls the rate of a matrix product."""
    return f"matrix product{in_words(arithmetic)}, operations a second"


def measure(
    case: Case, peers: Mapping[str, ModuleType], repetitions: int, limits: Limits
) -> dict[str, Any]:
    """One case, as plain JSON values. Times are in seconds a step."""
    with jax.default_matmul_precision(machine.MATMUL_PRECISION[case.arithmetic]):
        return _measure(case, peers, repetitions, limits)


def _measure(
    case: Case, peers: Mapping[str, ModuleType], repetitions: int, limits: Limits
) -> dict[str, Any]:
    mine, problem = ours.contender(case)
    figures = mine.figures()
    contenders: dict[str, Contender] = {ours.NAME: mine}
    left_out: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for name, peer in peers.items():
        if type(case) not in peer.CONTENDERS:
            continue
        try:
            contender = peer.CONTENDERS[type(case)](case, problem)
            contenders[name] = agreeing(contender, figures, TOLERANCE[case.arithmetic])
        except Disagreement as error:
            wrong[name] = str(error)
        except Exception as error:  # LeftOut, or whatever a package meets in this case
            left_out[name] = in_one_line(error)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    steps: dict[str, int] = {}
    failed: dict[str, Exception] = {}
    for turn in in_turns(contenders, repetitions, failed):
        for name, (count, each) in turn.items():
            steps[name] = count
            seconds[name].append(each)
    if ours.NAME in failed:
        raise failed[ours.NAME]
    least, set_aim = limits.seconds(case), aim(case, machine.on_gpu())
    return {
        "case": case.name,
        "settings": {"kind": type(case).__name__, **dataclasses.asdict(case)},
        "operations": operations(case),
        "bytes": bytes_moved(case),
        "limit_seconds": least,
        "share_of_limit": least / Spread.of(seconds[ours.NAME]).median,
        "compile_seconds": mine.compile_seconds,
        "figures": figures,
        "aim": None if set_aim is None else set_aim._asdict(),
        "contenders": {
            name: {
                "seconds": dataclasses.asdict(Spread.of(taken)),
                "ratio": dataclasses.asdict(ratio(taken, seconds[ours.NAME])),
                "each": taken,
                "steps_per_repetition": steps[name],
            }
            for name, taken in seconds.items()
            if name not in failed
        },
        "left_out": left_out,
        "failed": {name: in_one_line(error) for name, error in failed.items()},
        "disagreed": wrong,
    }


def agreeing(peer: Contender, wanted: Mapping[str, float], tolerance: float) -> Contender:
    """The peer, if its figures are those wanted. Raises `Disagreement`."""
    found = peer.figures()
    for name, value in wanted.items():
        if not abs(found[name] - value) <= tolerance * abs(value):
            raise Disagreement(f"its {name} is {found[name]:.6g}, ours {value:.6g}")
    return peer


def in_one_line(error: Exception) -> str:
    """The last line of what an exception says."""
    lines = str(error).strip().splitlines() or [""]
    return lines[-1] if isinstance(error, LeftOut) else f"{type(error).__name__}: {lines[-1]}"
