"""What is said of a folder of another configuration, and figures that are no numbers."""

import json

import numpy as np
import pytest

from quickstudy.record import Record, differences, read_metrics
from quickstudy.settings.learners import MAMLSettings, ProtoNetSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings


def between(a: RunSettings, b: RunSettings) -> list[str]:
    there, now = (json.loads(json.dumps(settings.to_json())) for settings in (a, b))
    return differences(there, now)


def test_the_differing_options_are_named_and_no_other():
    a = RunSettings(ProtoNetSettings(), TaskSettings(way=5))
    b = RunSettings(
        ProtoNetSettings(NetworkSettings(hidden=(8, 9))),
        TaskSettings(way=20, within=True, split="lake"),
        TrainingSettings(clip=0.5),
    )
    assert between(a, b) == [
        "--hidden 40 40 there, --hidden 8 9 now",
        "no --split there, --split lake now",
        "--way 5 there, --way 20 now",
        "no --within there, --within now",
        "no --clip there, --clip 0.5 now",
    ]
    assert between(b, a)[2] == "--way 20 there, --way 5 now"
    assert between(a, a) == []


def test_of_another_learner_the_name_is_enough():
    assert between(RunSettings(ProtoNetSettings()), RunSettings(MAMLSettings())) == [
        "protonet there, maml now"
    ]


def test_configurations_of_other_programs_are_compared_too():
    assert differences({"depth": 3}, {"width": [1, 2]}) == [
        "depth 3 there, no depth now",
        "no width there, width 1 2 now",
    ]


def test_figures_that_are_no_numbers_are_null_in_json_and_no_damage(tmp_path, capsys):
    record = Record(tmp_path / "run", {})
    figures = {"loss": np.ones(2), "accuracy@9": np.asarray([0.5, np.nan])}
    record.log(0, figures, 1, 1.0)
    record.log_validation(2, "mse", np.inf)
    lines = record.metrics.read_text().splitlines()
    found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [row.get("accuracy@9", "none") for row in found] == [0.5, None, "none"]
    first, second, last = read_metrics(record.metrics)
    assert first["accuracy@9"] == 0.5
    assert np.isnan(second["accuracy@9"])
    assert np.isnan(last["validation mse"])
    assert capsys.readouterr().err == ""
