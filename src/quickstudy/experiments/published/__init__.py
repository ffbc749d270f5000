"""Rows of published tables as data, and what it takes to measure ours beside them.

A recipe has two budgets: `full`, the published protocol, and `cpu`, which trains for less so
that two processor cores reach a figure within the hour. Results say which.
"""

from __future__ import annotations

from quickstudy.experiments.published.comparing import (
    arc_omniglot,
    siamese_koch,
    siamese_omniglot,
)
from quickstudy.experiments.published.glyphs import zero_shot_glyphs
from quickstudy.experiments.published.gradient import (
    fixed_labels_omniglot,
    gradient_omniglot,
    maml_omniglot,
    meta_lstm_omniglot,
    reptile_omniglot,
)
from quickstudy.experiments.published.graph import (
    gnn_active_omniglot,
    gnn_asking_omniglot,
    gnn_omniglot,
    gnn_semi_omniglot,
)
from quickstudy.experiments.published.memory import mann_omniglot
from quickstudy.experiments.published.omniglot import (
    baselines_omniglot,
    finetune_omniglot,
    matching_omniglot,
    metric_omniglot,
    pixels_omniglot,
    protonet_glyphs_to_omniglot,
    protonet_omniglot,
)
from quickstudy.experiments.published.penn_treebank import matching_penn_treebank
from quickstudy.experiments.published.processes import cnp_omniglot, statistician_omniglot
from quickstudy.experiments.published.reading import (
    memory_module_omniglot,
    meta_networks_omniglot,
    snail_omniglot,
)
from quickstudy.experiments.published.recipe import Budget, Recipe
from quickstudy.experiments.published.sinusoid import (
    gradient_sinusoid,
    maml_sinusoid,
    metasgd_sinusoid,
    pretrained_sinusoid,
)


def weights_mnist(budget: Budget) -> Recipe:
    """MNIST with 40 % of its training labels wrong: learned example weights."""
    from quickstudy.experiments.example_weights import recipe

    return recipe()


def augmentation_mnist(budget: Budget) -> Recipe:
    """MNIST with 1,000 training images: augmentation of a learned strength."""
    from quickstudy.experiments.augmentation import recipe

    return recipe()


RECIPES = {
    "pixels-omniglot": pixels_omniglot,
    "finetune-omniglot": finetune_omniglot,
    "baselines-omniglot": baselines_omniglot,
    "matching-omniglot": matching_omniglot,
    "matching-penn-treebank": matching_penn_treebank,
    "protonet-omniglot": protonet_omniglot,
    "protonet-glyphs-to-omniglot": protonet_glyphs_to_omniglot,
    "siamese-omniglot": siamese_omniglot,
    "siamese-koch": siamese_koch,
    "arc-omniglot": arc_omniglot,
    "gnn-omniglot": gnn_omniglot,
    "gnn-semi-omniglot": gnn_semi_omniglot,
    "gnn-active-omniglot": gnn_active_omniglot,
    "gnn-asking-omniglot": gnn_asking_omniglot,
    "mann-omniglot": mann_omniglot,
    "cnp-omniglot": cnp_omniglot,
    "statistician-omniglot": statistician_omniglot,
    "snail-omniglot": snail_omniglot,
    "memory-module-omniglot": memory_module_omniglot,
    "meta-networks-omniglot": meta_networks_omniglot,
    "maml-omniglot": maml_omniglot,
    "reptile-omniglot": reptile_omniglot,
    "maml-sinusoid": maml_sinusoid,
    "metasgd-sinusoid": metasgd_sinusoid,
    "gradient-omniglot": gradient_omniglot,
    "meta-lstm-omniglot": meta_lstm_omniglot,
    "metric-omniglot": metric_omniglot,
    "zero-shot-glyphs": zero_shot_glyphs,
    "fixed-labels-omniglot": fixed_labels_omniglot,
    "gradient-sinusoid": gradient_sinusoid,
    "pretrained-sinusoid": pretrained_sinusoid,
    "weights-mnist": weights_mnist,
    "augmentation-mnist": augmentation_mnist,
}
