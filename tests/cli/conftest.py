"""Commands as in a new process."""

import pytest

from quickstudy.cli.main import main
from quickstudy.data.registry import _data_of
from quickstudy.data.seen import warn_of_seen_classes


@pytest.fixture
def run(capsys):
    """A command: its exit status, what it says and what it prints."""

    def run(*words: object) -> tuple[int, str, str]:
        _data_of.cache_clear()
        warn_of_seen_classes.cache_clear()
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.err, captured.out

    return run


@pytest.fixture
def printed(capfd):
    """A command that succeeds: what it prints."""

    def printed(*words: object) -> str:
        assert main([str(word) for word in words]) == 0, capfd.readouterr().err
        return capfd.readouterr().out

    return printed
