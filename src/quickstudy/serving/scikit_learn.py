"""scikit-learn: small real tables, and the methods that a practitioner would take on them.

Nothing else in the project imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from quickstudy.errors import UserError

Fitted = Callable[[Any, Any, Any], np.ndarray]
"""(rows, their classes, other rows) -> the classes of these."""

KNN_CHOICES = (1, 3, 5)


def _require() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UserError("this needs scikit-learn: pip install 'quickstudy[tables]'") from None


def data_sets() -> dict[str, tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]]:
    """Iris, wine, breast cancer and digits, by name. Raises `UserError` without scikit-learn."""
    _require()
    from sklearn import datasets

    loaded = {
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
        "breast cancer": datasets.load_breast_cancer,
        "digits": datasets.load_digits,
    }
    return {name: load(return_X_y=True) for name, load in loaded.items()}


def opponents() -> dict[str, Fitted]:
    """Logistic regression and gradient boosting by their defaults, and k nearest neighbours with
    the k of `KNN_CHOICES` that is best when each labelled row is left out in turn; all on features
    standardised by the labelled rows. Raises `UserError` without scikit-learn."""
    _require()
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def nearest(x: Any, y: Any) -> Any:
        tried = [KNeighborsClassifier(k) for k in KNN_CHOICES if k < len(y)]
        right = [cross_val_score(k, x, y, cv=LeaveOneOut()).mean() for k in tried]
        return tried[int(np.argmax(right))]

    made: dict[str, Callable[[Any, Any], Any]] = {
        "logistic regression": lambda x, y: LogisticRegression(max_iter=2000),
        "k nearest neighbours": lambda x, y: nearest(StandardScaler().fit_transform(x), y),
        "gradient boosting": lambda x, y: GradientBoostingClassifier(random_state=0),
    }

    def fitted(make: Callable[[Any, Any], Any]) -> Fitted:
        def predict(x: Any, y: Any, others: Any) -> np.ndarray:
            return make_pipeline(StandardScaler(), make(x, y)).fit(x, y).predict(others)

        return predict

    return {name: fitted(make) for name, make in made.items()}


def not_fitted(said: str) -> UserError:
    """Make the error of an estimator that is used before `fit`: also scikit-learn's
    `NotFittedError`, where it is installed."""
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return UserError(said)
    return type("NotFitted", (UserError, NotFittedError), {})(said)


def classifier_tags() -> Any:
    """What scikit-learn wants to know of an estimator that classifies rows of numbers and words, of
    which some are missing."""
    from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

    return Tags(
        estimator_type="classifier",
        target_tags=TargetTags(required=True),
        classifier_tags=ClassifierTags(),
        input_tags=InputTags(allow_nan=True, string=True),
    )
