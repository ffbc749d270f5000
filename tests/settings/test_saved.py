"""Settings in `config.json`: what is written stays as it is, and damage is one line."""

import json
from pathlib import Path

import pytest

from quickstudy.errors import UserError
from quickstudy.runs.evidence import run_folder
from quickstudy.settings.learners import MAMLSettings, PixelsSettings, SNAILSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.optimizers import MLPOptimizerSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

TASKS = (
    '"tasks": {"any_shot": false, "anywhere": false, "color": false, "distort": false, '
    '"distractors": 0, "features": 12, "fixed_labels": false, "image_size": 28, '
    '"label_column": "label", "labelled": 1.0, "letters": false, "query": 15, "rotations": null, '
    '"sequence": 0, "shot": 1, "split": null, "split_seed": 0, "tasks": "glyphs", '
    '"train_classes": null, "train_query": %s, "train_shot": 1, "train_way": 5, "verify": false, '
    '"way": 5, "within": false, "zero_shot": false}'
)
TRAINING = (
    '"training": {"clip": null, "decay": "%s", "halve_every": 2000, "learning_rate": 0.001, '
    '"meta_batch": %s, "meta_optimizer": "adam", "seed": 0, "steps": %s, "tasks_at_once": null, '
    '"validate_every": %s, "validation_episodes": 200}'
)
NETWORK = '{"filters": 64, "hidden": [40, 40], "network": "auto", "precision": "float32"}'
MAML = (
    '{"learner": {"first_order": false, "inner_optimizer": "sgd", "inner_rate": null, '
    f'"inner_steps": 1, "name": "maml", "network": {NETWORK}, "normalisation": "batch", '
    '"rematerialise": false, "test_steps": null, "truncate": null}, "source": null, '
    f"{TASKS % 5}, {TRAINING % ('none', 32, 5000, 250)}}}"
)
SNAIL = (
    f'{{"learner": {{"embedding": 64, "length": 26, "name": "snail", "network": {NETWORK}, '
    '"normalisation": "running", "temporal_filters": 128}, "source": null, '
    f"{TASKS % 3}, {TRAINING % ('halve', 4, 20000, 1000)}}}"
)
MLP_OPTIMIZER = (
    '{"optimizer": {"name": "mlp-optimizer", "scale": 0.01, "units": [32, 32]}, "problems": '
    '{"activation": ["sigmoid"], "batch": 128, "dimensions": 10, "hidden": [20], "image_size": '
    f'null, "kernels": [], "tasks": "quadratics"}}, "start": %s, '
    f"{TRAINING % ('none', 16, 5000, 250)}, "
    '"unrolling": {"deviation": 0.01, "estimator": "backpropagation", "horizon": 100, "pairs": 8, '
    '"second_order": false, "shortest": null, "unroll": 20, "weights": "uniform"}}'
)
FIRST = OptimizerRunSettings(MLPOptimizerSettings())
SECOND = OptimizerRunSettings(MLPOptimizerSettings(), start=FIRST)


@pytest.mark.parametrize(
    ("settings", "written", "folder"),
    [
        (RunSettings(MAMLSettings()), MAML, "maml-decd804bc8"),
        (RunSettings(SNAILSettings()), SNAIL, "snail-5cc13e74ab"),
        (SECOND, MLP_OPTIMIZER % (MLP_OPTIMIZER % "null"), "mlp-optimizer-8c50b840da"),
    ],
    ids=["maml", "snail", "mlp-optimizer"],
)
def test_runs_are_written_and_named_as_they_were(settings, written, folder):
    """Literally, as an earlier commit (4a44433) did: trainings are kept under these names."""
    settings = settings.resolved()
    assert json.dumps(settings.to_json(), sort_keys=True) == written
    assert run_folder(Path("runs"), settings) == Path("runs", folder)
    assert type(settings).from_json(json.loads(written)) == settings


LEARNER_RUN = RunSettings(
    MAMLSettings(NetworkSettings("mlp", hidden=(3, 4))),
    TaskSettings("sinusoid", shot=3),
    TrainingSettings(steps=5, learning_rate=1e-2),
)


@pytest.mark.parametrize("settings", [LEARNER_RUN, SECOND], ids=["learner", "optimiser"])
def test_settings_come_back_from_json_with_tuples_and_runs_inside(settings):
    assert type(settings).from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_a_field_that_is_missing_has_its_default():
    found = RunSettings(PixelsSettings()).to_json()
    del found["learner"]["invert"]
    settings = RunSettings.from_json(found)
    assert settings == RunSettings(PixelsSettings())
    assert vars(settings.learner) == vars(PixelsSettings())


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("training", "steps"), "many", r"training\.steps: Expected `int \| null`, got `str`"),
        (("training", "steps"), 1.5, r"training\.steps: Expected `int \| null`, got `float`"),
        (("training", "seed"), True, r"training\.seed: Expected `int`, got `bool`"),
        (("training", "decay"), "up", r"training\.decay: Invalid enum value 'up'"),
        (("training", "steps"), -1, "--steps -1: it must be at least 0"),
        (("training", "spets"), 1, r"training\.spets: there is no such option"),
        (("tasks", "tasks"), "glyfs", "there are no tasks 'glyfs': did you mean glyphs"),
        (("learner", "network"), 3, r"learner\.network: Expected `object`, got `int`"),
        (("learner", "network", "hidden"), [1, "2"], r"learner\.network\.hidden\[1\]: Expected"),
        (("learner", "network", "depth"), 2, r"learner\.network\.depth: there is no such option"),
        (("learner", "name"), "mamel", "there is no learner 'mamel': did you mean maml"),
        (("learner", "name"), 3, "name: Expected `str`, got `int`"),
        (("learner",), None, r"learner: Expected `object`, got `null`"),
        (("source",), 3, "source: Expected `object`, got `int`"),
        (("source",), {"file": "a.py"}, "source: Object missing required field `sha256`"),
    ],
)
def test_damage_is_one_line_that_names_the_field(path, value, said):
    found = LEARNER_RUN.to_json()
    inner = found
    for word in path[:-1]:
        inner = inner[word]
    inner[path[-1]] = value
    with pytest.raises(UserError, match=said) as raised:
        RunSettings.from_json(found)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("found", [{}, [], None, {"training": {}}, "text"])
def test_what_is_no_configuration_is_refused(found):
    with pytest.raises(UserError, match=r"config\.json is not one of ours"):
        RunSettings.from_json(found)
    with pytest.raises(UserError, match="this is no optimiser's configuration"):
        OptimizerRunSettings.from_json(found)


def test_damage_of_an_optimisers_run_is_named_too():
    found = SECOND.to_json()
    found["start"]["problems"]["hidden"] = [0]
    with pytest.raises(UserError, match="--hidden 0: it must be at least 1"):
        OptimizerRunSettings.from_json(found)
    found = SECOND.to_json() | {"start": 3}
    with pytest.raises(UserError, match=r"start: Expected `str \| null`, got `int`"):
        OptimizerRunSettings.from_json(found)
