"""Learners and optimisers by the names that the command line knows, and learners of the user's own.

Nothing here imports JAX.
"""

from quickstudy.errors import UserError, nearest
from quickstudy.settings import learners, optimizers
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.optimizer import OptimizerSettings
from quickstudy.user_file import Source, class_from, class_in_file

LEARNERS: dict[str, type[LearnerSettings]] = {
    settings.name: settings
    for name, settings in vars(learners).items()
    if name.endswith("Settings")
}
"""Every learner of the project; the contract suite runs over these."""

OPTIMIZERS: dict[str, type[OptimizerSettings]] = {
    settings.name: settings
    for name, settings in vars(optimizers).items()
    if name.endswith("Settings")
}
"""Every learned optimiser of the project."""


def learner_settings(name: str) -> type[LearnerSettings]:
    """Find the settings of a learner by its name, or by the path of a Python file that defines one.

    Only for what the user names: a file is run, and from now on runs of its learner can be loaded.

    Raises `UserError` for an unknown name, with the nearest ones, and for a file that defines no
    learner or more than one.
    """
    if name not in LEARNERS and name.endswith(".py"):
        return class_in_file(name, LearnerSettings, "CONTRIBUTING.md")
    return saved_learner_settings(name, None)


def saved_learner_settings(name: str, source: Source | None) -> type[LearnerSettings]:
    """Find the settings of a learner that a file names: nothing is run. Raises `UserError` for an
    unknown name, and for a learner of the user's own whose file is not named or has changed."""
    if source is not None:
        return class_from(source, "--learner")
    if name not in LEARNERS:
        raise UserError(f"there is no learner {name!r}: {nearest(name, sorted(LEARNERS))}")
    return LEARNERS[name]


def optimizer_settings(name: str) -> type[OptimizerSettings]:
    """Find the settings of an optimiser by its name. Raises `UserError` for an unknown one, with
    the nearest."""
    if name not in OPTIMIZERS:
        raise UserError(f"there is no optimiser {name!r}: {nearest(name, list(OPTIMIZERS))}")
    return OPTIMIZERS[name]
