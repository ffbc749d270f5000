"""Networks of the papers (conv4, multi-layer perceptrons), one for text, and their layers."""

from quickstudy.networks.conv4 import Conv4 as Conv4
from quickstudy.networks.mlp import MLP as MLP
from quickstudy.networks.network import Network as Network
from quickstudy.networks.network import WithHead as WithHead
from quickstudy.networks.text import Text as Text
