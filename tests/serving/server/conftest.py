"""A server with small learners, in this process."""

import base64
import io
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from quickstudy.serving import adapted_file
from quickstudy.serving.server import learners, making, running
from quickstudy.serving.server.addresses import Server
from quickstudy.serving.server.app import application
from quickstudy.serving.server.characters import HeldOut
from quickstudy.serving.server.guard import Guard
from quickstudy.serving.server.models import Models
from quickstudy.serving.support_set import SupportSet
from tests.serving.conftest import drawing

from . import tiny


def picture(kind: int, seed: int = 0) -> bytes:
    """A PNG of black strokes on white: 0 is a line across, 1 a line down, 2 a circle."""
    file = io.BytesIO()
    drawing(kind, np.random.default_rng(seed)).save(file, "PNG")
    return file.getvalue()


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def png(kind: int, seed: int = 0) -> str:
    return in_base64(picture(kind, seed))


def bytes_of(image: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def symbols(path: Path) -> Path:
    """A file that adapt could have written."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(5, *tiny.SHAPE)).astype(np.float32)
    support = SupportSet.of(x, ["a", "a", "b", "b", "c"], [f"{i}.png" for i in range(5)])
    learner = learners.warm(tiny.shipped()[0])
    made = making.made("symbols", learner, support, 0.05)
    adapted_file.save(path, making.cut(made.adapted))
    return path


@pytest.fixture(scope="session")
def symbols_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return symbols(tmp_path_factory.mktemp("models") / "symbols.qs")


@pytest.fixture(scope="session")
def server(symbols_file: Path) -> Server:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learners, "shipped", tiny.shipped)
        return running.prepared([symbols_file], tiny.LIMITS, None)


@pytest.fixture(scope="session")
def client(server: Server) -> TestClient:
    return TestClient(Guard(application(server)), base_url="http://localhost")


@pytest.fixture(scope="session")
def rows_client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A server for rows of two numbers: a learner, and a model in a file."""
    path, one = tmp_path_factory.mktemp("models") / "rows.qs", learners.warm(tiny.rows())
    x = np.array([[0, 0], [0, 1], [3, 3], [3, 4]], np.float32)
    support = SupportSet.of(x, ["a", "a", "b", "b"], ["1", "2", "3", "4"])
    adapted_file.save(path, making.cut(making.made("rows", one, support, 0.05).adapted))
    models = Models(tiny.LIMITS)
    models.read("rows", path)
    server = Server(models, {"rows": one}, {}, HeldOut(), tiny.LIMITS)
    return TestClient(Guard(application(server)), base_url="http://localhost")


@pytest.fixture(scope="session")
def compiled() -> list[str]:
    """A word for each program that was compiled since."""
    found: list[str] = []

    def listen(event: str, duration: float, **_: object) -> None:
        found.extend([event] * (event == running.COMPILED))

    jax.monitoring.register_event_duration_secs_listener(listen)
    return found
