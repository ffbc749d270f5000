"""Rows on Penn Treebank."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.experiments.published.recipe import Budget, Figure, Recipe
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import MatchingNetSettings, ProtoNetSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings


def matching_penn_treebank(budget: Budget) -> Recipe:
    """One-shot language modelling: which word is blanked out; the same on either budget."""
    steps = 3000
    tasks = TaskSettings(tasks="penn-treebank", query=1, train_way=100, train_query=1)
    training = TrainingSettings(
        steps=steps, decay="cosine", validate_every=steps // 20, validation_episodes=1000
    )
    published = (32.4, 36.1, 38.2)
    rows: dict[str, tuple[LearnerSettings, tuple[float | None, ...]]] = {
        "learned scale": (MatchingNetSettings(), published),
        "scale 1, as published": (MatchingNetSettings(scale=1.0), published),
        "full context": (MatchingNetSettings(full_context=True), (None,) * 3),
        "prototypical networks": (ProtoNetSettings(), (None,) * 3),
    }
    return Recipe(
        "One-shot language modelling on Penn Treebank: matching networks, 5 words",
        "Vinyals et al. 2016, section 4.1.3",
        tuple(
            Figure(
                f"{label}, {k} sentence{'s' if k > 1 else ''} a word",
                RunSettings(learner, tasks, training),
                replace(tasks, shot=k),
                p,
                episodes=10_000,
            )
            for label, (learner, of_paper) in rows.items()
            for k, p in zip((1, 2, 3), of_paper, strict=True)
        ),
        "10 words on each side of the blank instead of whole sentences, and a layer over them "
        f"instead of LSTMs; one model for all columns, trained {tasks.train_way}-way with 1 "
        f"sentence a word for {steps:,} episodes instead of 5-way with as many as at test; 1,000 "
        "of the paper's 9,000 training words are for validation; one query a word",
    )
