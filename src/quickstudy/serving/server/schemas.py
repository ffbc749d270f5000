"""What requests and answers hold: docs/serving.md has it in words, /openapi.json is made of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Input = Annotated[
    Any,
    Meta(
        description="A picture as base64 of an image file, or {strokes: [[[x, y], …], …]}; a list "
        "of numbers, or an object with a cell for each column; or a text: as the model takes it.",
        extra_json_schema={
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {}},
                {"$ref": "#/components/schemas/Strokes"},
                {"type": "object", "additionalProperties": {"type": ["number", "string", "null"]}},
            ]
        },
    ),
]
ClassName = Annotated[str, Meta(min_length=1, max_length=200)]
Rate = Annotated[float, Meta(gt=0, lt=1)]


class Strokes(Struct, forbid_unknown_fields=True):
    """A drawing: the path of the pen for each stroke, y downwards, in any unit."""

    strokes: list[list[tuple[float, float]]]


class Predict(Struct, forbid_unknown_fields=True):
    """Inputs to answer about."""

    inputs: list[Input]


class Adapt(Struct, forbid_unknown_fields=True):
    """Examples of each class, by its name, and the learner that is adapted to them."""

    classes: dict[ClassName, list[Input]]
    learner: str | None = None
    """None: the learner that the model has, or the first one."""
    false_alarms: Rate | None = None
    """The share of inputs of the classes that may be called unknown: 0.05 unless it is given."""


class Add(Struct, forbid_unknown_fields=True):
    """Further examples of each class, by its name; classes that are not there are added."""

    classes: dict[ClassName, list[Input]]


class Example(Struct, forbid_unknown_fields=True):
    """A labelled input."""

    name: ClassName = field(name="class")
    input: Input


class Learn(Struct, forbid_unknown_fields=True):
    """Examples to learn from, and queries to answer about."""

    examples: list[Example]
    queries: list[Input] = []
    learners: list[str] | None = None
    """None: all that take pictures."""
    measure: bool = False
    """Leave examples out, and take the temperature that fits them."""
    show: bool = False
    """Give the pictures as the learners see them."""


class Near(Struct):
    """A support example that is near."""

    example: str
    name: str = field(name="class")


class Prediction(Struct):
    """What a model says of one input."""

    input: str
    """The name of its file, or its number in the request, from 1."""
    name: str
    probability: float
    probabilities: dict[str, float]
    unknown: bool
    score: float | None
    nearest: list[Near]


class Predictions(Struct):
    """What a model says of the inputs of a request, in their order."""

    model: str
    threshold: float | None
    predictions: list[Prediction]
    warnings: list[str]
    """What may be wrong with the inputs, though they can be read."""


class Takes(Struct):
    """What inputs a model or learner takes."""

    kind: Literal["pictures", "numbers", "texts"]
    words: str
    shape: list[int]
    strokes: bool
    columns: list[str] | None


class ClassCount(Struct):
    """A class, and how many examples it has."""

    name: str
    examples: int


class LeftOutRow(Struct):
    """What a method said of left-out examples."""

    method: str
    right: int
    of: int
    nll: float
    temperature: float


class Trained(Struct):
    """The run of a learner."""

    tasks: str
    way: int | None
    shot: int | None
    steps: int | None
    provenance: dict[str, Any] | None


class Card(Struct):
    """What there is to know of a model."""

    name: str
    file: str | None
    learner: str | None
    """The learner that adapts it again; None where there is none."""
    method: str
    classes: list[ClassCount]
    takes: Takes
    threshold: float | None
    known: str | None
    temperature: float
    right: int
    """Of its own examples, how many it gives their class."""
    left_out: list[LeftOutRow]
    changes: bool
    cannot: list[str]
    trained: Trained
    warnings: list[str] = []
    """What to know of a model that was just made."""


class Cards(Struct):
    """All models."""

    models: list[Card]


class LearnerCard(Struct):
    """What there is to know of a learner."""

    name: str
    method: str
    takes: Takes
    most_classes: int
    most_examples: int
    shows: list[Literal["steps", "attention"]]
    cannot: list[str]
    trained: Trained | None


class LearnerCards(Struct):
    """All learners."""

    learners: list[LearnerCard]


class NearPlace(Struct):
    """An example of the request that is near."""

    example: int
    name: str = field(name="class")
    distance: float


class Said(Struct):
    """What a learner says of one query; probabilities are in the order of the classes."""

    name: str
    probability: float
    probabilities: list[float]
    unknown: bool
    score: float | None
    nearest: list[NearPlace]
    attention: list[float] | None
    steps: list[list[float]] | None


class Answer(Struct):
    """What one learner says."""

    learner: str
    method: str
    refused: str | None
    threshold: float | None
    queries: list[Said]
    left_out: LeftOutRow | None
    milliseconds: float


class Pictures(Struct):
    """Pictures as the learners see them: PNG in base64."""

    examples: list[str]
    queries: list[str]


class Learnt(Struct):
    """What all learners say, in the order in which they were asked for."""

    classes: list[str]
    answers: list[Answer]
    seen: Pictures | None


class Character(Struct):
    """A character that no learner of the package was trained on: PNG in base64."""

    name: str
    pictures: list[str]


class Characters(Struct):
    """Characters to try."""

    source: Literal["omniglot", "glyphs"]
    words: str
    characters: list[Character]


class Health(Struct):
    """Whether the server is ready."""

    status: Literal["ok"]
    version: str
    models: list[str]
    learners: list[str]
    waiting: int
    compiled: int
    """Programs that were compiled since it was ready: 0 is as it should be."""


class Refusal(Struct, omit_defaults=True):
    """Why a request was not answered."""

    error: str
    input: str | None = None
    """Which of the inputs is at fault."""
