"""The learners that the command line knows by name, and those that a file defines."""

from quickstudy.errors import UserError, nearest
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners.baseline import FineTuning, MultiTask, Pixels
from quickstudy.settings.learners.comparing import ARC, Siamese
from quickstudy.settings.learners.gradient import (
    ANIL,
    BOIL,
    CAVIA,
    MAML,
    TAML,
    MAMLPlusPlus,
    MetaLSTM,
    MetaSGD,
    MTNet,
    Reptile,
)
from quickstudy.settings.learners.gradient_estimates import EvolutionMAML, ImplicitMAML
from quickstudy.settings.learners.graph import GNN, ActiveGNN
from quickstudy.settings.learners.in_context import InContext
from quickstudy.settings.learners.memory import LSTM, MANN
from quickstudy.settings.learners.metric import TADAM, MatchingNet, ProtoNet, TapNet, ZeroShot
from quickstudy.settings.learners.processes import CNP, Statistician
from quickstudy.settings.learners.reading import SNAIL, MemoryModule, MetaNetworks
from quickstudy.user_file import Source, class_from, class_in_file

LEARNERS: dict[str, type[LearnerSettings]] = {
    settings.name: settings
    for settings in (
        *(Pixels, FineTuning, MultiTask),
        *(ProtoNet, MatchingNet, Siamese, ARC, GNN, ActiveGNN, TADAM, TapNet, ZeroShot),
        *(MAML, ANIL, BOIL, MetaSGD, MAMLPlusPlus, MetaLSTM, CAVIA, MTNet, TAML, Reptile),
        *(ImplicitMAML, EvolutionMAML),
        *(MANN, LSTM),
        *(CNP, Statistician),
        *(SNAIL, MemoryModule, MetaNetworks),
        *(InContext,),
    )
}
"""Every learner of the project; the contract suite runs over these."""


def learner_settings(name: str) -> type[LearnerSettings]:
    """The settings of a learner by its name, or by the path of a Python file that defines one.

    Only for what the user names: a file is run, and from now on runs of its learner can be loaded.

    Raises `UserError` for an unknown name, with the
    nearest ones, and for a file that defines no learner or more than one.
    """
    if name not in LEARNERS and name.endswith(".py"):
        return class_in_file(name, LearnerSettings, "CONTRIBUTING.md")
    return saved_learner_settings(name, None)


def saved_learner_settings(name: str, source: Source | None) -> type[LearnerSettings]:
    """The settings of a learner as a file names it: nothing is run. Raises `UserError` for an
    unknown name, and for a learner of the user's own whose file is not named or has changed."""
    if source is not None:
        return class_from(source, "--learner")
    if name not in LEARNERS:
        raise UserError(f"there is no learner {name!r}: {nearest(name, sorted(LEARNERS))}")
    return LEARNERS[name]
