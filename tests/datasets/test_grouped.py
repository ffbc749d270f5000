import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quickstudy.datasets.grouped import Grouped, standardise

quick = settings(max_examples=40, deadline=None)
labels = st.lists(st.integers(0, 12), min_size=1, max_size=40)


def rows(grouped: Grouped, c: int) -> list[int]:
    start = grouped.first[c]
    return grouped.x[start : start + grouped.count[c], 0].tolist()


@quick
@given(labels)
def test_from_labels_keeps_every_example_under_its_label(labels: list[int]):
    x = np.arange(len(labels))[:, None]
    grouped = Grouped.from_labels(x, labels)
    assert grouped.names == tuple(str(label) for label in sorted(set(labels)))
    assert grouped.first.dtype == grouped.count.dtype == np.int32
    for c, name in enumerate(grouped.names):
        assert rows(grouped, c) == [i for i, label in enumerate(labels) if str(label) == name]


@quick
@given(labels, st.data())
def test_select_takes_classes_in_the_order_asked(labels: list[int], data: st.DataObject):
    grouped = Grouped.from_labels(np.arange(len(labels))[:, None], labels)
    chosen = data.draw(st.lists(st.integers(0, grouped.classes - 1), unique=True))
    part = grouped.select(chosen)
    assert part.names == tuple(grouped.names[c] for c in chosen)
    assert len(part.x) == part.count.sum()
    assert [rows(part, i) for i in range(part.classes)] == [rows(grouped, c) for c in chosen]


def test_named_takes_classes_in_the_order_asked():
    grouped = Grouped.from_labels(np.arange(6)[:, None], ["ant", "bee", "cat"] * 2)
    part = grouped.named(["cat", "ant"])
    assert part.names == ("cat", "ant")
    assert [rows(part, c) for c in range(2)] == [[2, 5], [0, 3]]


HARDLY_VARIES = np.zeros((12, 3), np.float32)
HARDLY_VARIES[0, 0], HARDLY_VARIES[-1, 0] = 1.2e-38, 2.0


@quick
@example(HARDLY_VARIES)
@given(arrays(np.float32, (12, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_standardise_by_the_training_split(x: np.ndarray):
    everything = Grouped.from_labels(x, np.repeat(np.arange(6), 2))
    parts = {"train": everything.select([4, 0, 3]), "test": everything.select([1, 5])}
    scaled = standardise(parts)
    train = scaled["train"].x
    assert train.dtype == np.float32
    assert all(np.isfinite(part.x).all() for part in scaled.values())
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-3)
    deviation = train.std(axis=0)
    constant = np.ptp(parts["train"].x, axis=0) == 0
    assert np.all(deviation[constant] < 1e-6)
    wide = np.ptp(parts["train"].x, axis=0) > 1e-3 * np.abs(parts["train"].x).max(axis=0)
    np.testing.assert_allclose(deviation[wide], 1, atol=1e-3)
    assert scaled["test"].names == parts["test"].names
