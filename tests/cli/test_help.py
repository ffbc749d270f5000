"""The command line says what it can do, at once."""

import subprocess
import sys

import pytest

from quickstudy.cli import main
from quickstudy.cli.main import COMMANDS
from quickstudy.experiments.published import RECIPES
from quickstudy.settings.registry import LEARNERS, OPTIMIZERS


@pytest.mark.parametrize(
    "words",
    [["--help"], ["train", "--help"], ["list"], *([name, "--help"] for name in COMMANDS)],
    ids=" ".join,
)
def test_help_does_not_import_jax(words):
    if words[0] == "train":
        words = ["train", "maml", "--help"] if words == ["train", "--help"] else words
    program = (
        "import sys; from quickstudy.cli import main\n"
        f"try: status = main({words!r})\n"
        "except SystemExit as end: status = end.code or 0\n"
        "print('jax' in sys.modules, status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False 0", done.stderr


@pytest.mark.parametrize("name", [*LEARNERS, *OPTIMIZERS])
def test_every_learner_has_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", name, "--help"])
    assert not end.value.code
    assert "--learning-rate" in capsys.readouterr().out


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_list_names_learners_and_recipes(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in [*LEARNERS, *RECIPES])
