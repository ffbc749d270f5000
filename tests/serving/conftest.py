"""Small runs, trained for a few steps, and labelled examples for them on disk."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from quickstudy.learners.baseline.nearest_mean import NearestMean
from quickstudy.runs.train import train
from quickstudy.serving import adapting
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import MAMLSettings, PixelsSettings, ProtoNetSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

SMALL = NetworkSettings("mlp-norm", hidden=(16, 16))


def trained(folder: Path, learner: LearnerSettings, tasks: TaskSettings, steps: int) -> Path:
    """A run in a new folder."""
    training = TrainingSettings(steps=steps, meta_batch=2, validation_episodes=2)
    train(RunSettings(learner, tasks, training), folder, show_progress=False)
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs on a folder of doodles, 3-way, by the learner's name; and one on sinusoids."""
    root = tmp_path_factory.mktemp("runs")
    doodles = f"folder:{doodle_folder(root / 'doodles')}"
    tasks = TaskSettings(
        doodles, way=3, query=2, train_way=3, train_query=2, image_size=16, distort=False
    )
    return {
        "pixels": trained(root / "pixels", PixelsSettings(), tasks, 0),
        "protonet": trained(root / "protonet", ProtoNetSettings(SMALL), tasks, 200),
        "maml": trained(root / "maml", MAMLSettings(SMALL), tasks, 2),
        "sinusoid": trained(root / "sinusoid", MAMLSettings(), TaskSettings("sinusoid", shot=5), 1),
    }


def doodle_folder(folder: Path) -> Path:
    """Twenty classes of five images: a bent line, a little different each time."""
    rng = np.random.default_rng(0)
    for k in range(20):
        turns = rng.uniform(4, 36, (4, 2))
        (folder / f"doodle{k}").mkdir(parents=True)
        for i in range(5):
            image = Image.new("L", (40, 40), 255)
            path = [tuple(turn) for turn in turns + rng.normal(0, 1.5, turns.shape)]
            ImageDraw.Draw(image).line(path, fill=0, width=3)
            image.save(folder / f"doodle{k}" / f"{i}.png")
    return folder


def drawing(kind: int, rng: np.random.Generator) -> Image.Image:
    """Black strokes on white, 40 × 40: kind 0 is a line across, 1 a line down, 2 a circle."""
    image = Image.new("L", (40, 40), 255)
    pen = ImageDraw.Draw(image)
    x, y = rng.integers(19, 22, 2)
    if kind == 0:
        pen.line([4, y, 36, y], fill=0, width=3)
    elif kind == 1:
        pen.line([x, 4, x, 36], fill=0, width=3)
    else:
        pen.ellipse([x - 12, y - 12, x + 12, y + 12], outline=0, width=3)
    return image


@pytest.fixture
def few_opponents(monkeypatch: pytest.MonkeyPatch) -> None:
    """One free opponent: each is a program to compile for each shape of a support set."""
    monkeypatch.setattr(adapting, "free_opponents", lambda _: {"nearest mean": NearestMean()})


@pytest.fixture(scope="session")
def adapted_file(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prototypical network, adapted to three classes of three drawings."""
    folder = tmp_path_factory.mktemp("adapted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapting, "free_opponents", lambda _: {"nearest mean": NearestMean()})
        adapting.adapt(
            runs["protonet"], symbols(folder / "support", [3, 3, 3]), folder / "symbols.qs"
        )
    return folder / "symbols.qs"


NAMES = ["across", "down", "round", "another", "fifth", "sixth", "seventh"]


def symbols(folder: Path, counts: list[int]) -> Path:
    """A sub-folder for each class, with so many drawings."""
    rng = np.random.default_rng(0)
    for kind, count in enumerate(counts):
        (folder / NAMES[kind]).mkdir(parents=True)
        for i in range(count):
            drawing(kind, rng).save(folder / NAMES[kind] / f"{i}.png")
    return folder


@pytest.fixture
def support(tmp_path: Path) -> Path:
    """Three classes with two, one and three drawings."""
    return symbols(tmp_path / "support", [2, 1, 3])


@pytest.fixture
def queries(tmp_path: Path) -> list[Path]:
    """Four drawings of each of three classes, class after class."""
    rng = np.random.default_rng(1)
    paths = [tmp_path / f"query-{kind}-{i}.png" for kind in range(3) for i in range(4)]
    for path in paths:
        drawing(int(path.name[6]), rng).save(path)
    return paths
