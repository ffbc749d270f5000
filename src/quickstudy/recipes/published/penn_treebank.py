"""Rows on Penn Treebank."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.recipes.learners.metric import MatchingNet
from quickstudy.recipes.published.recipe import Budget, Figure, Recipe
from quickstudy.recipes.settings import RunSettings, TaskSettings, TrainingSettings


def matching_penn_treebank(budget: Budget) -> Recipe:
    """One-shot language modelling: matching networks name the word that is blanked out."""
    steps = 20_000
    tasks = TaskSettings(tasks="penn-treebank", query=1, train_way=20, train_shot=1, train_query=1)
    training = TrainingSettings(
        steps=steps, decay="cosine", validate_every=steps // 20, validation_episodes=1000
    )
    run = RunSettings(MatchingNet(), tasks, training)
    return Recipe(
        "One-shot language modelling on Penn Treebank: matching networks, 5 words, 1 query each",
        "Vinyals et al. 2016, section 4.1.3",
        tuple(
            Figure(f"{k} sentence{'s' if k > 1 else ''} a word", run, replace(tasks, shot=k), p)
            for k, p in ((1, 32.4), (2, 36.1), (3, 38.2))
        ),
    )
