"""The options of each learned optimiser, one file an optimiser: `optimizers/` has its file of the
same name. Nothing here imports JAX.

Each class that is imported here is an optimiser of the command line, in this order.
"""
# ruff: noqa: F401, I001

from quickstudy.settings.optimizers.lstm import LSTMOptimizerSettings
from quickstudy.settings.optimizers.mlp import MLPOptimizerSettings
from quickstudy.settings.optimizers.hierarchical import HierarchicalOptimizerSettings
from quickstudy.settings.optimizers.momentum import MomentumOptimizerSettings
