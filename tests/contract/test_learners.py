"""What every learner promises, whatever its method.

Each learner of the registry is tried in its default form and with every value of its
either-or options, one at a time. A learner of your own: `pytest tests/contract --learner my.py`.
Which promises it makes it says itself: `Learner.transductive`, `order_matters`, `labels_are_names`,
`uses_unlabelled`, `absent_last` and `has_slope`. Where it does not make one, the suite holds it to
what is then true.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy import checkpoint
from quickstudy.errors import UserError
from quickstudy.evaluation import evaluate
from quickstudy.learner import Learner
from quickstudy.likelihood import Categorical
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import Network
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.registry import LEARNERS, learner_settings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Episode, Examples
from quickstudy.tasks.finite import Redrawn
from quickstudy.training import meta_train

WAY, SHOT, QUERY, INPUTS = 3, 3, 4, 8
LIKELIHOOD = Categorical(WAY)
TRAINING_CLASSES = 12

LIKE_MAML = (
    *("anil", "boil", "meta-sgd", "maml++", "meta-lstm", "cavia", "mt-net", "taml", "reptile"),
)
"""What MAML shares with them (whose statistics normalise queries) is tried on MAML alone."""
SLOW = ("cavia", "mann", "lstm", "snail", "cnp")
"""Those that do not learn to learn in the 60 steps here: to bind labels to examples, or to read a
context, takes hundreds or thousands."""
BY_CHANCE = ("mt-net", "es-maml")
"""Those that may draw something for each parameter when they adapt: other rows, other draws."""
IN_PLACES = ("gnn", "active-gnn", "snail")
"""Those in which parameters of labels stand between others: see tests/oracles/test_gnn.py."""
QUICKER: dict[str, dict[str, Any]] = {
    "reptile": {"inner_rate": 0.01},
    "meta-lstm": {"inner_rate": 0.2, "inner_steps": 3},
    "es-maml": {"pairs": 16, "inner_steps": 3},
    "tapnet": {"references": WAY},
    "arc": {"glimpses": 1, "window": 12, "controller": 128},
    "lstm": {"width": 16},
    "cnp": {"width": 16, "layers": 2, "heads": 2},
    "statistician": {"width": 64, "context": 4, "latent": 1},
    "mann": {"width": 16, "slots": 12, "slot_width": 6, "heads": 2},
    "snail": {"embedding": 16, "temporal_filters": 8, "length": 2},
    "memory-module": {"key_width": 16},
    "meta-networks": {"base_width": 8},
    "in-context": {"layers": 3},
}
"""Options for training as short as here, where a paper's are for long training."""
QUICKER["gnn"] = QUICKER["active-gnn"] = {"graph_width": 16, "edge_width": 4}
KINKED = ("gnn", "active-gnn", "meta-networks", "statistician")
"""A graph network looks at each pair of nodes for each query, meta networks at each coordinate of
each example's gradient: a hundred thousand ReLUs, of which some turn within a longer step. The
statistician's few weigh much, where scales are small."""


def variants(name: str) -> Iterator[tuple[str, LearnerSettings]]:
    """The learner by its defaults, and with each other value of an option that has few; batch
    statistics are tried where the network has some."""
    cls = learner_settings(name)
    networks = dict(QUICKER.get(name, {}))
    normalised: dict[str, Any] = {}
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if "network" in fields:
        normalised = {**networks, "network": NetworkSettings("mlp-norm", hidden=(16, 16))}
        networks["network"] = NetworkSettings("mlp", hidden=(16, 16))
    if cls.name == "tadam":  # it conditions normalised layers, and takes no other network
        networks = dict(normalised)
    yield cls.name, cls(**networks)
    if normalised and "normalisation" not in fields:
        yield f"{cls.name}-mlp-norm", cls(**normalised)
    for option, kind in get_type_hints(cls).items():
        if option not in fields or not (get_origin(kind) is Literal or kind is bool):
            continue
        for value in (True, False) if kind is bool else get_args(kind):
            if option == "normalisation" and cls.name in (
                *LIKE_MAML,
                *("imaml", "es-maml", "active-gnn", "snail"),
            ):
                if value == fields[option].default:
                    yield f"{cls.name}-mlp-norm", cls(**normalised)
            elif option == "normalisation" and (
                networks != normalised or value != fields[option].default
            ):
                yield f"{cls.name}-{option}={value}", cls(**normalised, **{option: value})
            elif value != fields[option].default:
                yield f"{cls.name}-{option}={value}", cls(**networks, **{option: value})


COSTLY = {
    "test_a_class_without_a_labelled_example_has_a_loss_and_a_slope": "=none of them",
    "test_trained_it_learns_from_labels_and_not_from_shuffled_ones": "protonet-normalisation=",
    "test_two_devices_give_the_gradient_of_one": "=none of them",
}
"""What compiles longest is tried for each learner's default form, and these options."""
SHARED = (
    *("protonet", "maml", "taml", "reptile", "es-maml", "multi-task", "tadam", "siamese"),
    *("finetune", "maml++"),
)
"""Whose tasks devices share: those with a meta-gradient, with tasks or with steps of their own, and
two others. Back-propagation through other learners is shared alike, and takes long to compile."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        names = [*LEARNERS, *metafunc.config.getoption("--learner")]
        option = COSTLY.get(metafunc.function.__name__, "")
        cases = [
            pytest.param(settings, id=case, marks=pytest.mark.xdist_group(case))
            for name in names
            for case, settings in variants(name)
            if case == settings.name or option in case
            if name in SHARED
            or name not in LEARNERS
            or "two_devices" not in metafunc.function.__name__
        ]  # the tests of one case share what was compiled for it: they stay in one process
        metafunc.parametrize("case", cases, indirect=True, scope="module")


def examples(seed: int, classes: Sequence[int] = range(WAY), each: int = SHOT) -> Examples:
    """Of clusters around fixed centres, in random order; labelled by their place in `classes`."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(classes)), each))
    x = CENTRES[np.asarray(classes)[y]] + 0.5 * rng.normal(size=(len(y), INPUTS))
    return Examples(jnp.asarray(x, jnp.float32), jnp.asarray(y))


CENTRES = np.random.default_rng(0).normal(size=(TRAINING_CLASSES + 8, INPUTS))
SUPPORT, QUERIES = examples(0), np.asarray(examples(1, each=QUERY).x)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


class Prepared(Redrawn):
    """Each task is one of a table, so that sampling costs the compiler nothing."""

    table: Episode

    @staticmethod
    def of(tasks: list[Episode]) -> "Prepared":
        return Prepared(jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks))

    def sample(self, key, examples=None):
        number = jax.random.randint(key, (), 0, len(self.table.query.y))
        return jax.tree.map(lambda x: x[number], self.table)

    def protocol(self):
        return {"data": "clusters"}


def episodes(first: int, last: int, *, shuffled: bool = False) -> Prepared:
    """Classification of three of the clusters; support labels that are shuffled leave nothing
    to learn from."""

    def episode(seed: int) -> Episode:
        rng = np.random.default_rng(seed)
        classes = rng.choice(np.arange(first, last), WAY, replace=False)
        support, query = examples(2 * seed, classes), examples(2 * seed + 1, classes, QUERY)
        if shuffled:
            support = Examples(support.x, jnp.asarray(rng.permutation(support.y)))
        return Episode(support, query, LIKELIHOOD)

    return Prepared.of([episode(seed) for seed in range(60)])


def batches() -> Prepared:
    """Examples of all training classes, for learners that do not train on episodes."""

    def batch(seed: int) -> Episode:
        query = examples(seed, range(TRAINING_CLASSES), each=2)
        return Episode(Examples(query.x[:0], query.y[:0]), query, Categorical(TRAINING_CLASSES))

    return Prepared.of([batch(seed) for seed in range(60)])


def pairs() -> Prepared:
    """Of examples of one training class and of two, for learners that compare."""

    def task(seed: int) -> Episode:
        x, y = np.empty((2 * TRAINING_CLASSES, 2, INPUTS), np.float32), []
        rng = np.random.default_rng(seed)
        for i in range(len(x)):
            same = i % 2
            classes = rng.choice(TRAINING_CLASSES, 2, replace=False)
            centres = CENTRES[np.repeat(classes[0], 2) if same else classes]
            x[i] = centres + 0.5 * rng.normal(size=(2, INPUTS))
            y.append(same)
        query = Examples(jnp.asarray(x), jnp.asarray(y))
        return Episode(Examples(query.x[:0, 0], query.y[:0]), query, Categorical(2))

    return Prepared.of([task(seed) for seed in range(60)])


TRAINING_EPISODES = episodes(0, TRAINING_CLASSES)
TEST_EPISODES, SHUFFLED_EPISODES = (
    episodes(TRAINING_CLASSES, len(CENTRES), shuffled=shuffled) for shuffled in (False, True)
)
TRAINING = {"episodes": TRAINING_EPISODES, "batches": batches(), "pairs": pairs()}


class Case:
    """One learner, made for the problem, and what is compiled for it only once."""

    def __init__(self, settings: LearnerSettings):
        self.settings = settings
        self.training = TRAINING[settings.trains_on]
        with contextlib.suppress(UserError):  # raised by those that need episodes of real classes
            self.training = settings.grouped(self.training)
        self.traces: list[str] = []

    def build(self, way: int = WAY) -> Learner:
        problem = TaskSpec((INPUTS,), Categorical(way), TRAINING_CLASSES, description=(INPUTS,))
        return self.settings.build(problem, jax.random.key(0))

    @functools.cached_property
    def learner(self) -> Learner:
        """Settled, but not trained."""
        return eqx.filter_jit(self.settle)(self.build())

    def settle(self, learner: Learner) -> Learner:
        return learner.settle(self.training, key=jax.random.key(1))

    @property
    def parameters(self) -> list[jax.Array]:
        return jax.tree.leaves(eqx.filter(self.build(), eqx.is_inexact_array))

    @functools.cached_property
    def adapt(self) -> Callable:
        @eqx.filter_jit
        def adapt(learner, support, key):
            self.traces.append("adapt")
            return learner.adapt(support, LIKELIHOOD, key=key)

        return adapt

    @functools.cached_property
    def apply(self) -> Callable:
        @eqx.filter_jit
        def apply(predictor, x):
            self.traces.append("apply")
            return predictor(x)

        return apply

    def predict(self, support: Examples, x: Any, learner: Learner | None = None) -> np.ndarray:
        learner = self.learner if learner is None else learner
        predictor = self.adapt(learner, support, jax.random.key(2))
        return np.asarray(self.apply(predictor, jnp.asarray(x, jnp.float32)))


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_the_page_of_methods_says_what_each_learner_promises():
    lines = (Path(__file__).parents[2] / "docs/methods/README.md").read_text().splitlines()
    table = lines[lines.index("## What a learner promises") :]
    cells = [line.strip("|").split("|") for line in table if line.startswith("| `")]
    said = {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in cells}
    for name in LEARNERS:
        _, settings = next(variants(name))
        learner = eqx.filter_eval_shape(Case(settings).build)
        promises = (
            *(learner.order_matters, not learner.labels_are_names),
            *(learner.absent_last, learner.uses_unlabelled),
        )
        assert said[name] == ["yes" if holds else "no" for holds in promises], name


def test_predictions_have_one_row_a_query_and_one_number_a_class(case: Case):
    predictions = case.predict(SUPPORT, QUERIES)
    assert predictions.shape == (WAY * QUERY, WAY)
    assert np.isfinite(predictions).all()


def test_traces_once(case: Case):
    """Other values, and other parameters as a training step leaves them, reuse the program."""
    case.predict(SUPPORT, QUERIES)
    case.traces.clear()
    stepped = jax.tree.map(
        lambda p: p - 0.01 * jnp.ones_like(p) if eqx.is_inexact_array(p) else p, case.learner
    )
    case.predict(examples(2), 2 * QUERIES, stepped)
    assert case.traces == []


def test_a_batch_of_tasks_gives_what_each_gives_alone(case: Case):
    tasks = [(examples(seed), jnp.asarray(QUERIES + seed)) for seed in range(2)]
    keys = jax.random.split(jax.random.key(3), 2)

    def predict(support, x, key):
        return case.apply(case.adapt(case.learner, support, key), x)

    support, x = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks)
    together = eqx.filter_vmap(predict)(support, x, keys)
    for (s, q), key, found in zip(tasks, keys, together, strict=True):
        np.testing.assert_allclose(found, predict(s, q, key), **CLOSE)


def test_the_order_of_the_support_set_matters_only_where_the_learner_says_so(case: Case):
    order = np.random.default_rng(4).permutation(WAY * SHOT)
    turned = Examples(SUPPORT.x[order], SUPPORT.y[order])
    before, after = case.predict(SUPPORT, QUERIES), case.predict(turned, QUERIES)
    if case.learner.order_matters:
        assert np.max(np.abs(before - after)) > 1e-6
    else:
        np.testing.assert_allclose(after, before, **CLOSE)


RENAMED = np.asarray([2, 0, 1])


def renamed(support: Examples) -> Examples:
    """Class k is called RENAMED[k]."""
    return Examples(support.x, jnp.asarray(RENAMED)[support.y])


def test_labels_are_names_or_have_parameters_that_are_renamed_with_them(case: Case):
    """The parameters of labels are found by their shapes: those that a learner of one more class
    has more of. Along each such axis they are the last ones, as many for each label."""
    learner = case.learner if case.learner.labels_are_names else case.build()
    expected, found = (case.predict(x, QUERIES, learner) for x in (SUPPORT, renamed(SUPPORT)))
    if not learner.labels_are_names:
        assert np.max(np.abs(found[:, RENAMED] - expected)) > 1e-4
        if case.settings.name in (*BY_CHANCE, *IN_PLACES):
            pytest.skip("where its parameters of labels are is not told by their shapes")
        larger = jax.tree.leaves(eqx.filter_eval_shape(lambda: case.build(WAY + 1)))
        leaves, structure = jax.tree.flatten(learner)
        leaves = [with_renamed(*pair) for pair in zip(leaves, larger, strict=True)]
        found = case.predict(renamed(SUPPORT), QUERIES, jax.tree.unflatten(structure, leaves))
    np.testing.assert_allclose(found[:, RENAMED], expected, **CLOSE)


def with_renamed(own: Any, larger: Any) -> Any:
    """An array of a learner with those for class k in the places of those for RENAMED[k]."""
    if not eqx.is_array(own):
        return own
    for axis, (size, more) in enumerate(zip(own.shape, larger.shape, strict=True)):
        if (each := more - size) > 0:
            others = size - WAY * each
            places = np.arange(others, size).reshape(WAY, each)[np.argsort(RENAMED)]
            own = jnp.take(own, np.concatenate([np.arange(others), places.ravel()]), axis=axis)
    return own


def test_a_query_sees_the_others_if_and_only_if_the_learner_is_transductive(case: Case):
    others = QUERIES.copy()
    others[1:] = 3 * others[1:] + 1
    before, after = (case.predict(SUPPORT, x)[0] for x in (QUERIES, others))
    if case.learner.transductive:
        assert np.max(np.abs(before - after)) > 1e-3
    else:
        np.testing.assert_allclose(before, after, **CLOSE)


def test_a_learner_with_batch_normalisation_says_whose_statistics_it_takes(case: Case):
    is_network = lambda x: isinstance(x, Network)  # noqa: E731
    parts = jax.tree.leaves(case.learner, is_leaf=is_network)
    normalises = any(is_network(part) and part.normalises for part in parts)
    assert (case.learner.normalised_by is not None) == normalises


WITHOUT_CLASS_1 = Examples(SUPPORT.x, jnp.where(SUPPORT.y == 1, -1, SUPPORT.y))


def test_a_class_without_a_labelled_example_is_never_the_answer(case: Case):
    """It is 1 behind the last of the others, for each query; unless parameters give every class a
    logit, and the learner says so."""
    found = case.predict(WITHOUT_CLASS_1, QUERIES)
    assert np.isfinite(found).all()
    behind = np.abs(found[:, 1] - (found[:, [0, 2]].min(1) - 1))
    assert (behind.max() < 1e-4) == case.learner.absent_last


def test_a_class_without_a_labelled_example_has_a_loss_and_a_slope(case: Case):
    """Both are finite, whatever class the queries are of."""
    queries = examples(1, each=QUERY)
    task = Episode(WITHOUT_CLASS_1, queries, LIKELIHOOD)
    on_episodes = case.training is TRAINING_EPISODES

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(learner: Learner):
        if on_episodes:
            return learner.loss(task, key=jax.random.key(6))[0]
        return LIKELIHOOD.mean_loss(learner.predictions(task, key=jax.random.key(6)), queries.y)

    value, slope = loss(case.learner)
    assert np.isfinite(value)
    follows = case.settings.meta_gradient() == Backpropagation()
    if follows and on_episodes:  # others do not follow this slope
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_unlabelled_support_examples_count_only_where_the_learner_says_so(case: Case):
    hidden = np.asarray([1, 7, 8])  # those that are left end with another class
    y = SUPPORT.y.at[hidden].set(-1)
    a, b = (
        case.predict(Examples(SUPPORT.x.at[hidden].set(value), y), QUERIES) for value in (0.0, 7.0)
    )
    if case.learner.uses_unlabelled:
        assert np.max(np.abs(a - b)) > 1e-6
    else:
        np.testing.assert_allclose(a, b, **CLOSE)
    assert np.max(np.abs(a - case.predict(SUPPORT, QUERIES))) > 1e-4


def test_of_a_support_set_without_a_label_nothing_is_learned_but_from_its_inputs(case: Case):
    """All classes are alike where they are known by their examples."""
    found = case.predict(Examples(SUPPORT.x, jnp.full_like(SUPPORT.y, -1)), QUERIES)
    assert np.isfinite(found).all()
    if case.learner.absent_last:
        np.testing.assert_array_equal(found, np.zeros_like(found))


def test_the_meta_gradient_is_the_slope_of_the_meta_objective(case: Case):
    if not case.parameters:
        pytest.skip("nothing to train")
    if not case.learner.has_slope:
        pytest.skip("it says that its gradient is another; tests/oracles/ has each of them")
    task = case.training.sample(jax.random.key(0))
    with jax.enable_x64(True):
        trained, fixed = eqx.partition(eqx.filter_jit(case.build)(), eqx.is_inexact_array)
        task = jax.tree.map(
            lambda x: np.asarray(x, float) if eqx.is_inexact_array(x) else np.asarray(x), task
        )
        task = jax.tree.map(jnp.asarray, task)

        @jax.jit
        def slope(trained, direction, distance):
            moved = jax.tree.map(lambda p, d: p + distance * d, trained, direction)
            loss = lambda t: eqx.combine(t, fixed).loss(task, key=jax.random.key(6))[0]  # noqa: E731
            gradient, _ = Backpropagation().of_task(
                eqx.combine(trained, fixed), task, jax.random.key(6)
            )
            terms = jax.tree.map(
                lambda g, d: jnp.sum(g * d), eqx.filter(gradient, eqx.is_inexact_array), direction
            )
            return loss(moved), sum(jax.tree.leaves(terms))

        step = 1e-8 if case.settings.name in KINKED else 1e-6
        rng = np.random.default_rng(7)
        for _ in range(3):
            direction = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), trained)
            ahead, claimed = slope(trained, direction, step)
            behind, _ = slope(trained, direction, -step)
            assert claimed.dtype == np.float64
            np.testing.assert_allclose(claimed, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-7)


def test_trained_it_learns_from_labels_and_not_from_shuffled_ones(case: Case):
    if case.settings.name in SLOW:
        pytest.skip("it needs more steps than this test takes")
    learner = case.build()
    if case.parameters:
        learner = meta_train(
            learner,
            case.training,
            optax.adam(1e-2),
            steps=60,
            meta_batch=2,
            tasks_at_once=2,
            meta_gradient=case.settings.meta_gradient(),
        )
    accuracy, by_chance = (
        evaluate(learner, tasks, episodes=50).estimate("accuracy").mean
        for tasks in (TEST_EPISODES, SHUFFLED_EPISODES)
    )
    assert accuracy > 1 / WAY + 0.25
    assert accuracy > by_chance + 0.25


def test_saved_and_loaded_it_predicts_the_same(case: Case, tmp_path):
    path = tmp_path / "learner.qs"
    checkpoint.save(path, case.learner, {})
    blank = eqx.filter_eval_shape(lambda: case.settle(case.build()))
    loaded, _ = checkpoint.load(path, blank)
    np.testing.assert_array_equal(
        case.predict(SUPPORT, QUERIES, loaded), case.predict(SUPPORT, QUERIES)
    )


@pytest.mark.skipif(len(jax.devices()) < 2, reason="needs two devices")
def test_two_devices_give_the_gradient_of_one(case: Case):
    if not case.parameters:
        pytest.skip("nothing to train")
    one, two = (
        meta_train(
            case.build(),
            case.training,
            optax.sgd(1.0),
            steps=1,
            meta_batch=4,
            devices=devices,
            meta_gradient=case.settings.meta_gradient(),
        )
        for devices in (1, 2)
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
