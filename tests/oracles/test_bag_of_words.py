import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.data.inputs import TokenShape
from quickstudy.learners.baseline.nearest_mean import NearestMean
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.likelihood import Categorical
from quickstudy.networks import BagOfWords, TfIdf
from quickstudy.runs.opponents import free_opponents
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Examples

KEY = jax.random.key(0)
IDF = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 1.2, 1.7)
RNG = np.random.default_rng(0)
LENGTH = RNG.integers(1, 7, 12)
NUMBERS = np.where(np.arange(6) < LENGTH[:, None], RNG.integers(1, len(IDF), (12, 6)), 0)
TOKENS = jnp.asarray(NUMBERS)
LABELS = np.arange(12) % 3


def slow_tf_idf(row: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(IDF))
    for token in row:
        if token:
            counts[token] += IDF[token]
    return counts / np.sqrt(np.sum(counts**2))


def test_tf_idf_is_its_formula():
    expected = [slow_tf_idf(row) for row in NUMBERS]
    np.testing.assert_allclose(TfIdf(IDF)(TOKENS)[0], expected, rtol=1e-5, atol=1e-6)


def test_tf_idf_is_that_of_scikit_learn():
    of_text = pytest.importorskip("sklearn.feature_extraction.text")
    from quickstudy.datasets.tokens import inverse_document_frequency

    model = of_text.TfidfVectorizer(analyzer=lambda row: [t for t in row.tolist() if t])
    theirs = model.fit_transform(NUMBERS).toarray()
    idf = inverse_document_frequency(NUMBERS, len(IDF))
    ours = TfIdf(idf.tolist())(TOKENS)[0]
    places = [int(token) for token in model.get_feature_names_out()]
    np.testing.assert_allclose(ours[:, places], theirs, rtol=1e-5, atol=1e-6)


def test_what_is_beyond_the_end_of_a_text_and_the_order_of_tokens_count_for_nothing():
    network = BagOfWords(IDF, width=4, key=KEY)
    longer = jnp.pad(TOKENS, [(0, 0), (0, 5)])
    expected = network(TOKENS)[0]
    np.testing.assert_array_equal(network(longer)[0], expected)
    np.testing.assert_allclose(network(longer[:, ::-1])[0], expected, rtol=1e-5, atol=1e-6)
    assert np.all(expected[:, 0] == 0)


def test_an_untrained_prototypical_network_is_a_nearest_mean_of_tf_idf():
    support, likelihood = Examples(TOKENS, jnp.asarray(LABELS)), Categorical(3)
    network = BagOfWords(IDF, key=KEY)
    logits = ProtoNet(network).adapt(support, likelihood, key=KEY)(TOKENS)
    v = np.array([slow_tf_idf(row) for row in NUMBERS])
    means = np.array([v[k == LABELS].mean(0) for k in range(3)])
    distances = np.sum((v[:, None] - means) ** 2, -1)
    np.testing.assert_allclose(-logits / 9, distances, rtol=0.03, atol=1e-4)
    np.testing.assert_array_equal(np.argmax(logits, -1), np.argmin(distances, -1))


def test_a_blank_text_has_a_slope():
    network = BagOfWords(IDF, width=4, key=KEY)
    slope = jax.grad(lambda n: jnp.sum(n(jnp.zeros((2, 6), int))[0]))(network)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


def test_texts_have_free_opponents_that_see_tf_idf_and_words_around_a_blank_have_none():
    texts = TaskSpec(TokenShape((6,), len(IDF), IDF), Categorical(3), None)
    assert free_opponents(TaskSpec(TokenShape((6,), len(IDF)), Categorical(3), None)) == {}
    opponents = free_opponents(texts)
    assert {"nearest neighbour", "nearest mean", "ridge"} <= set(opponents)
    labels = jnp.asarray(LABELS)
    found = opponents["nearest mean"].adapt(Examples(TOKENS, labels), Categorical(3), key=KEY)
    v = jnp.asarray([slow_tf_idf(row) for row in NUMBERS], jnp.float32)
    expected = NearestMean().adapt(Examples(v, labels), Categorical(3), key=KEY)
    np.testing.assert_allclose(found(TOKENS), expected(v), rtol=1e-4, atol=1e-4)


def test_the_network_of_texts_is_chosen_by_their_shape():
    assert isinstance(NetworkSettings().build(TokenShape((6,), len(IDF), IDF), KEY), BagOfWords)
