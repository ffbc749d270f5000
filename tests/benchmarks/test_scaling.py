"""The model on paper, at the ends where it is plain."""

import equinox as eqx
import jax
import pytest

from benchmarks.cases import FILTERS, PICTURE
from benchmarks.scaling import LINKS, META_BATCH, Link, efficiency, on_paper, parameters, speed_up
from quickstudy.networks import Conv4, WithHead


def test_the_gradient_has_as_many_numbers_as_the_network():
    def network():
        key = jax.random.key(0)
        return WithHead(Conv4(PICTURE, filters=FILTERS, stride=2, key=key), 5, key=key)

    leaves = jax.tree.leaves(eqx.filter_eval_shape(network))
    assert parameters() == sum(leaf.size for leaf in leaves)


def test_one_device_waits_for_nobody():
    for link in LINKS:
        assert on_paper(link, 1, 10**6) == 0
        assert efficiency(0.1, link, 1) == 1
        assert speed_up(0.1, link, 1) == 1


def test_a_ring_moves_almost_twice_the_gradient_whatever_its_length():
    slow = Link("slow", 1e6, 0.0)
    assert on_paper(slow, 2, 10**6) == pytest.approx(1.0)
    assert on_paper(slow, 1000, 10**6) == pytest.approx(2.0, rel=0.01)


def test_more_devices_than_tasks_gain_nothing():
    fast = Link("fast", 1e12, 0.0)
    assert speed_up(0.1, fast, META_BATCH) == pytest.approx(META_BATCH, rel=0.01)
    assert speed_up(0.1, fast, 2 * META_BATCH) <= speed_up(0.1, fast, META_BATCH)
