"""What learners say: limits, and numbers that are none."""

import time

import pytest

from quickstudy.serving.server import asking, schemas
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.reading import TooMuch


def test_too_many_examples_are_refused_before_they_are_looked_at():
    request = schemas.Learn([schemas.Example(str(i), None) for i in range(30_000)])
    began = time.process_time()
    with pytest.raises(TooMuch, match="there are 30000 inputs"):
        asking.learn([], request, Limits())
    assert time.process_time() - began < 0.5
