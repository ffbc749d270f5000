"""How the gradient of the meta-objective with respect to the meta-parameters is estimated."""

from quickstudy.metagradients.backpropagation import backpropagation as backpropagation
from quickstudy.metagradients.backpropagation import of_several as of_several
from quickstudy.metagradients.carrying import Carrying as Carrying
from quickstudy.metagradients.evolution import Evolution as Evolution
from quickstudy.metagradients.persistent_evolution import PersistentEvolution as PersistentEvolution
from quickstudy.metagradients.reptile import ReptileGradient as ReptileGradient
from quickstudy.metagradients.unrolling import TruncatedBackpropagation as TruncatedBackpropagation
from quickstudy.metagradients.unrolling import Unrolling as Unrolling
