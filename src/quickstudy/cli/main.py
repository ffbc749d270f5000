"""Which command was meant, and how a mistake is told.

No command's module is imported before it is asked for, and JAX not before there is something to
compute: `--help` answers at once.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import os
import re
import signal
import sys
from typing import Any, NoReturn

from quickstudy.errors import UserError, nearest
from quickstudy.terminal import forget_said, warn

COMMANDS = {
    "demo": "see it work: four learners on characters that they have never seen, in minutes",
    "train": "meta-train a learner on many tasks",
    "evaluate": "accuracy, likelihood and calibration of a run on unseen classes",
    "optimize": "a trained optimiser on fresh problems, beside its opponents",
    "search": "choose options of a run on its validation classes",
    "compare": "several runs on the same episodes, with paired differences",
    "adapt": "give a trained learner a few examples of your classes",
    "update": "add classes to what adapt has made, and take classes away",
    "export": "what adapt has made as a file for other programs: StableHLO, ONNX, safetensors",
    "predict": "classify files with what adapt has made",
    "serve": "a server and a playground: models and learners over HTTP",
    "report": "a page about a run, to open in a browser",
    "list": "learners, tasks and recipes",
    "data": "which data sets are here; download and prepare one",
    "reproduce": "measure a row of a published table",
    "study": "put a question to trained learners, and draw the answer",
    "tables": "render docs/results.md from the measured rows",
}


def usage() -> str:
    """What `quickstudy --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [
        "usage: quickstudy COMMAND [OPTIONS]        quickstudy COMMAND --help for its options",
        "",
        "Meta-learning: models that learn a new thing from a few examples.",
        "",
        *(f"  {name:<{width}}  {words}" for name, words in COMMANDS.items()),
        "",
        "With a run of a learner of your own, each command needs the file that defines it:",
        "--learner FILE.py. Code runs only where you name it.",
        "",
        "for example",
        "  quickstudy demo",
        "  quickstudy train protonet --tasks omniglot --way 5 --shot 1 --run runs/a",
        "  quickstudy evaluate runs/a --way 20 --shot 5",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 2 after one line about what the user
    can put right, or 128 + the signal that ended a training.
    """
    forget_said()
    words = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        collect_seldom()
    if arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)
    if isinstance(sys.stdout, io.TextIOWrapper):  # some terminals have fewer letters than we print
        sys.stdout.reconfigure(errors="backslashreplace")
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name, *rest = words
    if name == "--version":
        from importlib.metadata import version

        print(f"quickstudy {version('quickstudy')}")
        return 0
    try:
        if name not in COMMANDS:
            raise UserError(f"there is no command {name!r}: {nearest(name, list(COMMANDS))}")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the compiler keeps to itself
        if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in rest):
            raise UserError("an argument is empty: leave it out, or write . for the current folder")
        command = importlib.import_module(f"quickstudy.cli.{name.replace('list', 'listing')}")
        return command.run(with_files(name, rest))
    except UserError as error:
        return complain(str(error))
    except RuntimeError as error:  # what a callback to the host raised comes as JAX's, with words
        if (said := re.search(r"\bUserError: (.*)", str(error))) is None:
            raise
        return complain(said[1])
    except BrokenPipeError:
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return complain(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return complain("interrupted", status=130)


def collect_seldom() -> None:
    """Look for unreachable objects seldom, and not at the end of the process: imports make hundreds
    of thousands of objects that stay, and looking through them takes a third of a second."""
    gc.set_threshold(200_000, 20, 20)
    atexit.register(gc.freeze)


def end_at_once(number: int, frame: Any) -> NoReturn:
    """Ctrl-C, where nothing collects it (see `signals.py`): one line, and the process is gone. An
    exception would be raised wherever Python stands, in callbacks of JAX as well, which tell it as
    a traceback. Every file that we write is whole at any moment."""
    shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the cursor, which a live bar hides
    with contextlib.suppress(OSError):
        os.write(2, f"{shown}quickstudy: interrupted\n".encode())
    os._exit(128 + number)


LEARNERS_TAKE = ("train",)
"""Commands that read the words of learners themselves …"""
TASKS_TAKE = ("evaluate", "compare")
"""… and those that read the words of tasks."""
PROBLEMS = ("train", "optimize")
"""Commands whose `--tasks FILE.py` may be problems to minimise: they run the file themselves."""


def with_files(command: str, words: list[str]) -> list[str]:
    """Run the files that `--learner FILE.py` and `--tasks FILE.py` name: what they define is known
    then to all that loads runs. Returns the words without those that the command does not read
    itself. Raises `UserError` where a file does not define what it should."""
    from quickstudy.data.registry import run_file_of_tasks

    rest, words = [], list(words)
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        is_learner = flag == "--learner" and command not in LEARNERS_TAKE
        is_tasks = flag == "--tasks" and command not in PROBLEMS
        if not (is_learner or is_tasks):
            rest.append(word)
            continue
        file = value if equals else words.pop(0) if words else ""
        if is_tasks:
            run_file_of_tasks(file)
            rest += [flag, file] if command in TASKS_TAKE or ".py" not in file else []
            continue
        if not file.endswith(".py"):
            raise UserError(f"--learner {file}: give the Python file that defines the learner")
        from quickstudy.settings.registry import learner_settings

        learner_settings(file)
    return rest


def complain(message: str, status: int = 2) -> int:
    """Print one line on standard error, as long as there is one: a terminal may have been closed.
    Returns the exit status."""
    with contextlib.suppress(OSError):
        warn(message)
    return status
