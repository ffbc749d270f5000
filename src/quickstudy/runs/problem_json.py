"""Problems to and from JSON: the header of a saved learner says what it was built for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from quickstudy.data.inputs import TokenShape
from quickstudy.errors import UserError
from quickstudy.likelihood import Likelihood
from quickstudy.settings.task_spec import TaskSpec


def problem_to_json(problem: TaskSpec) -> dict[str, Any]:
    """Describe a problem in plain JSON values, from which `problem_from_json` makes it again.

    Raises `UserError` where its likelihood cannot be made again.
    """
    return {
        "shape": list(problem.shape),
        "vocabulary": getattr(problem.shape, "vocabulary", None),
        "idf": getattr(problem.shape, "idf", None),
        **likelihood_to_json(problem.likelihood),
        "training_classes": problem.training_classes,
        "description": problem.description and list(problem.description),
    }


def problem_from_json(found: dict[str, Any]) -> TaskSpec:
    """Make the problem that `problem_to_json` has described. Raises `UserError` where its
    likelihood is not defined in this process."""
    shape = tuple(found["shape"])
    idf = found.get("idf")  # older runs say nothing of it
    if (tokens := found.get("vocabulary")) is not None:
        shape = TokenShape(shape, tokens, idf and tuple(idf))
    description = found.get("description")  # older runs say nothing of it
    return TaskSpec(
        shape,
        likelihood_from_json(found),
        found["training_classes"],
        description and tuple(description),
    )


def likelihood_to_json(likelihood: Likelihood) -> dict[str, Any]:
    """Describe a likelihood by its class and all its fields.

    Raises `UserError` where these are not enough to make it again, as for fields that are arrays:
    a learner of such tasks could be saved but not loaded.

    >>> likelihood_to_json(Gaussian(1, scale=0.1))
    {'likelihood': 'Gaussian', 'size': 1, 'fields': {'size': 1, 'scale': 0.1}}
    """
    cls = type(likelihood)
    fields = {f.name: getattr(likelihood, f.name) for f in dataclasses.fields(likelihood)}
    found = {"likelihood": full_name(cls), "size": likelihood.size, "fields": fields}
    try:
        same = likelihood_from_json(json.loads(json.dumps(found))) == likelihood
    except (TypeError, ValueError):
        same = False
    if not same:
        raise UserError(
            f"{cls.__name__} cannot be saved with a run: a likelihood is made again from its "
            "fields, which must be numbers, words or tuples of them, and arguments of its class"
        )
    return found


def likelihood_from_json(found: dict[str, Any]) -> Likelihood:
    """Make the likelihood that `likelihood_to_json` has described. Nothing is imported: its class
    is one of the project's, or of the program that loads it. Raises `UserError` where it is
    neither.
    """
    known = {full_name(kind): kind for kind in kinds_of(Likelihood)}
    name = found["likelihood"]
    if name not in known:
        raise UserError(
            f"a run with the likelihood {name} can be loaded only where that class is defined: "
            "import its module first"
        )
    fields = found.get("fields", {"size": found["size"]})  # older runs keep no other field
    make: Any = known[name]
    return make(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def kinds_of(kind: type) -> Iterator[type]:
    """All classes below this one that are defined in this process."""
    for below in kind.__subclasses__():
        yield below
        yield from kinds_of(below)


def full_name(kind: type[Likelihood]) -> str:
    """The name of a class, with its module where that is not the project's."""
    own = kind.__module__.startswith("quickstudy.likelihood.")
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"
