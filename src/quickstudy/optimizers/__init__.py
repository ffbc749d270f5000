"""Learned optimisers: one file each. Each gives an Optax transformation."""

from quickstudy.optimizers.hierarchical import HierarchicalLSTM as HierarchicalLSTM
from quickstudy.optimizers.learned import LearnedOptimizer as LearnedOptimizer
from quickstudy.optimizers.lstm import ByKind as ByKind
from quickstudy.optimizers.lstm import CoordinatewiseLSTM as CoordinatewiseLSTM
from quickstudy.optimizers.mlp import CoordinatewiseMLP as CoordinatewiseMLP
from quickstudy.optimizers.momentum import LearnedMomentum as LearnedMomentum
