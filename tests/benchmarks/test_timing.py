"""Ratios and their spread, and that contenders must agree."""

import pytest

from benchmarks.suite import Disagreement, agreeing, in_one_line
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
    turns = list(in_turns({"a": Fake("a", log), "b": Fake("b", log)}, 3, {}))
    assert log == ["a", "b"] * 3
    assert [sorted(turn) for turn in turns] == [["a", "b"]] * 3


class Failing(Fake):
    """Work that fails at its third turn."""

    def run(self, steps: int) -> None:
        super().run(steps)
        if self.log.count(self.name) == 3:
            raise RuntimeError("first line\nlast line")


def test_one_that_fails_while_it_is_timed_does_not_stop_the_others(monkeypatch):
    monkeypatch.setattr("benchmarks.timing.fitting_steps", lambda contender: 1)
    log: list[str] = []
    failed: dict[str, Exception] = {}
    turns = list(in_turns({"a": Failing("a", log), "b": Fake("b", log)}, 4, failed))
    assert log == ["a", "b", "a", "b", "a", "b", "b"]
    assert [sorted(turn) for turn in turns] == [["a", "b"]] * 2 + [["b"]] * 2
    assert in_one_line(failed["a"]) == "RuntimeError: last line"


@pytest.mark.parametrize("loss", [1.002, float("nan")])
def test_a_peer_that_computes_something_else_is_found_out(loss):
    with pytest.raises(Disagreement, match="its loss is"):
        agreeing(Fake("peer", [], loss), {"loss": 1.0}, 1e-3)


def test_rounding_is_not_a_disagreement():
    assert agreeing(Fake("peer", [], 1.0005), {"loss": 1.0}, 1e-3)
