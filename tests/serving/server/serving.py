"""`quickstudy serve` with small learners, in a process of its own: python -m … WORDS."""

import sys

from quickstudy.cli.main import main
from quickstudy.serving.server import learners
from tests.serving.server import tiny

learners.shipped = lambda limits: tiny.shipped(limits)[::3]
sys.exit(main(["serve", *sys.argv[1:]]))
