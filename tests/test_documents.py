"""What the documents tell users to do works word for word."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from quickstudy.runs.problems import own_problems
from quickstudy.tasks.glyphs import glyph_splits

ROOT = Path(__file__).parent.parent
AS_USERS_HAVE_IT = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL)


def followed(page: Path, folder: Path, **environment: str) -> list[str]:
    """Do in a folder what a page tells, block after block; give what each command or program said.

    A block of Python is written to `FILE.py` where the text before it says: Write `FILE.py`; else
    it is a program. A block `console` holds commands, one in a line. A block `text` is what the
    last of them said: each of its lines was there, in this order, whatever the figures.
    """
    said, last = [], 0
    for text, language, block in re.findall(
        r"(.*?)^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
    ):
        if language == "python" and (file := re.search(r"Write `(\w+\.py)`", text)):
            (folder / file[1]).write_text(block)
        elif language == "python":
            said.append(said_by(block, folder))
        elif language == "console":
            last = len(said)
            for command in block.splitlines():
                done = of_user(command, folder, **environment)
                assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
                said.append(done.stderr + done.stdout)
        elif language == "text":
            there = iter(in_outline("".join(said[last:])))
            for line in in_outline(block):
                assert line in there, (line, said[last:])
    return said


def in_outline(said: str) -> list[str]:
    """The lines of what a command said, without figures, rules and white space."""
    lines = [" ".join(re.sub(r"-?\d[\d.,]*", "#", line).split()) for line in said.splitlines()]
    return [line for line in lines if line.strip("─ …")]


def test_a_learner_of_ones_own_as_contributing_tells_it(tmp_path):
    for name in ("tests", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    options = "-p no:cacheprovider -k diagonal"
    said = "".join(followed(ROOT / "CONTRIBUTING.md", tmp_path, PYTEST_ADDOPTS=options))
    assert "from the best" in said
    assert re.search(r"\d+ passed", said)


def test_own_data_and_tasks_as_their_page_tells(tmp_path):
    """All are trained on by their files, better than by chance, and are not run unnamed."""
    _, polygons, _, recordings, _, counts = followed(ROOT / "docs" / "own-parts.md", tmp_path)
    assert "to train on: 19 classes, 190 examples" in recordings
    assert "beside what needs no training" in recordings
    assert "evaluate runs/recordings --tasks recordings.py:levels.jsonl" in recordings
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


def test_from_a_clone_to_a_model_that_is_served_in_four_commands(tmp_path):
    """The commands of the README, but for the installation and for the server's port."""
    install, adapt, predict, serve = blocks(ROOT / "README.md", "console")[0].splitlines()
    load = next(block for block in blocks(ROOT / "README.md", "python") if ".load(" in block)
    assert install == "pip install '.[serve]'"
    for k in range(3):
        drawings = glyph_splits(60)["test"].draw(jax.random.key(k), jnp.asarray(k), 4)[..., 0]
        pages = [Image.fromarray(np.uint8(255 * (1 - x))) for x in np.asarray(drawings)]
        folder = tmp_path / "symbols" / f"sign{k}"
        folder.mkdir(parents=True)
        for i, page in enumerate(pages[:3]):
            page.save(folder / f"{i}.png")
        if k == 1:
            pages[3].save(tmp_path / "page.png")
    assert "left-out examples" in of_user(adapt, tmp_path).stdout
    assert "sign1" in of_user(predict, tmp_path).stdout
    assert "sign1" in said_by(load, tmp_path)
    served = subprocess.Popen(
        [*shlex.split(serve), "--port", "0"],
        executable=Path(sys.executable).parent / "quickstudy",
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert served.stdout is not None
        address = re.search(r"http://\S+", served.stdout.readline())
        assert address is not None
        file = {"file": (tmp_path / "page.png").read_bytes()}
        answer = httpx2.post(f"{address[0]}/v1/models/symbols/predict", files=file, timeout=60)
        assert answer.json()["predictions"][0]["name"] == "sign1"
    finally:
        served.terminate()
        served.wait(60)


@pytest.mark.parametrize("name", ["pictures", "tables", "series", "text", "own-learner"])
def test_a_tutorial_is_followed_word_for_word(name, tmp_path):
    """Its commands run, and print what it shows, from the table to who is ahead."""
    said = "".join(followed(ROOT / "docs" / "tutorials" / f"{name}.md", tmp_path))
    assert "is ahead of what needs no training" in said


def of_user(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a user gives it in a folder."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        shlex.split(command),
        cwd=folder,
        env={**AS_USERS_HAVE_IT, "PATH": path, **environment},
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
