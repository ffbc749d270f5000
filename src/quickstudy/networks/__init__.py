"""Networks of the papers (conv4, ResNet-12, multi-layer perceptrons), a network that starts as the
identity, two networks for text, layers, and adapters for networks of other libraries."""

from quickstudy.networks.adapters import Applied as Applied
from quickstudy.networks.adapters import Plain as Plain
from quickstudy.networks.bag_of_words import BagOfWords as BagOfWords
from quickstudy.networks.bag_of_words import TfIdf as TfIdf
from quickstudy.networks.conv4 import Conv4 as Conv4
from quickstudy.networks.embedding import Embedding as Embedding
from quickstudy.networks.mlp import MLP as MLP
from quickstudy.networks.network import Network as Network
from quickstudy.networks.network import WithHead as WithHead
from quickstudy.networks.residual import Residual as Residual
from quickstudy.networks.resnet12 import ResNet12 as ResNet12
from quickstudy.networks.text import Text as Text
