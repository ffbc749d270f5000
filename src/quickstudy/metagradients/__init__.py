"""How the gradient of the meta-objective with respect to the meta-parameters is estimated."""

from quickstudy.metagradients.backpropagation import Backpropagation as Backpropagation
from quickstudy.metagradients.evolution import Evolution as Evolution
from quickstudy.metagradients.metagradient import MetaGradient as MetaGradient
from quickstudy.metagradients.metagradient import PerTask as PerTask
from quickstudy.metagradients.persistent_evolution import PersistentEvolution as PersistentEvolution
from quickstudy.metagradients.reptile import ReptileGradient as ReptileGradient
from quickstudy.metagradients.unrolling import TruncatedBackpropagation as TruncatedBackpropagation
from quickstudy.metagradients.unrolling import Unrolling as Unrolling
