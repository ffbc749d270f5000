"""Rows of published tables as data, and what it takes to measure ours beside them.

A recipe has two budgets: `full`, the published protocol, and `cpu`, which trains for less so
that two processor cores reach a figure within the hour. Results say which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from quickstudy.recipes.learners.baseline import FineTuning, Pixels
from quickstudy.recipes.learners.gradient import (
    ANIL,
    BOIL,
    CAVIA,
    MAML,
    TAML,
    MAMLPlusPlus,
    MetaSGD,
    MTNet,
    Reptile,
)
from quickstudy.recipes.learners.gradient_estimates import EvolutionMAML, ImplicitMAML
from quickstudy.recipes.learners.metric import ProtoNet
from quickstudy.recipes.settings import (
    LearnerSettings,
    NetworkSettings,
    RunSettings,
    TaskSettings,
    TrainingSettings,
)

Budget = Literal["cpu", "full"]


@dataclass(frozen=True)
class Figure:
    """One cell of a table."""

    label: str
    """5-way 1-shot, after 5 steps …"""
    run: RunSettings
    """How the learner is trained; figures with equal settings share one run."""
    test: TaskSettings
    """What it is tested on: way, shot and query count; part `test`."""
    published: float | None
    """In percent for accuracies; None where the paper has no such figure."""
    options: tuple[tuple[str, Any], ...] = ()
    """Options of the learner at test, say its inner steps."""
    episodes: int = 1000


@dataclass(frozen=True)
class Recipe:
    """One row."""

    title: str
    source: str
    """Paper and table."""
    figures: tuple[Figure, ...]
    differences: str = ""
    """Where this budget's protocol is not the published one."""
    paired: bool = False
    """Whether figures are methods on the same episodes, to be compared with the first."""


OMNIGLOT = TaskSettings(tasks="omniglot", split="vinyals", rotations="classes")

COLUMNS = ((5, 1), (5, 5), (20, 1), (20, 5))


def omniglot_test(way: int, shot: int, budget: Budget, *, query: int = 15) -> TaskSettings:
    """Episodes to test on: with fewer queries at 20-way on the small budget."""
    query = min(query, 5) if way > 5 and budget == "cpu" else query
    return replace(OMNIGLOT, way=way, shot=shot, query=query)


FEWER_QUERIES = "5 queries a class instead of 15 at 20-way"


def pixels_omniglot(budget: Budget) -> Recipe:
    """Nearest neighbour on raw pixels."""
    run = RunSettings(Pixels("cosine", invert=True), OMNIGLOT)
    published = (41.7, 63.2, 26.7, 42.6)
    return Recipe(
        "Nearest neighbour on raw pixels, cosine",
        "Vinyals et al. 2016, table 1 (pixels, cosine)",
        tuple(
            Figure(f"{w}-way {s}-shot", run, replace(OMNIGLOT, way=w, shot=s, query=15), p)
            for (w, s), p in zip(COLUMNS, published, strict=True)
        ),
        "the vinyals split's 423 test characters; 28 × 28 images resampled with antialiasing",
    )


def finetune_omniglot(budget: Budget) -> Recipe:
    """A classifier of all training classes, its last layer tuned on the support set."""
    steps = 4000 if budget == "cpu" else 40000
    training = TrainingSettings(
        steps=steps,
        decay="cosine",
        validate_every=steps // 4,
        validation_episodes=100,
    )
    run = RunSettings(FineTuning(), replace(OMNIGLOT, train_query=128), training)
    published = (86.0, 97.6, 72.9, 92.3)
    return Recipe(
        "Fine-tuning: softmax classifier of the training classes, new last layer",
        "Vinyals et al. 2016, table 1 (baseline classifier, softmax, fine-tuned)",
        tuple(
            Figure(f"{w}-way {s}-shot", run, omniglot_test(w, s, budget), p)
            for (w, s), p in zip(COLUMNS, published, strict=True)
        ),
        "the last layer alone is tuned"
        + (f"; {steps} steps of 128; {FEWER_QUERIES}" if budget == "cpu" else ""),
    )


def protonet_omniglot(budget: Budget) -> Recipe:
    """Prototypical networks, one trained model per shot."""

    def run(shot: int) -> RunSettings:
        if budget == "full":
            tasks = replace(OMNIGLOT, shot=shot, train_way=60, train_query=5)
            training = TrainingSettings(
                steps=30000, decay="halve", halve_every=2000, validate_every=500
            )
        else:  # one model serves both shots
            tasks = replace(OMNIGLOT, train_way=40, train_query=2)
            training = TrainingSettings(
                steps=10000,
                decay="halve",
                halve_every=2000,
                validate_every=1000,
                validation_episodes=100,
            )
        return RunSettings(ProtoNet(), tasks, training)

    published = (98.8, 99.7, 96.0, 98.9)
    return Recipe(
        "Prototypical networks, squared Euclidean",
        "Snell et al. 2017, table 1",
        tuple(
            Figure(f"{w}-way {s}-shot", run(s), omniglot_test(w, s, budget), p)
            for (w, s), p in zip(COLUMNS, published, strict=True)
        ),
        "not retrained on training and validation classes together"
        if budget == "full"
        else "one model for both shots, trained 40-way 1-shot with 2 queries a class for 10,000 "
        "episodes, instead of one for each shot, 60-way with 5 (on validation classes it did "
        "better at 5-shot than a model trained with 5 shots for 2,400 episodes); "
        f"{FEWER_QUERIES}",
    )


def protonet_glyphs_to_omniglot(budget: Budget) -> Recipe:
    """Trained on glyphs alone, tested on real characters."""
    steps = 1200 if budget == "cpu" else 20000
    run = RunSettings(
        ProtoNet(),
        TaskSettings(tasks="glyphs", train_way=40, train_query=2),
        TrainingSettings(
            steps=steps,
            decay="halve",
            halve_every=steps // 5,
            validate_every=steps // 4,
            validation_episodes=100,
        ),
    )
    return Recipe(
        "Prototypical networks trained on glyphs alone, tested on Omniglot",
        "no published figure; the aim was 93 % at 5-way 1-shot",
        tuple(
            Figure(f"{w}-way {s}-shot", run, omniglot_test(w, s, budget), None)
            for w, s in COLUMNS[::2]
        ),
    )


def maml_omniglot(budget: Budget) -> Recipe:
    """MAML, second order, stride-2 conv4."""
    split = replace(OMNIGLOT, split="maml", rotations="episode")

    def figure(way: int, shot: int, published: float) -> Figure:
        five = way == 5
        tasks = replace(
            split, way=way, shot=shot, query=15, train_way=way, train_shot=shot, train_query=shot
        )
        training = TrainingSettings(
            steps=6500 if budget == "cpu" else 60000,
            meta_batch=32 if five else 16,
            validate_every=1000,
            validation_episodes=200,
        )
        if budget == "cpu":
            tasks = replace(tasks, train_query=5)
            training = replace(training, meta_batch=16, decay="cosine")
        learner = MAML(
            network=NetworkSettings("conv4-stride"),
            inner_rate=0.4 if five else 0.1,
            inner_steps=1 if five else 5,
            test_steps=3 if five else 5,
        )
        return Figure(
            f"{way}-way {shot}-shot",
            RunSettings(learner, tasks, training),
            replace(split, way=way, shot=shot, query=15),
            published,
        )

    columns = COLUMNS if budget == "full" else COLUMNS[:1]
    return Recipe(
        "MAML, second order, transductive batch norm",
        "Finn et al. 2017, table 1",
        tuple(
            figure(w, s, p) for (w, s), p in zip(columns, (98.7, 99.9, 95.8, 98.9), strict=False)
        ),
        "15 queries a class at test"
        + (
            ""
            if budget == "full"
            else "; 6,500 meta-steps of 16 tasks with 5 queries a class and a cosine decay, "
            "instead of 60,000 of 32 with 1; 5-way 1-shot alone"
        ),
    )


def maml_sinusoid(budget: Budget) -> Recipe:
    """MAML on sine curves: the full protocol on either budget."""
    run = RunSettings(
        MAML(inner_steps=1, test_steps=5),
        TaskSettings(tasks="sinusoid", shot=5, query=100, train_shot=5, train_query=10),
        TrainingSettings(steps=70000, meta_batch=25, validate_every=2000, validation_episodes=500),
    )
    return Recipe(
        "MAML on the sinusoid, 5-shot, mean squared error",
        "Finn et al. 2017, section 5.1 and figure 3",
        tuple(
            Figure(
                f"after {n} step{'s' if n > 1 else ''}",
                run,
                run.tasks,
                p,
                options=(("test_steps", n),),
                episodes=10_000,  # a few tasks have large errors, so a mean needs many
            )
            for n, p in ((1, 0.67), (5, 0.38), (10, 0.35))
        ),
        "trained with 5 support points, as tested; 10,000 test tasks instead of 600",
    )


def metasgd_sinusoid(budget: Budget) -> Recipe:
    """Meta-SGD on sine curves, trained with as many points as it is tested with."""
    steps = 10_000 if budget == "cpu" else 60_000

    def run(shot: int) -> RunSettings:
        return RunSettings(
            MetaSGD(),
            TaskSettings(tasks="sinusoid", shot=shot, query=100, train_query=10),
            TrainingSettings(
                steps=steps, meta_batch=4, validate_every=steps // 10, validation_episodes=500
            ),
        )

    return Recipe(
        "Meta-SGD on the sinusoid, mean squared error after 1 step",
        "Li et al. 2017, table 1",
        tuple(
            Figure(f"{shot}-shot", run(shot), run(shot).tasks, published, episodes=10_000)
            for shot, published in ((5, 0.90), (10, 0.53))
        ),
        "10,000 test tasks instead of 100" + ("; 10,000 meta-steps" if budget == "cpu" else ""),
    )


def same_budget(
    learners: dict[str, LearnerSettings], tasks: TaskSettings, steps: int, **training: Any
) -> tuple[Figure, ...]:
    """One figure a method, each trained for as many meta-steps of as many tasks from the same
    distribution, and tested on the same episodes. Reptile's meta-steps are its own, and a group
    of TAML counts for its tasks."""
    common = TrainingSettings(steps=steps, validate_every=steps // 4, **training)
    meta_batch = training["meta_batch"]

    def training_of(learner: LearnerSettings) -> TrainingSettings:
        if isinstance(learner, Reptile):
            return replace(common, decay=None)
        if isinstance(learner, TAML) and learner.measure != "entropy":
            return replace(common, meta_batch=meta_batch // learner.group)
        return common

    return tuple(
        Figure(label, RunSettings(learner, tasks, training_of(learner)), tasks, None)
        for label, learner in learners.items()
    )


def gradient_omniglot(budget: Budget) -> Recipe:
    """Every gradient-based method on the same small budget, whatever the budget."""
    network = NetworkSettings("conv4-stride", filters=32)
    tasks = replace(
        OMNIGLOT, split="maml", rotations="episode", way=5, shot=1, query=15, train_query=5
    )
    learners: dict[str, LearnerSettings] = {
        "MAML": MAML(network),
        "first-order MAML": MAML(network, first_order=True),
        "ANIL": ANIL(network),
        "BOIL": BOIL(network),
        "Meta-SGD": MetaSGD(network),
        "MAML++": MAMLPlusPlus(network, annealing=200),
        "CAVIA": CAVIA(network),
        "T-net": MTNet(network, masks=False),
        "MT-net": MTNet(network),
        "TAML, entropy": TAML(network),
        "TAML, Theil": TAML(network, measure="theil"),
        "Reptile": Reptile(network),
        "iMAML": ImplicitMAML(network),
    }
    adapted = same_budget(
        learners, tasks, 1500, meta_batch=8, decay="cosine", validation_episodes=200
    )
    tuned = RunSettings(
        FineTuning(network),
        replace(tasks, train_query=128),
        replace(adapted[0].run.training, meta_batch=1),
    )
    return Recipe(
        "Gradient-based methods on one small budget, Omniglot 5-way 1-shot",
        "no published table: a comparison on the same training and test episodes",
        (*adapted, Figure("fine-tuning", tuned, tasks, None)),
        "conv4 with stride 2 and 32 filters; 1,500 meta-steps of 8 tasks with 5 queries a class "
        "for every method, where papers take 30,000 to 100,000 of up to 32; MAML++ takes 5 inner "
        "steps, Reptile 3, CAVIA 2, iMAML 16, the others 1; Reptile trains on support and query "
        "sets together; fine-tuning trains a classifier on 1,500 batches of 128",
        paired=True,
    )


def fixed_labels_omniglot(budget: Budget) -> Recipe:
    """MAML where each class has one label for good, and where labels are drawn anew."""
    tasks = replace(
        OMNIGLOT, split="maml", rotations="episode", way=20, shot=1, query=5, train_query=2
    )
    training = TrainingSettings(
        steps=1500 if budget == "cpu" else 60000,
        meta_batch=4 if budget == "cpu" else 16,
        validate_every=500,
        validation_episodes=50,
    )
    filters = 32 if budget == "cpu" else 64
    learner = MAML(
        NetworkSettings("conv4-stride", filters=filters),
        inner_rate=0.1,
        inner_steps=1 if budget == "cpu" else 5,
        test_steps=5,
    )

    def figure(label: str, fixed: bool, published: float) -> Figure:
        of = replace(tasks, fixed_labels=fixed)
        return Figure(label, RunSettings(learner, of, training), of, published, episodes=600)

    return Recipe(
        "MAML with fixed labels: tasks that are not mutually exclusive, Omniglot 20-way 1-shot",
        "Yin et al. 2020, table 4 (7.8 %); Finn et al. 2017, table 1 (95.8 %)",
        (figure("fixed labels", True, 7.8), figure("labels drawn anew", False, 95.8)),
        ""
        if budget == "full"
        else "1,500 meta-steps of 4 tasks, 32 filters, 1 inner step in training and 5 at test",
    )


def gradient_sinusoid(budget: Budget) -> Recipe:
    """The gradient-based methods but MAML++ on sine curves, trained and tested with 10 points."""
    steps = 10_000 if budget == "cpu" else 60_000
    tasks = TaskSettings(tasks="sinusoid", shot=10, query=100, train_shot=10, train_query=10)
    learners: dict[str, LearnerSettings] = {
        "MAML": MAML(),
        "first-order MAML": MAML(first_order=True),
        "ANIL": ANIL(),
        "BOIL": BOIL(),
        "Meta-SGD": MetaSGD(),
        "CAVIA": CAVIA(inner_steps=1),
        "T-net": MTNet(masks=False),
        "MT-net": MTNet(),
        "TAML, Theil": TAML(measure="theil"),
        "Reptile": Reptile(
            inner_steps=5, test_steps=32, inner_optimizer="sgd", inner_batch=10, test_batch=10
        ),
        "iMAML": ImplicitMAML(),
        "ES-MAML": EvolutionMAML(),
        "joint training": MAML(inner_steps=0, test_steps=5),
    }
    return Recipe(
        "Gradient-based methods on the sinusoid, 10-shot, mean squared error",
        "no published table: a comparison on the same training and test episodes",
        same_budget(learners, tasks, steps, meta_batch=4, validation_episodes=500),
        f"{steps:,} meta-steps of 4 tasks for every method; Reptile takes 5 inner steps in "
        "training and 32 at test, the others 1; MAML++, whose loss was not finite, is left out",
        paired=True,
    )


def pretrained_sinusoid(budget: Budget) -> Recipe:
    """One network trained on all sine curves jointly, then fine-tuned."""
    run = RunSettings(
        MAML(inner_steps=0, inner_rate=0.02, test_steps=5),
        TaskSettings(tasks="sinusoid", shot=5, query=100, train_shot=5, train_query=10),
        TrainingSettings(steps=70000, meta_batch=25, validate_every=2000, validation_episodes=500),
    )
    return Recipe(
        "Joint training on all sinusoids, then fine-tuning, 5-shot, mean squared error",
        "Finn et al. 2017, section 5.1 and figure 3 (pretrained)",
        tuple(
            Figure(
                f"after {n} step{'s' if n > 1 else ''}",
                run,
                run.tasks,
                p,
                options=(("test_steps", n),),
                episodes=10_000,
            )
            for n, p in ((1, 2.41), (5, 2.23), (10, 2.19))
        ),
        "MAML without inner steps in training; 10,000 test tasks instead of 600; the inner rate "
        "at test is that of MAML",
    )


RECIPES = {
    "pixels-omniglot": pixels_omniglot,
    "finetune-omniglot": finetune_omniglot,
    "protonet-omniglot": protonet_omniglot,
    "protonet-glyphs-to-omniglot": protonet_glyphs_to_omniglot,
    "maml-omniglot": maml_omniglot,
    "maml-sinusoid": maml_sinusoid,
    "metasgd-sinusoid": metasgd_sinusoid,
    "gradient-omniglot": gradient_omniglot,
    "fixed-labels-omniglot": fixed_labels_omniglot,
    "gradient-sinusoid": gradient_sinusoid,
    "pretrained-sinusoid": pretrained_sinusoid,
}


def weights_mnist(results: Path, *, show_progress: bool) -> dict[str, Any]:
    """MNIST with 40 % of its training labels wrong: learned example weights."""
    from quickstudy.recipes.example_weights import measure_weights

    return measure_weights(results / "weights-mnist.json", show_progress=show_progress)


EXPERIMENTS = {"weights-mnist": weights_mnist}
"""Rows that are no episodes of a trained learner: each measures and writes its own."""
