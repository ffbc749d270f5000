"""Episodes whose classes belong to one group, such as the characters of an alphabet: harder than
classes of different groups."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from quickstudy.tasks.few_shot import Draw
from quickstudy.tasks.source import distinct


class Division(eqx.Module):
    """Classes divided into groups.

    >>> division = Division.of(["Greek", "Latin", "Greek", "Latin", "Latin"], at_least=3)
    >>> sorted(division.choose(key, 3).tolist())  # Greek is too small
    [1, 3, 4]
    """

    members: Int[Array, " classes"]
    """Group by group."""
    first: Int[Array, " groups"]
    """The index in `members` at which each group begins …"""
    size: Int[Array, " groups"]
    """… and the size of each group."""

    @staticmethod
    def of(group_of: Sequence[str], at_least: int = 1) -> "Division":
        """Divide classes by the name of their group; groups smaller than `at_least` are left out.

        Raises `ValueError` where that leaves none.
        """
        _, group, size = np.unique(np.asarray(group_of), return_inverse=True, return_counts=True)
        enough = size >= at_least
        if not enough.any():
            raise ValueError(f"no group has {at_least} classes; the largest has {size.max()}")
        members = np.argsort(group, kind="stable")
        first = np.cumsum(size) - size
        return Division(jnp.asarray(members), jnp.asarray(first[enough]), jnp.asarray(size[enough]))

    def choose(self, key: PRNGKeyArray, count: int) -> Int[Array, " count"]:
        """Draw `count` distinct classes of one group, in random order; all groups are equally
        likely. No group may be smaller than `count`, which is not checked."""
        for_group, for_classes = jax.random.split(key)
        group = jax.random.randint(for_group, (), 0, len(self.size))
        return self.members[self.first[group] + distinct(for_classes, self.size[group], count)]


class OneHand(Draw):
    """Episodes within one group, as in Lake et al. (2011; 2015): characters of one alphabet, the
    support set drawn by some people and the queries by others.

    All classes of an episode draw the same example numbers. On Omniglot, example d of each class
    comes from drawer d, so each shot, and each query, comes from one person. Where classes have
    different numbers of examples this has no meaning.

    >>> division = Division.of(alphabets, at_least=20)
    >>> FewShot(source, 20, 1, 1, OneHand(division)).sample(key).query.y.shape
    (20,)
    """

    division: Division

    def classes(self, key, tasks):
        choose, examples = jax.random.split(key)
        return self.division.choose(choose, tasks.way), examples

    def example_keys(self, examples, classes, tasks):
        return jnp.broadcast_to(examples, (tasks.way,))

    def protocol(self) -> dict[str, Any]:
        return {"within": "one group"}
