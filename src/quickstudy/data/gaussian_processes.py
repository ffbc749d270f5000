"""Draws from Gaussian processes."""

from __future__ import annotations

from typing import ClassVar

from quickstudy.data.kind import Functions


class RandomGaussianProcesses(Functions):
    """A draw from a Gaussian process an episode, each with a kernel of its own."""

    name: ClassVar[str] = "gaussian-processes"
    about: ClassVar[str] = "draws from Gaussian processes with random kernels (Kim et al. 2019)"

    def episodes(self, part: str, way: int, shot: int, query: int):
        from quickstudy.tasks.gaussian_processes import GaussianProcesses

        return GaussianProcesses(shot, query)


class FixedGaussianProcess(Functions):
    """A draw from one Gaussian process an episode."""

    name: ClassVar[str] = "fixed-gaussian-process"
    about: ClassVar[str] = "draws from one Gaussian process (Garnelo et al. 2018)"

    def episodes(self, part: str, way: int, shot: int, query: int):
        from quickstudy.tasks.gaussian_processes import fixed_gaussian_process

        return fixed_gaussian_process(shot, query)
