"""What is said of a folder that belongs to another configuration."""

import json

from quickstudy.recipes.learner_settings import NetworkSettings
from quickstudy.recipes.learners.gradient import MAML
from quickstudy.recipes.learners.metric import ProtoNet
from quickstudy.recipes.settings import RunSettings, TaskSettings, TrainingSettings
from quickstudy.record import differences


def between(a: RunSettings, b: RunSettings) -> list[str]:
    there, now = (json.loads(json.dumps(settings.to_json())) for settings in (a, b))
    return differences(there, now)


def test_the_differing_options_are_named_and_no_other():
    a = RunSettings(ProtoNet())
    b = RunSettings(
        ProtoNet(NetworkSettings(hidden=(8, 9))),
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
    assert between(RunSettings(ProtoNet()), RunSettings(MAML())) == ["protonet there, maml now"]


def test_configurations_of_other_programs_are_compared_too():
    assert differences({"depth": 3}, {"width": [1, 2]}) == [
        "depth 3 there, no depth now",
        "no width there, width 1 2 now",
    ]
