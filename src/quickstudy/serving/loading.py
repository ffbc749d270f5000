"""`quickstudy.load`: what `adapt` has written, in a Python program."""

from __future__ import annotations

from pathlib import Path

from quickstudy.serving import adapted_file, functions
from quickstudy.serving.adapted import Adapted
from quickstudy.serving.functions import AdaptedFunction


def load(path: str | Path) -> Adapted | AdaptedFunction:
    """Read a file of `quickstudy adapt`: of classes, an estimator with scikit-learn's `classes_`,
    `predict` and `predict_proba`; of a function, one with `predict(X, return_std=True)`.

    Raises `UserError` where there is no such file or it is of another kind, `DamagedFile` where it
    does not hold what was written. No code runs that the file names.

    >>> quickstudy.load("symbols.qs").predict("image.png")
    array(['beta'], dtype='<U5')
    """
    path = Path(path)
    return functions.load(path) if functions.holds_function(path) else adapted_file.load(path)
