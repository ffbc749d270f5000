"""A small folder of the archive's form."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.datasets import cub
from quickstudy.errors import UserError
from quickstudy.runs.measure import measure
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.tasks import episode_tasks
from quickstudy.runs.train import train
from quickstudy.settings.learners import ZeroShotSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.tasks.zero_shot import ZeroShot

CLASSES, EACH, FEATURES, TOLD = 10, 3, 4, 6
NAMES = [f"{number:03}.Bird_{number}" for number in range(1, CLASSES + 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten classes of three images, in an order that mixes classes. Features say which image it
    is, attributes which class."""
    path = tmp_path / "CUB"
    (path / "attributes").mkdir(parents=True)
    labels = np.tile(np.arange(1, CLASSES + 1), EACH)
    write(path / "classes.txt", NAMES)
    write(path / "images.txt", [f"{NAMES[y - 1]}/{i}.jpg" for i, y in enumerate(labels)])
    write(path / "image_class_labels.txt", labels)
    np.save(path / "features.npy", np.arange(len(labels))[:, None] + np.zeros(FEATURES))
    told = np.arange(CLASSES)[:, None] * 10 + np.zeros(TOLD)
    np.savetxt(path / cub.ATTRIBUTES, told, fmt="%g")
    return path


def write(path: Path, words) -> None:
    path.write_text("".join(f"{i} {word}\n" for i, word in enumerate(words, 1)))


def test_images_go_to_their_classes_and_attributes_with_them(folder: Path):
    examples, told = cub.load(folder), cub.attributes(folder)
    assert list(examples.names) == list(told.names) == NAMES
    for c in range(CLASSES):
        rows = examples.x[examples.first[c] : examples.first[c] + examples.count[c], 0]
        assert rows.tolist() == [c, c + CLASSES, c + 2 * CLASSES]
        assert told.x[told.first[c], 0] == 10 * c


def test_names_in_any_order_keep_their_attributes(folder: Path):
    """Row i of the attributes is of the class in line i, whatever the names are sorted by."""
    names = NAMES[::-1]
    write(folder / "classes.txt", names)
    examples, told = cub.load(folder), cub.attributes(folder)
    assert list(examples.names) == list(told.names)
    for c, name in enumerate(told.names):
        number = names.index(name)
        assert told.x[told.first[c], 0] == 10 * number
        assert examples.x[examples.first[c], 0] % CLASSES == number


def test_features_may_be_in_an_npz(folder: Path):
    before = cub.load(folder).x
    np.savez(folder / "features.npz", x=np.load(folder / "features.npy"))
    (folder / "features.npy").unlink()
    np.testing.assert_array_equal(cub.load(folder).x, before)


def test_zero_shot_episodes_pair_each_class_with_its_own_description(folder: Path):
    """The number of a class follows from its attributes, and from its images' features."""
    tasks = TaskSettings(f"cub:{folder}", way=2, query=3, zero_shot=True)
    for part, classes in (("train", 6), ("test", 2)):
        made = episode_tasks(tasks, part, 2, 1, 3)
        assert isinstance(made, ZeroShot)
        assert made.source.classes == classes
        labels = jnp.arange(classes)
        source = made.source
        told = np.asarray([source.describe(c)[0] for c in labels])
        seen = np.asarray([source.draw(jax.random.key(0), c, 3) for c in labels])
        number = np.mean(seen, (1, 2))
        np.testing.assert_array_equal(np.argsort(told), np.argsort(number))
        assert len(set(told)) == len(set(number)) == classes


def test_a_zero_shot_run_is_trained_loaded_and_measured(folder: Path, tmp_path: Path):
    """With the linear maps of the paper."""
    tasks = TaskSettings(
        f"cub:{folder}", way=2, query=2, train_way=4, train_query=2, zero_shot=True
    )
    learner = ZeroShotSettings(NetworkSettings("mlp", hidden=()), 8, description_layers=0)
    training = TrainingSettings(steps=2, validation_episodes=2)
    train(RunSettings(learner, tasks, training), tmp_path / "run", show_progress=False)
    saved = SavedRun.open(tmp_path / "run")
    settings, problem, loaded = saved.settings, saved.problem, saved.learner()
    assert (problem.shape, problem.description) == ((FEATURES,), (TOLD,))
    result = measure(settings, loaded, episodes=3, show_progress=False)
    assert result.protocol["shot"] == 0
    assert result.protocol["support"] == "descriptions of classes"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("classes.txt", "1 a\n3 b\n", "line 2: '3 b' is not 2 and a word"),
        ("classes.txt", "1 a\n2 a\n", "names a class twice"),
        ("classes.txt", "", "is empty"),
        ("images.txt", "1 a.jpg\n", "30 lines and images.txt 1"),
        ("image_class_labels.txt", "\n".join(f"{i} 11" for i in range(1, 31)), "no class 11"),
        ("image_class_labels.txt", "\n".join(f"{i} 1" for i in range(1, 31)), "no image of class"),
        ("features.npy", "nothing", "damaged or not an .npy"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(folder: Path, file: str, content: str, message: str):
    (folder / file).write_text(content)
    with pytest.raises(UserError, match=message):
        cub.load(folder)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((29, 2)), r"holds \(29, 2\): it must be \(30, features\)"),
        (np.zeros((30, 2), "U1"), "real numbers"),
        (np.full((30, 2), np.nan), "row 1: a value is not a finite number"),
    ],
)
def test_features_that_do_not_fit_are_refused(folder: Path, x: np.ndarray, message: str):
    np.save(folder / "features.npy", x)
    with pytest.raises(UserError, match=message):
        cub.load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 2\n3 4\n", "2 rows of 2 numbers: it must have one for each of 10 classes"),
        ("1 2\n3\n", "2 rows of 1 or 2 numbers"),
        ("1 two\n", "numbers alone"),
        ("1 nan\n" * 10, "row 1: a value"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(folder: Path, content: str, message: str):
    (folder / cub.ATTRIBUTES).write_text(content)
    with pytest.raises(UserError, match=message):
        cub.attributes(folder)


@pytest.mark.parametrize("file", ["classes.txt", "images.txt", "features.npy", cub.ATTRIBUTES])
def test_a_missing_file_is_named(folder: Path, file):
    (folder / file).unlink()
    read = cub.attributes if file == cub.ATTRIBUTES else cub.load
    with pytest.raises(UserError, match=Path(file).name.replace(".", r"\.")):
        read(folder)
    with pytest.raises(UserError, match="no folder"):
        cub.load(folder / "elsewhere")
