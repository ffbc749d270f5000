"""Sine curves."""

from __future__ import annotations

from typing import ClassVar

from quickstudy.data.kind import Functions


class SineCurves(Functions):
    """A sine curve an episode."""

    name: ClassVar[str] = "sinusoid"
    about: ClassVar[str] = "sine curves of random amplitude and phase (Finn et al. 2017)"

    def episodes(self, part: str, way: int, shot: int, query: int):
        from quickstudy.tasks.sinusoid import Sinusoid

        return Sinusoid(shot, query)
