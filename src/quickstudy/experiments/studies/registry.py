"""The studies by name; a study's module is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from quickstudy.errors import UserError, nearest

if TYPE_CHECKING:
    from quickstudy.experiments.studies.study import Study

STUDIES = {
    "feature-reuse": "Rapid learning or feature reuse? What MAML's inner loop changes",
    "lstm-quadratics": "An LSTM optimiser on random quadratics, beside tuned opponents",
    "lstm-mnist": "An LSTM optimiser that trains networks, some unlike those it knows",
    "versatile": "A hierarchical optimiser on kinds of problems that it was not trained on",
    "unrolls": "Truncated or persistent? Variance and bias against the unroll's length",
    "memory": "What a memory-augmented network writes where, and reads when",
    "attention": "Where SNAIL looks: what a query reads of each support example",
    "lifelong": "Rare classes in a long stream: a memory of fixed size that is never cleared",
    "tables": "A transformer that learns in context beside other methods, on small real tables",
    "gates": "What the gates of the meta-learner LSTM do, step by step",
    "gaussian-processes": "How near neural processes come to the exact posterior, and to pictures",
    "statistician": "What a generative model of sets draws after a few examples of a class",
    "robustness": "More steps than in training, tasks out of distribution, deeper networks",
}


def study(name: str) -> Study:
    """A study by its name. Raises `UserError` for an unknown one, with the nearest names."""
    if name not in STUDIES:
        raise UserError(f"there is no study {name!r}: {nearest(name, sorted(STUDIES))}")
    return importlib.import_module(f"quickstudy.experiments.studies.{name.replace('-', '_')}").STUDY
