"""quickstudy list: what there is by name."""

from __future__ import annotations

from quickstudy.cli import show
from quickstudy.recipes.optimizers import OPTIMIZERS
from quickstudy.recipes.published import EXPERIMENTS, RECIPES
from quickstudy.recipes.registry import LEARNERS
from quickstudy.recipes.studies.registry import STUDIES

TASKS = {
    "glyphs": "procedural characters without end; nothing to download",
    "omniglot": "1,623 handwritten characters of 50 alphabets (Lake et al. 2015)",
    "sinusoid": "sine curves of random amplitude and phase (Finn et al. 2017)",
    "gaussian-processes": "draws from Gaussian processes with random kernels (Kim et al. 2019)",
    "fixed-gaussian-process": "draws from one Gaussian process (Garnelo et al. 2018)",
    "mnist-completion": "pictures as functions of the place, of which some pixels are told",
    "synthetic-tables": "tables with a label, each from a random mechanism of its own",
    "penn-treebank": "words as classes: which word is blanked out (Vinyals et al. 2016)",
    "folder:PATH": "your own images: a sub-folder for each class",
    "npz:PATH": "your own arrays x and y",
    "table:PATH": "your own rows: a CSV or Parquet table with a label column",
    "packed:FOLDER": "your own images beyond memory, as quickstudy data folder:PATH packs them",
}

PROBLEMS = {
    "quadratics": "random quadratics (Andrychowicz et al. 2016)",
    "mnist": "networks that classify MNIST: any width, depth, units; convolutions",
    "cifar10": "the same on CIFAR-10",
    "logistic": "logistic regression on random data",
    "ackley": "a classical test function; so are rastrigin, rosenbrock and styblinski",
    "several": "quadratics, logistic regression, styblinski and two networks, at once",
    "FILE.py": "your own, see docs/methods/learned-optimizers.md",
}


def first_line(thing: object) -> str:
    """Of its docstring."""
    return (thing.__doc__ or "").strip().splitlines()[0]


def run(words: list[str]) -> int:
    """The command."""
    show.table("learners", ["name", ""], [[n, first_line(s)] for n, s in LEARNERS.items()])
    optimizers = [[n, first_line(s)] for n, s in OPTIMIZERS.items()]
    show.table("learned optimisers", ["name", ""], optimizers)
    show.table("tasks", ["name", ""], [list(item) for item in TASKS.items()])
    show.table("problems", ["name", ""], [list(item) for item in PROBLEMS.items()])
    recipes = {**RECIPES, **EXPERIMENTS}
    show.table("recipes", ["name", ""], [[n, first_line(r)] for n, r in recipes.items()])
    show.table("studies", ["name", ""], [list(item) for item in STUDIES.items()])
    return 0
