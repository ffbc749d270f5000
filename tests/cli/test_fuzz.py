"""Whatever is said on the command line: a command does its work, or says in one line what is wrong
with which option. No value of any option, and no path, ends in a traceback.

Options are read off each command's own --help. Trainings and evaluations are not computed: a
command that comes that far has accepted its options, and built its tasks and its learner.
"""

import re
from typing import ClassVar, get_args, get_origin, get_type_hints

import equinox as eqx
import numpy as np
import pytest

from quickstudy.cli import main
from quickstudy.cli.main import COMMANDS
from quickstudy.errors import UserError
from quickstudy.experiments import race
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.numbers import require_numbers
from quickstudy.runs import measure as measuring
from quickstudy.runs import optimizing
from quickstudy.runs import plan as planning
from quickstudy.runs import train as training_runs
from quickstudy.serving.server import learners as served_learners
from quickstudy.settings.registry import LEARNERS, OPTIMIZERS
from quickstudy.settings.task_spec import TaskSpec

NUMBERS = ("-1", "0", "nan", "99999999999")
WORDS = ("", "absent", "[/b]\x1b[2J é")
PATHS = (*WORDS, "folder", "text.txt", "text.txt/below", "a" * 300)

SMALL = ("--way", "2", "--query", "2", "--train-way", "2", "--train-query", "2", "--hidden", "4")
BASES = {
    "demo": ("demo", "--out", "new"),
    "train": ("train", "maml", "--tasks", "npz:x.npz", *SMALL, "--run", "new"),
    "train-optimizer": ("train", "lstm-optimizer", "--units", "2", "--run", "new"),
    "evaluate": ("evaluate", "run", "--episodes", "2"),
    "optimize": ("optimize", "optimizer", "--count", "2", "--tuning", "1", "--steps", "2"),
    "search": ("search", "run", "--episodes", "2", "--distance", "cosine"),
    "compare": ("compare", "run", "other", "--episodes", "2"),
    "adapt": ("adapt", "run", "--support", "x.npz", "--out", "new.qs"),
    "update": ("update", "adapted.qs", "--remove", "nobody"),
    "export": ("export", "adapted.qs", "--out", "new.onnx"),
    "predict": ("predict", "adapted.qs", "x.npz"),
    "serve": ("serve", "adapted.qs", "--port", "0", "--keep", "new"),
    "report": ("report", "run", "--out", "new.html"),
    "list": ("list",),
    "data": ("data", "folder:pictures", "--out", "new"),
    "reproduce": ("reproduce", "pixels-omniglot", "--runs", "new", "--results", "results"),
    "study": ("study", "gates", "--runs", "new", "--results", "results"),
    "tables": ("tables", "--results", "folder", "--out", "new.md"),
}


def test_every_command_is_tried():
    assert {name.partition("-")[0] for name in BASES} == set(COMMANDS)


class Accepted(Exception):
    """Nothing was wrong with what was said."""


def accept(*_, **__):
    raise Accepted


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with runs, data, and things that are neither; some training must have been."""
    place = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(48, 3)).astype(np.float32)
        np.savez("x.npz", x=x, y=np.repeat(np.arange(12), 4))
        (place / "folder").mkdir()
        (place / "text.txt").write_text("some text\n")
        tasks = ("--tasks", "npz:x.npz", "--way", "2", "--query", "2")
        for run in ("run", "other"):
            assert main(["train", "pixels", *tasks, "--run", run]) == 0
        assert main(["adapt", "run", "--support", "x.npz", "--out", "adapted.qs"]) == 0
        small = ("--units", "2", "--dimensions", "2", "--steps", "0", "--validation-episodes", "2")
        small = (*small, "--unroll", "2", "--horizon", "2", "--run", "optimizer")
        assert main(["train", "lstm-optimizer", *small]) == 0
    return place


@pytest.fixture
def attempt(place, monkeypatch, capfd):
    """Say some words to the command line; how they ended where that is a fault, or None."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(training_runs, "meta_train_seeds", accept)
    monkeypatch.setattr(measuring, "evaluate_all", accept)
    monkeypatch.setattr(served_learners, "warm", accept)
    monkeypatch.setattr(race, "tuned_once", accept)

    def attempt(words: list[str]) -> str | None:
        try:
            status = main(words)
        except Accepted:
            return None
        except SystemExit as end:
            return None if end.code in (0, 2) else f"exit {end.code}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:100]}"
        finally:
            said = capfd.readouterr()
        lines = [line for line in said.err.splitlines() if not re.match(r"\w+: \d+/\d+", line)]
        if status == 2 and len(lines) == 1 and lines[0].startswith("quickstudy: "):
            return None
        return None if status == 0 else f"status {status}: {lines}"

    return attempt


def options_of(words: tuple[str, ...], capfd) -> dict[str, tuple[str, ...]]:
    """What to try of each option that takes a value, as the help names them."""
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    tried = {}
    for flag, takes in re.findall(r"^[│ ]*(--[a-z-]+) (\S.*?)\s*│?$", capfd.readouterr().out, re.M):
        named = any(kind in takes for kind in ("INT", "FLOAT"))
        words_or_paths = PATHS if "PATH" in takes else WORDS if "STR" in takes else ("x", "")
        tried[flag] = NUMBERS if named else words_or_paths
    return tried


def without(words: tuple[str, ...], flag: str) -> list[str]:
    """The words but for a flag and its value."""
    if flag not in words:
        return list(words)
    at = words.index(flag)
    return [*words[:at], *words[at + 2 :]]


@pytest.mark.parametrize("name", [name for name in BASES if name != "list"])
def test_no_value_of_an_option_ends_in_a_traceback(attempt, capfd, name):
    options = options_of(BASES[name], capfd)
    assert options or name == "predict"
    if name == "train-optimizer":  # shares options with a learner's training
        shared = options_of(BASES["train"], capfd)
        options = {flag: values for flag, values in options.items() if flag not in shared}
    faults = {}
    for flag, values in options.items():
        for value in values:
            words = [*without(BASES[name], flag), f"{flag}={value}"]
            if fault := attempt(words):
                faults[" ".join(words)] = fault
    assert not faults


@pytest.mark.parametrize(
    "words",
    [
        *(("evaluate",), ("report",), ("optimize",), ("search",), ("compare", "run"), ("predict",)),
        *(
            ("predict", "adapted.qs"),
            ("data",),
            ("serve",),
            ("reproduce",),
            ("study",),
            ("train",),
            ("list",),
        ),
        *(("train", "maml", "--run", "new", "--tasks"), ("compare",), ()),
    ],
    ids=" ".join,
)
def test_no_word_in_a_place_ends_in_a_traceback(attempt, words):
    everything = (*PATHS, "run", "optimizer", "adapted.qs", "x.npz", "run/learner.qs", "x.py")
    kinds = [f"{kind}:{path}" for kind in ("npz", "folder", "table", "packed") for path in PATHS]
    tried = [[*words, word] for word in (*everything, *kinds)]
    assert not {" ".join(said): fault for said in tried if (fault := attempt(said))}


WHOLE, REAL = (-1, 0, 2**31 - 1, 10**11), (-1.0, 0.0, 1e30, float("nan"), float("inf"))


def any_sizes(settings: type):
    """Options that are all at their defaults but one, and that one's name and value."""
    for name, kind in get_type_hints(settings).items():
        if get_origin(kind) is not ClassVar and name != "network":
            several = get_origin(kind) is tuple
            kinds = {*get_args(kind), kind}
            for value in WHOLE if int in kinds else REAL if float in kinds else ():
                yield {name: (value,) if several else value}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_of_any_sizes_is_built_or_refused(name):
    kind, pictures = Categorical(3), (16, 16, 1)
    problems = [
        TaskSpec((3,), kind, 8, (4,)),
        TaskSpec(pictures, kind, 8, (4,)),
        TaskSpec((1,), Gaussian(1), None),
    ]
    faults = []
    for options in any_sizes(LEARNERS[name]):
        for problem in problems:
            try:
                settings = LEARNERS[name](**options)
                require_numbers(settings)
                eqx.filter_eval_shape(lambda s=settings, p=problem: planning.build(s, p, 0))
            except UserError:
                continue
            except Exception as error:
                faults.append((options, problem.shape, repr(error)[:100]))
    assert not faults


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_of_any_sizes_is_built_or_refused(name):
    faults = []
    for options in any_sizes(OPTIMIZERS[name]):
        try:
            settings = OPTIMIZERS[name](**options)
            require_numbers(settings)
            eqx.filter_eval_shape(lambda s=settings: optimizing.build(s, 0))
        except UserError:
            continue
        except Exception as error:
            faults.append((options, repr(error)[:100]))
    assert not faults
