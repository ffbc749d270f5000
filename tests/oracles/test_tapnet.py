"""TapNet against its equations, with the null space from a singular value decomposition."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.learners.metric.tapnet import TapNet, errors, nearest_pairs, null_projector
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
WAY, REFERENCES, D = 3, 5, 8
ALL = jnp.ones(WAY, bool)
RNG = np.random.default_rng(0)
SUPPORT = Examples(jnp.asarray(RNG.normal(size=(9, 5))), jnp.asarray([0, 1, 2] * 3))
QUERY = Examples(jnp.asarray(RNG.normal(size=(6, 5))), jnp.asarray([0, 1, 2] * 2))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@eqx.filter_jit
def made() -> TapNet:
    return TapNet(MLP((5,), hidden=(D,), key=KEY), REFERENCES, key=KEY)


def prototypes(learner: TapNet) -> np.ndarray:
    z, y = np.asarray(learner.network(SUPPORT.x)[0]), np.asarray(SUPPORT.y)
    return np.stack([z[y == k].mean(0) for k in range(WAY)])


def by_svd(z: np.ndarray, references: np.ndarray, c: np.ndarray) -> np.ndarray:
    """-‖M z - M φ_k‖², each error written out, M the last right singular vectors."""
    rows = []
    for k in range(WAY):
        others = [references[j] for j in range(WAY) if j != k]
        modified = references[k] - sum(others) / (WAY - 1)
        rows.append(modified / np.linalg.norm(modified) - c[k] / np.linalg.norm(c[k]))
    _, _, vh = np.linalg.svd(np.stack(rows))
    m = vh[WAY:].T
    return -np.sum(((z @ m)[:, None] - references @ m) ** 2, -1)


def test_the_projector_leaves_nothing_of_the_errors_and_all_that_is_orthogonal():
    c, references = RNG.normal(size=(2, WAY, D))
    rows = errors(jnp.asarray(references), jnp.asarray(c), ALL)
    p = np.asarray(null_projector(rows))
    assert np.max(np.abs(rows @ p)) < 1e-4
    np.testing.assert_allclose(p, p.T, atol=1e-9)
    np.testing.assert_allclose(np.trace(p), D - WAY, atol=1e-4)
    _, _, vh = np.linalg.svd(rows)
    np.testing.assert_allclose(p, vh[WAY:].T @ vh[WAY:], atol=1e-4)


def test_errors_that_are_nothing_have_a_projector_and_a_gradient():
    """Prototypes that lie in the directions of their references need no projection."""
    references = jnp.asarray(RNG.normal(size=(WAY, D)))
    c = 2 * (references - (references.sum(0) - references) / (WAY - 1))

    def value(c):
        return jnp.sum(null_projector(errors(references, c, ALL)) ** 2)

    np.testing.assert_allclose(null_projector(errors(references, c, ALL)), np.eye(D), atol=1e-5)
    assert np.isfinite(jax.grad(value)(c)).all()


def test_predictions_are_distances_in_the_null_space():
    learner = made()
    c, references = prototypes(learner), np.asarray(learner.references)
    distances = np.sum((c[:, None] - references) ** 2, -1)
    best = greedily(distances)
    expected = by_svd(np.asarray(learner.network(QUERY.x)[0]), references[best], c)

    @eqx.filter_jit
    def logits(learner):
        return learner.adapt(SUPPORT, Categorical(WAY), key=KEY)(QUERY.x)

    np.testing.assert_allclose(logits(learner), expected, atol=1e-4)


def greedily(distances: np.ndarray) -> list[int]:
    """Pairs by a loop over all of them, nearest first."""
    rows, columns = distances.shape
    found: dict[int, int] = {}
    for i, j in sorted(itertools.product(range(rows), range(columns)), key=lambda p: distances[p]):
        if i not in found and j not in found.values():
            found[i] = j
    return [found[i] for i in range(rows)]


def test_each_prototype_gets_a_reference_of_its_own_the_nearest_pair_first():
    pairs = jax.jit(nearest_pairs)
    contested = 0
    for _ in range(20):
        distances = RNG.uniform(size=(4, 6))
        found = np.asarray(pairs(jnp.asarray(distances))).tolist()
        assert found == greedily(distances)
        contested += found != np.argmin(distances, 1).tolist()
    assert contested


def test_in_training_classes_have_random_references():
    """The loss is that of one of the ordered choices of references, and not always of the same."""
    learner = made()
    c, references = prototypes(learner), np.asarray(learner.references)
    z = np.asarray(learner.network(QUERY.x)[0])
    possible = np.asarray(
        [
            Categorical(WAY).mean_loss(jnp.asarray(by_svd(z, references[list(p)], c)), QUERY.y)
            for p in itertools.permutations(range(REFERENCES), WAY)
        ]
    )
    loss = eqx.filter_jit(
        lambda key: learner.loss(Episode(SUPPORT, QUERY, Categorical(WAY)), key=key)[0]
    )
    found = [float(loss(jax.random.key(seed))) for seed in range(5)]
    assert all(np.min(np.abs(possible - one)) < 1e-4 for one in found)
    assert len({round(one, 4) for one in found}) > 1


@pytest.mark.parametrize(("classes", "references"), [(6, 5), (8, 9)])
def test_too_many_classes_are_refused(classes, references):
    learner = TapNet(MLP((5,), hidden=(D,), key=KEY), references, key=KEY)
    support = Examples(jnp.zeros((classes, 5)), jnp.arange(classes))
    with pytest.raises(ValueError, match=f"{references} references of 8 features"):
        learner.adapt(support, Categorical(classes), key=KEY)
