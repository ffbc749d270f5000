"""Files that an earlier commit (ccbc365) wrote: runs load, and predict what they did then; an
adapted file, whose form has changed since, is refused with what to do."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import checkpoint
from quickstudy.errors import UserError
from quickstudy.likelihood import Categorical
from quickstudy.runs.problem_json import problem_from_json
from quickstudy.runs.saved import SavedRun
from quickstudy.serving import predicting
from quickstudy.task import Examples

GOLDEN = Path(__file__).parent / "golden"
ANSWERS = json.loads((GOLDEN / "answers.json").read_text())
"""What the code of that commit predicted."""


def numbers(*shape: int) -> np.ndarray:
    """Numbers from -1 to 1 that depend on no generator of random numbers."""
    count = int(np.prod(shape))
    return (np.arange(count) * 7 % 11 / 5 - 1).reshape(shape).astype(np.float32)


def logits_of_protonet() -> np.ndarray:
    learner = SavedRun.open(GOLDEN / "protonet.qs").learner()
    support = Examples(jnp.asarray(numbers(3, 5)), jnp.asarray([0, 1, 1]))
    predictor = learner.adapt(support, Categorical(2), key=jax.random.key(0))
    return np.asarray(predictor(jnp.asarray(numbers(7, 5)[3:])))


def outputs_of_maml() -> np.ndarray:
    saved = SavedRun.open(GOLDEN / "maml.qs")
    problem, learner = saved.problem, saved.learner()
    support = Examples(jnp.asarray(numbers(4, 1)), jnp.asarray(2 * numbers(9, 1)[5:]))
    predictor = learner.adapt(support, problem.likelihood, key=jax.random.key(0))
    return np.asarray(predictor(jnp.asarray(numbers(10, 1)[4:])))


@pytest.mark.parametrize(
    "predict",
    [logits_of_protonet, outputs_of_maml],
    ids=lambda f: f.__name__,
)
def test_files_of_an_earlier_commit_predict_as_they_did(predict):
    np.testing.assert_allclose(predict(), ANSWERS[predict.__name__], rtol=1e-4, atol=1e-5)


def test_an_adapted_file_of_an_earlier_commit_is_refused_with_what_to_do(tmp_path):
    """Its predictor does not say which classes have an example."""
    np.savez(tmp_path / "x.npz", x=numbers(4, 5))
    with pytest.raises(UserError, match="make it again with quickstudy adapt"):
        predicting.predict(GOLDEN / "adapted.qs", [tmp_path / "x.npz"])


def test_an_adapted_file_without_a_temperature_and_a_threshold_predicts_as_it_did(tmp_path):
    """Commit 9fe7b96 wrote it."""
    np.savez(tmp_path / "x.npz", x=numbers(7, 5)[3:])
    rows = predicting.predict(GOLDEN / "adapted_untempered.qs", [tmp_path / "x.npz"])
    found = [row.probabilities["1"] for row in rows]
    np.testing.assert_allclose(found, [0.507269, 0.758224, 0.756936, 0.703441], rtol=1e-4)
    for row in rows:
        assert not row.unknown
        assert row.score is None
        assert row.threshold is None
        assert row.nearest == ()


def test_a_header_that_says_nothing_of_descriptions_has_none():
    header = checkpoint.read_header(GOLDEN / "protonet.qs")["problem"]
    known = problem_from_json(header)
    del header["description"], header["vocabulary"]  # headers before these were written
    assert problem_from_json(header) == known
