"""What the documents tell users to do works word for word."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from quickstudy.runs.problems import own_problems

ROOT = Path(__file__).parent.parent
AS_USERS_HAVE_IT = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL)


def test_a_learner_in_one_file_as_contributing_tells_it(tmp_path):
    contributing = ROOT / "CONTRIBUTING.md"
    source, _ = blocks(contributing, "python")
    (tmp_path / "diagonal_means.py").write_text(source)
    for name in ("tests", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {
        **AS_USERS_HAVE_IT,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:cacheprovider -k diagonal",
    }
    said = ""
    for commands in blocks(contributing, "console"):
        for command in commands.strip().splitlines():
            done = subprocess.run(
                shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
            said += done.stdout
    assert "from the best" in said
    assert re.search(r"\d+ passed", said)


def test_networks_of_ones_own_as_contributing_tells_it(tmp_path):
    _, use = blocks(ROOT / "CONTRIBUTING.md", "python")
    said = re.findall(r": (\d+\.\d+) before training, (\d+\.\d+) after", said_by(use, tmp_path))
    assert len(said) == 3
    for before, after in said:
        assert float(after) < 0.9 * float(before)


def test_own_data_and_tasks_as_their_page_tells(tmp_path):
    """Both are trained on by their files, better than by chance, and are not run unnamed."""
    page = ROOT / "docs" / "own-parts.md"
    for name, source in zip(("polygons.py", "counts.py"), blocks(page, "python"), strict=True):
        (tmp_path / name).write_text(source)
    said = []
    for commands in blocks(page, "console"):
        for command in commands.strip().splitlines():
            done = of_user(command, tmp_path)
            assert done.returncode == 0, (command, done.stderr[-2000:])
            said.append(done.stdout)
    _, polygons, _, counts = said
    accuracy = re.search(r"protonet +(\d+\.\d+)", polygons)
    assert accuracy is not None
    assert float(accuracy[1]) > 30  # by chance 20
    assert "data counts" in counts
    unnamed = of_user("quickstudy evaluate runs/polygons", tmp_path)
    assert unnamed.returncode == 2
    assert "if you name it: add --tasks FILE.py" in unnamed.stderr
    with (tmp_path / "polygons.py").open("a") as file:
        file.write("\n# another file\n")
    changed = of_user("quickstudy evaluate runs/polygons --tasks polygons.py", tmp_path)
    assert changed.returncode == 2
    assert "is not the file that was trained with" in changed.stderr


def of_user(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command as a user gives it in a folder."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        shlex.split(command),
        cwd=folder,
        env={**AS_USERS_HAVE_IT, "PATH": path},
        capture_output=True,
        text=True,
    )


def said_by(program: str, folder: Path) -> str:
    """What a program prints that ends well, run by a user in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=AS_USERS_HAVE_IT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_library_example_of_the_readme_runs(tmp_path):
    example = blocks(ROOT / "README.md", "python")[-1]
    assert "±" in said_by(example, tmp_path)


def test_a_table_is_classified_as_its_page_tells(tmp_path):
    (use,) = blocks(ROOT / "docs/methods/in-context.md", "python")
    assert float(said_by(use, tmp_path).split()[-1]) > 0.7


def test_a_trained_optimiser_is_used_as_its_page_tells(tmp_path):
    *uses, problem = blocks(ROOT / "docs/methods/learned-optimizers.md", "python")
    for use in uses:
        assert float(said_by(use, tmp_path)) < 0.5  # the targets' variance is about 1.4
    (tmp_path / "regression.py").write_text(problem)
    sampled = own_problems(str(tmp_path / "regression.py")).sample(jax.random.key(0))
    assert sampled.loss(sampled.init(jax.random.key(0)), jax.random.key(0)) > 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_exist(document):
    from quickstudy.cli.main import COMMANDS
    from quickstudy.experiments.published import RECIPES

    for command in re.findall(r"(?:`|^ *)quickstudy ([a-z]+)", document.read_text(), re.MULTILINE):
        assert command in COMMANDS
    for recipe in re.findall(r"quickstudy reproduce ([a-z-]+)", document.read_text()):
        assert recipe in RECIPES
