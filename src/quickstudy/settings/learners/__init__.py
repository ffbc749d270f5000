"""The options of each learner on the command line, one file a learner: `learners/` has its file of
the same name. Nothing here imports JAX.

Each class that is imported here is a learner of the command line, in this order.
"""
# ruff: noqa: F401, I001

from quickstudy.settings.learners.baseline.nearest import PixelsSettings
from quickstudy.settings.learners.baseline.finetuning import FineTuningSettings
from quickstudy.settings.learners.baseline.multitask import MultiTaskSettings
from quickstudy.settings.learners.metric.protonet import ProtoNetSettings
from quickstudy.settings.learners.metric.matching import MatchingNetSettings
from quickstudy.settings.learners.metric.siamese import SiameseSettings
from quickstudy.settings.learners.metric.arc import ARCSettings
from quickstudy.settings.learners.metric.gnn import GNNSettings
from quickstudy.settings.learners.metric.active_gnn import ActiveGNNSettings
from quickstudy.settings.learners.metric.tadam import TADAMSettings
from quickstudy.settings.learners.metric.tapnet import TapNetSettings
from quickstudy.settings.learners.metric.zero_shot import ZeroShotSettings
from quickstudy.settings.learners.gradient.maml import MAMLSettings
from quickstudy.settings.learners.gradient.anil import ANILSettings
from quickstudy.settings.learners.gradient.boil import BOILSettings
from quickstudy.settings.learners.gradient.meta_sgd import MetaSGDSettings
from quickstudy.settings.learners.gradient.maml_plus_plus import MAMLPlusPlusSettings
from quickstudy.settings.learners.gradient.meta_lstm import MetaLSTMSettings
from quickstudy.settings.learners.gradient.cavia import CAVIASettings
from quickstudy.settings.learners.gradient.mt_net import MTNetSettings
from quickstudy.settings.learners.gradient.taml import TAMLSettings
from quickstudy.settings.learners.gradient.reptile import ReptileSettings
from quickstudy.settings.learners.gradient.imaml import ImplicitMAMLSettings
from quickstudy.settings.learners.gradient.evolution_maml import EvolutionMAMLSettings
from quickstudy.settings.learners.memory.mann import MANNSettings
from quickstudy.settings.learners.memory.recurrent import LSTMSettings
from quickstudy.settings.learners.memory.cnp import CNPSettings
from quickstudy.settings.learners.memory.statistician import StatisticianSettings
from quickstudy.settings.learners.memory.snail import SNAILSettings
from quickstudy.settings.learners.memory.memory_module import MemoryModuleSettings
from quickstudy.settings.learners.memory.meta_networks import MetaNetworksSettings
from quickstudy.settings.learners.memory.in_context import InContextSettings
from quickstudy.settings.learners.bayesian.alpaca import ALPaCASettings
