"""Free opponents: what needs no training, beside every run on data of the user's own."""

from __future__ import annotations

from quickstudy.learner import Learner
from quickstudy.learners.baseline import logistic
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.learners.baseline.nearest_mean import NearestMean
from quickstudy.learners.baseline.ridge import Ridge
from quickstudy.likelihood import Categorical
from quickstudy.settings.task_spec import TaskSpec


def free_opponents(spec: TaskSpec) -> dict[str, Learner]:
    """Learners without training for such tasks, by name: all see the inputs that the run's learner
    sees. Logistic regression is among them where scikit-learn is installed.

    >>> list(free_opponents(TaskSpec((64,), Categorical(5), None)))[:3]
    ['nearest neighbour', 'nearest mean', 'ridge']
    """
    if not isinstance(spec.likelihood, Categorical) or spec.description is not None:
        return {}
    found: dict[str, Learner] = {
        "nearest neighbour": NearestNeighbour(),
        "nearest mean": NearestMean(),
        "ridge": Ridge(),
    }
    if logistic.is_there():
        found["logistic regression"] = logistic.LogisticRegression()
    return found
