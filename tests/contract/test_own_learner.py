"""The suite over a learner of the user's own: `pytest tests/contract --learner FILE.py`."""

import subprocess
import sys
from pathlib import Path

import pytest

NEWEST = """
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from quickstudy import Learner, Predictor
from quickstudy.likelihood import absent_last
from quickstudy.settings.learner import LearnerSettings


class Newest(Predictor):
    x: object
    seen: object

    def __call__(self, x):
        return absent_last(-jnp.sum((x[:, None] - self.x) ** 2, -1), self.seen)


class NearestOfTheNewest(Learner):
    def adapt(self, support, likelihood, *, key):
        order = jnp.arange(len(support.y)) + 1
        of_class = (support.y == jnp.arange(likelihood.size)[:, None]) * order
        return Newest(support.x[jnp.argmax(of_class, 1)], likelihood.seen(support.y))
{says}

@dataclass(frozen=True)
class Settings(LearnerSettings):
    name: ClassVar[str] = "newest"

    def build(self, problem, key):
        return NearestOfTheNewest()
"""
SAYS = """
    @property
    def order_matters(self):
        return True
"""


@pytest.mark.parametrize("says", [SAYS, ""])
def test_the_suite_holds_a_learner_of_ones_own_to_what_it_says(tmp_path, says):
    """It compares a query with the newest example of each class: so the order matters."""
    file = tmp_path / "newest.py"
    file.write_text(NEWEST.format(says=says))
    suite = Path(__file__).with_name("test_learners.py")
    command = [sys.executable, "-m", "pytest", "-n", "0", str(suite), "-k", "newest"]
    told = subprocess.run(
        [*command, "--learner", str(file)], capture_output=True, text=True, check=False
    ).stdout
    if says:
        assert " passed" in told
        assert " failed" not in told, told
    else:
        assert "1 failed" in told, told
        assert "FAILED" in told
        assert "test_the_order_of_the_support_set_matters_only_where_the_learner_says_so" in told
