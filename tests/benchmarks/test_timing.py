"""Ratios and their spread, and that contenders must agree."""

import pytest

from benchmarks.suite import Disagreement, agreeing
from benchmarks.timing import Spread, in_turns, ratio


class Fake:
    """Work that takes no time, and tells when it was done."""

    def __init__(self, name: str, log: list[str], loss: float = 1.0):
        self.name, self.log, self.loss = name, log, loss

    def figures(self) -> dict[str, float]:
        return {"loss": self.loss}

    def run(self, steps: int) -> None:
        self.log.append(self.name)


def test_a_ratio_is_taken_repetition_by_repetition():
    assert ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == Spread(median=2.0, low=2.0, high=3.0)


def test_contenders_take_turns(monkeypatch):
    monkeypatch.setattr("benchmarks.timing.fitting_steps", lambda contender: 1)
    log: list[str] = []
    turns = list(in_turns({"a": Fake("a", log), "b": Fake("b", log)}, 3))
    assert log == ["a", "b"] * 3
    assert [sorted(turn) for turn in turns] == [["a", "b"]] * 3


@pytest.mark.parametrize("loss", [1.002, float("nan")])
def test_a_peer_that_computes_something_else_is_found_out(loss):
    with pytest.raises(Disagreement, match="its loss is"):
        agreeing(Fake("peer", [], loss), {"loss": 1.0})


def test_rounding_is_not_a_disagreement():
    assert agreeing(Fake("peer", [], 1.0005), {"loss": 1.0})
