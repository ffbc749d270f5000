"""Lake's one-shot runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from quickstudy.data.kind import Made
from quickstudy.datasets import cache, omniglot


class LakeRuns(Made):
    """20 fixed tasks of 20 characters of one alphabet each (Lake et al. 2015)."""

    name: ClassVar[str] = "lake-runs"
    downloads: ClassVar[bool] = True
    about: ClassVar[str] = "Lake's 20 one-shot runs on Omniglot, to test on alone"
    test_only: ClassVar[bool] = True
    is_bytes: ClassVar[bool] = True
    family: ClassVar[str] = "omniglot"

    def episodes(self, part: str, way: int, shot: int, query: int):
        """Give the 20 runs, whatever the numbers."""
        import jax.numpy as jnp

        from quickstudy.likelihood import Categorical
        from quickstudy.task import Episode, Examples, FixedTasks
        from quickstudy.tasks.arrays import shares

        runs, x = omniglot.lake_runs(), omniglot.load(self.options.image_size).grouped.x
        ways = runs.train.shape[1]
        support = Examples(
            shares(jnp.asarray(x[runs.train])), jnp.tile(jnp.arange(ways), (len(runs.train), 1))
        )
        query_set = Examples(shares(jnp.asarray(x[runs.test])), jnp.asarray(runs.label))
        words = {"data": "lake-runs", "way": ways, "shot": 1, "queries per class": 1}
        return FixedTasks(
            Episode(support, query_set, Categorical(ways)),
            (*words.items(), ("within", "one group")),
        )

    def names(self, part: str) -> Sequence[str]:
        names = omniglot.load(self.options.image_size).grouped.names
        rows = omniglot.lake_runs().test.ravel()
        return sorted({names[row // omniglot.DRAWINGS] for row in rows})

    @classmethod
    def find(cls) -> str:
        return str(cache.find("lake-runs.npz") or "not here; quickstudy data lake-runs gets it")

    @classmethod
    def fetch(cls, image_size: int) -> list[str]:
        runs = omniglot.lake_runs()
        return [f"lake-runs: {len(runs.test)} runs of {runs.test.shape[1]} characters each"]
