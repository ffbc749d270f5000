"""quickstudy: meta-learning, models that learn a new thing from a few examples.

A learner is a function from a small data set to a predictor:

    predictor = learner.adapt(support, likelihood, key=key)
    predictor(x)

The words below are the library's vocabulary; learners are in `quickstudy.learners`, tasks in
`quickstudy.tasks`, networks in `quickstudy.networks`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickstudy.errors import UserError as UserError
    from quickstudy.evaluation import Comparison as Comparison
    from quickstudy.evaluation import Result as Result
    from quickstudy.evaluation import compare as compare
    from quickstudy.evaluation import evaluate as evaluate
    from quickstudy.learner import Learner as Learner
    from quickstudy.learner import Predictor as Predictor
    from quickstudy.likelihood import Categorical as Categorical
    from quickstudy.likelihood import Gaussian as Gaussian
    from quickstudy.likelihood import Likelihood as Likelihood
    from quickstudy.runs.saved import load_optimizer as load_optimizer
    from quickstudy.serving.loading import load as load
    from quickstudy.serving.table_classifier import TableClassifier as TableClassifier
    from quickstudy.task import Episode as Episode
    from quickstudy.task import Examples as Examples
    from quickstudy.task import Optimizee as Optimizee
    from quickstudy.task import TaskDistribution as TaskDistribution
    from quickstudy.training import Validation as Validation
    from quickstudy.training import meta_train as meta_train

_HOME = {
    "UserError": "errors",
    "Comparison": "evaluation",
    "Result": "evaluation",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "Learner": "learner",
    "Predictor": "learner",
    "Categorical": "likelihood",
    "Gaussian": "likelihood",
    "Likelihood": "likelihood",
    "Episode": "task",
    "Examples": "task",
    "Optimizee": "task",
    "TaskDistribution": "task",
    "TableClassifier": "serving.table_classifier",
    "load": "serving.loading",
    "load_optimizer": "runs.saved",
    "Validation": "training",
    "meta_train": "training",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a word when it is first used: the command line's help needs none of them, nor JAX."""
    if name in _HOME:
        return getattr(import_module(f"quickstudy.{_HOME[name]}"), name)
    raise AttributeError(f"module 'quickstudy' has no attribute {name!r}")
