"""The trained learner of tables, in scikit-learn's manner."""

from importlib import resources

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_blobs, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import quickstudy
from quickstudy.errors import UserError
from quickstudy.estimate import Estimate
from quickstudy.experiments.studies.tables import SHIPPED, draw
from quickstudy.likelihood import Categorical
from quickstudy.runs.saved import SavedRun, shipped_learner
from quickstudy.serving.scikit_learn import opponents
from quickstudy.serving.table_classifier import TableClassifier, weighted
from quickstudy.task import Examples

NAMES = np.asarray(["robin", "wren", "tit"])


@pytest.fixture(scope="module")
def birds() -> tuple[np.ndarray, np.ndarray]:
    x, y = make_blobs(60, 4, centers=3, cluster_std=2.0, random_state=0)
    return x, NAMES[y]


@pytest.fixture(scope="module")
def fitted(birds) -> TableClassifier:
    x, y = birds
    return TableClassifier().fit(x[:16], y[:16])


def test_the_shipped_weights_are_small_and_were_trained_as_the_study_says():
    saved = SavedRun.shipped("tables")
    settings, learner = saved.settings, saved.learner()
    assert settings == SHIPPED.resolved()
    with resources.as_file(shipped_learner("tables")) as file:
        assert file.stat().st_size < 2_000_000
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(learner) if hasattr(x, "dtype"))


def test_it_names_classes_and_gives_them_probabilities(birds, fitted):
    x, y = birds
    np.testing.assert_array_equal(fitted.classes_, np.sort(NAMES))
    p = fitted.predict_proba(x[16:])
    assert p.shape == (44, 3)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(fitted.predict(x[16:]), np.sort(NAMES)[p.argmax(1)])
    assert fitted.score(x[16:], y[16:]) > 0.6  # guessing: a third


def test_it_is_the_learner_whatever_its_shapes_are_filled_up_with(birds):
    x, y = birds
    x, y = np.pad(x, [(0, 0), (0, 1)]), np.searchsorted(np.sort(NAMES), y)
    x[:, 4] = np.random.default_rng(0).normal(size=60)  # five features
    found = TableClassifier().fit(x[:11], y[:11]).predict_proba(x[11:20])
    learner = SavedRun.shipped("tables").learner()

    @eqx.filter_jit
    def log_p(learner, x, y):
        return learner.adapt(Examples(x[:11], y), Categorical(3), key=jax.random.key(1))(x[11:20])

    p = np.exp(log_p(learner, jnp.asarray(x, jnp.float32), jnp.asarray(y[:11])))
    np.testing.assert_allclose(found, p / p.sum(1, keepdims=True), rtol=2e-3, atol=1e-4)


def test_where_classes_are_several_clusters_it_is_ahead_of_logistic_regression():
    linear, differences = opponents()["logistic regression"], []
    for seed in range(20):
        x, y = make_classification(
            130, 8, n_informative=5, n_classes=3, class_sep=1.5, random_state=seed
        )
        ours = TableClassifier().fit(x[:30], y[:30]).score(x[30:], y[30:])
        differences.append(ours - np.mean(linear(x[:30], y[:30], x[30:]) == y[30:]))
    ahead = Estimate.of(np.asarray(differences))
    assert ahead.mean > ahead.half_width


def test_it_tells_many_classes_apart():
    x, y = make_blobs(120, 6, centers=40, cluster_std=0.3, random_state=0)
    assert TableClassifier().fit(x[:100], y[:100]).score(x[100:], y[100:]) > 0.8


def test_scikit_learn_takes_it_for_a_classifier(birds):
    x, y = birds
    made = TableClassifier(run="runs/own")
    assert is_classifier(made)
    assert clone(made).get_params() == {"run": "runs/own", "class_weight": None}
    assert made.set_params(run=None) is made
    assert cross_val_score(made, x, y, cv=3).mean() > 0.6


EXPECTED = {
    "check_supervised_y_2d": "a column of classes is refused with its shape, in fit as in score: "
    "scikit-learn wants a warning, and the column read as a row"
}


@parametrize_with_checks([TableClassifier()], expected_failed_checks=lambda _: EXPECTED)
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_missing_values_are_the_mean_and_constant_columns_nothing(birds, fitted):
    x, y = birds
    gaps = x[16:].copy()
    gaps[:, 2] = np.nan
    filled = x[16:].copy()
    filled[:, 2] = x[:16, 2].mean()
    np.testing.assert_allclose(
        fitted.predict_proba(gaps), fitted.predict_proba(filled), rtol=1e-3, atol=1e-5
    )
    odd = np.column_stack([x[:, :3], np.full(60, 0.1)])
    odd[3, 3] = np.nan
    other = np.column_stack([x[:, :3], np.zeros(60)])
    a, b = (TableClassifier().fit(z[:16], y[:16]).predict_proba(z[16:]) for z in (odd, other))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


class Series:
    """As a data frame: columns of their own types."""

    def __init__(self, **cells: list):
        self.cells, self.columns = cells, list(cells)

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self.cells[name])

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.asarray([list(c) for c in self.cells.values()], dtype=object).T


def customers(rows: int, **changed: list) -> Series:
    """The class of a row is in its colour, and in whether its size is missing."""
    i = np.arange(rows)
    cells = {
        "name": [f"n{k}" for k in i],
        "colour": np.asarray(["red", "green", "blue"])[i % 3].tolist(),
        "since": np.datetime64("2020-01-01") + i,
        "size": np.where(i % 2, np.nan, i),
    }
    return Series(**{**cells, **changed})


def test_words_dates_and_missing_values_are_read(capsys):
    x, y = customers(18), np.asarray(["buys", "goes", "goes"])[np.arange(18) % 3]
    made = TableClassifier().fit(x, y)
    assert "column 'name' is left out: each of its 18 cells is another word" in (
        capsys.readouterr().err
    )
    assert made.n_features_in_ == 4
    assert made.score(customers(9), y[:9]) == 1
    turned = Series(**dict(reversed(customers(9).cells.items())))
    np.testing.assert_allclose(made.predict_proba(turned), made.predict_proba(customers(9)))
    assert capsys.readouterr().err == ""
    made.predict(customers(3, colour=["red", "mauve", "red"]))
    assert "column 'colour' holds 'mauve'" in capsys.readouterr().err
    with pytest.raises(UserError, match="column 'colour' holds numbers"):
        made.predict(customers(3, colour=[1, 2, 3]))
    with pytest.raises(UserError, match="'big' is not a finite number, as in training"):
        made.predict(customers(3, size=["big", 1, 2]))
    rows = [[c, s] for c, s in zip(x["colour"], [1, None, 3] * 6, strict=True)]
    assert TableClassifier().fit(rows, y).score(rows, y) == 1


def test_class_weights_correct_the_prior(birds):
    """p(k | x) = π_k f_k / Σ π_j f_j becomes the answer for other priors, by Bayes' rule."""
    rng = np.random.default_rng(0)
    f, prior, wanted = (
        rng.uniform(size=(5, 3)),
        np.array([0.7, 0.2, 0.1]),
        np.array([0.1, 0.5, 0.4]),
    )
    posterior = [f * p / (f * p).sum(1, keepdims=True) for p in (prior, wanted)]
    np.testing.assert_allclose(weighted(posterior[0], wanted / prior), posterior[1])
    x, y = birds
    counts = {name: np.sum(y[:16] == name) for name in np.unique(y)}
    p = TableClassifier().fit(x[:16], y[:16]).predict_proba(x[16:])
    by = {name: 16 / (3 * count) for name, count in counts.items()}
    expected = p * list(by.values()) / (p @ list(by.values()))[:, None]
    for weights in ("balanced", by, {name: 5 * w for name, w in by.items()}):
        made = TableClassifier(class_weight=weights).fit(x[:16], y[:16])
        np.testing.assert_allclose(made.predict_proba(x[16:]), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ("equal", "take None, 'balanced', or weights by class"),
        ({"robin": 0}, "of 'robin' is 0: weights are positive"),
        ({"owl": 2}, "names 'owl', and the classes are"),
    ],
)
def test_weights_that_are_none_are_refused(birds, weights, says):
    x, y = birds
    with pytest.raises(UserError, match=says):
        TableClassifier(class_weight=weights).fit(x[:16], y[:16])


X, Y = np.zeros((12, 3)), np.arange(12) % 2


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([["a", "b"], ["c"]], [0, 1], "rows and columns"),
        ([["3/4/24"], ["5/6/24"]], [0, 1], "X, row 0, column '0': '3/4/24' may be read in two"),
        ([["a"], ["a"]], [0, 1], "no column that tells rows apart"),
        (np.zeros(5), Y, "rows and columns"),
        (np.full((12, 3), np.inf), Y, "infinite"),
        (X, Y[:5], "one class for each of the 12 rows"),
        (X, Y * 0, "one class"),
        (X, Y + 0.5, "not regression"),
        (np.zeros((12, 0)), Y, "give it columns"),
        (X + 1j, Y, "the real and the imaginary parts"),
        (csr_array(X), Y, "sparse"),
        (X, None, "y is None"),
        (X, np.where(Y == 0, np.nan, Y), r"no class in row 0 \(nan\)"),
        (X, [*map(str, Y[:-1]), None], r"no class in row 11 \(None\)"),
        (X, [*map(str, Y[:-1]), np.nan], r"no class in row 11 \(nan\)"),
        (X, ["", *map(str, Y[1:])], "no class in row 0"),
        (X, np.array([*Y[:-1], None]), r"no class in row 11 \(None\)"),
        (X, ["0", *Y[1:]], "strings and numbers"),
        (X, np.array(["0", *Y[1:]], dtype=object), "strings and numbers"),
        (np.zeros((12, 1001)), Y, "1001 features: up to 1000"),
        (np.zeros((1002, 3)), np.arange(1002) % 2, "1002 labelled rows: up to 1000"),
    ],
)
def test_what_it_cannot_read_is_refused(x, y, says: str):
    with pytest.raises(UserError, match=says):
        TableClassifier().fit(x, y)


def test_misuse_is_told(fitted):
    with pytest.raises(UserError, match="call fit first") as raised:
        TableClassifier().predict(X)
    assert isinstance(raised.value, NotFittedError)
    with pytest.raises(UserError, match=r"X has 3 features, but .* 4 features") as raised:
        fitted.predict(X)
    assert isinstance(raised.value, ValueError)
    with pytest.raises(UserError, match="has no 'deals'"):
        TableClassifier().set_params(deals=2)
    assert quickstudy.TableClassifier is TableClassifier


def test_a_draw_has_a_row_of_each_class_and_does_not_tell_them():
    y = np.asarray([0] * 90 + [1] * 9 + [2])
    for seed in range(20):
        some, told = draw(y, 5, seed)
        assert len(some) == len(set(some)) == 5
        assert set(y[some]) == {0, 1, 2}
        assert not set(some) & set(told)
        assert len(some) + len(told) == 100
    assert not np.array_equal(*(draw(y, 5, seed)[0] for seed in (0, 1)))


def test_opponents_learn(birds):
    x, y = birds
    for name, method in opponents().items():
        assert np.mean(method(x[:30], y[:30], x[30:]) == y[30:]) > 0.8, name


class Frame:
    """As a data frame: an array whose columns have names."""

    def __init__(self, x: np.ndarray, columns: list):
        self.x, self.columns = x, columns

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.asarray(self.x, dtype)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)))
def test_columns_are_taken_by_name(birds, order):
    x, y = birds
    names = np.asarray(["length", "span", "weight", "beak"])
    made = TableClassifier().fit(Frame(x[:16], list(names)), y[:16])
    turned = made.predict_proba(Frame(x[16:24, order], list(names[list(order)])))
    np.testing.assert_array_equal(turned, made.predict_proba(Frame(x[16:24], list(names))))


def test_columns_of_other_names_are_refused(birds, fitted, capsys):
    x, y = birds
    made = TableClassifier().fit(Frame(x[:16], ["a", "b", "c", "d"]), y[:16])
    assert made.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(UserError, match=r"no d; also e\); the classifier takes a, b, c, d"):
        made.predict(Frame(x, ["a", "b", "c", "e"]))
    with pytest.raises(UserError, match="also e"):
        made.predict(Frame(np.pad(x, [(0, 0), (0, 1)]), ["a", "b", "c", "d", "e"]))
    with pytest.raises(UserError, match="two columns of the same name"):
        TableClassifier().fit(Frame(x, ["a", "a", "b", "c"]), y)
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(made.predict(x), made.predict(Frame(x, ["a", "b", "c", "d"])))
    assert "columns have names in fit and none in X" in capsys.readouterr().err
    fitted.predict(Frame(x, ["a", "b", "c", "d"]))
    assert "columns have names in X and none in fit" in capsys.readouterr().err
    made.fit(x[:16], y[:16])
    assert not hasattr(made, "feature_names_in_")
    made.predict(Frame(x, [0, 1, 2, 3]))  # numbers are no names
    assert capsys.readouterr().err == ""


def test_a_score_needs_a_class_for_each_row(birds, fitted):
    x, y = birds
    for other in (y[:5], y[:, None], y[0]):
        with pytest.raises(UserError, match="one class for each of the 60 rows"):
            fitted.score(x, other)
