"""python -m benchmarks: measure, print, write down, render."""

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from quickstudy.errors import UserError

RESULTS = Path("results/benchmarks/speed-cpu.json")


@dataclass(frozen=True)
class Options:
    """How fast quickstudy is beside its peers, in one run: results/benchmarks/speed-cpu.json, and
    the table in docs/performance.md."""

    all: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The whole grid of cases (an hour or more) instead of a selection (minutes)."""
    only: str = ""
    """Just the cases with these words in their names, such as "pooled"; printed, not written."""
    repetitions: int = 5
    """How often every contender has its turn."""
    render: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Measure nothing: render the page from what was measured last."""


def run(options: Options) -> int:
    """The command; 1 where a peer did not agree with us."""
    from benchmarks import page

    if options.render:
        page.render(RESULTS, page.PAGE)
        return 0

    import jax

    from benchmarks import cases, suite
    from quickstudy.devices import join
    from quickstudy.progress import progress

    join()

    jax.config.update("jax_enable_compilation_cache", False)  # compile times are reported
    chosen = [x for x in (cases.GRID if options.all else cases.DEFAULT) if options.only in x.name]
    if not chosen:
        raise UserError(f"no case has {options.only!r} in its name, such as {cases.SINUSOID.name}")
    if options.repetitions < 1:
        raise UserError(f"--repetitions {options.repetitions}: at least 1")
    peers, missing = suite.load_peers()
    limits, evidence = suite.evidence(peers)
    measured = []
    with progress("benchmarks", len(chosen)) as reporter:
        for i, case in enumerate(chosen):
            reporter.at(i, case.name)
            measured.append(suite.measure(case, peers, options.repetitions, limits))
        reporter.at(len(chosen))
    found = {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        **evidence,
        "repetitions": options.repetitions,
        "missing": missing,
        "cases": measured,
    }
    page.print_table(found)
    disagreed = [x["case"] for x in measured if x["disagreed"]]
    if disagreed:
        print(f"not the same arithmetic: {'; '.join(disagreed)}", file=sys.stderr)
        return 1
    if not options.only:
        from quickstudy.checkpoint import write_atomically

        write_atomically(RESULTS, json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
        page.render(RESULTS, page.PAGE)
    return 0


def main() -> int:
    """The exit status; 2 after one line about what the user can put right."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the compiler keeps to itself
    try:
        return run(tyro.cli(Options, prog="python -m benchmarks"))
    except UserError as error:
        print(f"benchmarks: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
