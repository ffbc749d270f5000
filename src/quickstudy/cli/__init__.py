"""The command line: `quickstudy COMMAND`."""

from quickstudy.cli.main import main as main
