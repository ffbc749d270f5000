"""quickstudy demo: four learners on characters that they have never seen."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.numbers import at_least
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import (
    FineTuningSettings,
    MAMLSettings,
    PixelsSettings,
    ProtoNetSettings,
)
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings


@dataclass(frozen=True)
class Demo:
    """Train four learners on glyphs, procedural characters that are drawn as they are needed,
    and test them on characters that none has seen, from one example each. Nothing to download."""

    out: Path = Path("demo")
    """Where the runs and the report go. The same command goes on with what is there."""
    episodes: int = 300
    """Test episodes."""
    open: bool = False
    """Open the playground in a browser, and train nothing: draw, and it learns."""

    def __post_init__(self):
        at_least(self, episodes=2)


SMALL = NetworkSettings(filters=32)

LEARNERS: dict[str, tuple[LearnerSettings, TaskSettings, TrainingSettings]] = {
    "pixels": (PixelsSettings(), TaskSettings(), TrainingSettings()),
    "finetune": (
        FineTuningSettings(SMALL),
        TaskSettings(train_query=64),
        TrainingSettings(steps=300, decay="cosine"),
    ),
    "protonet": (
        ProtoNetSettings(SMALL),
        TaskSettings(train_way=20, train_query=3),
        TrainingSettings(steps=550, decay="cosine", learning_rate=2e-3),
    ),
    "maml": (
        MAMLSettings(SMALL),
        TaskSettings(train_query=5),
        TrainingSettings(steps=150, meta_batch=8, decay="cosine", learning_rate=3e-3),
    ),
}
"""What two cores train in a few minutes."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Demo, words, "quickstudy demo")
    if options.open:
        return playground()
    started = time.monotonic()

    from quickstudy.cli.compare import show_comparison
    from quickstudy.cli.main import complain
    from quickstudy.devices import join
    from quickstudy.evaluation import Comparison
    from quickstudy.report.page import require_page
    from quickstudy.runs.measure import measure
    from quickstudy.runs.saved import SavedRun
    from quickstudy.runs.train import train
    from quickstudy.training import TrainingStopped

    join()
    require_page(options.out / "report.html")
    runs, results = {}, {}
    for i, (name, (learner, tasks, training)) in enumerate(LEARNERS.items(), 1):
        show.line(f"{i}/{len(LEARNERS)} {name}: {show.first_sentence(learner)}")
        runs[name] = options.out / name
        steps = training.steps or 0
        training = TrainingSettings(
            **{**vars(training), "validate_every": max(1, steps // 3), "validation_episodes": 50}
        )
        try:
            train(RunSettings(learner, tasks, training), runs[name])
        except TrainingStopped as stopped:
            return complain(str(stopped), status=128 + stopped.signum)
        saved = SavedRun.open(runs[name])
        results[name] = measure(saved.settings, saved.learner(), episodes=options.episodes)
    comparison = Comparison(results)
    show_comparison(
        "5-way 1-shot: five characters never seen before, one example of each", comparison
    )
    show.protocol(results["protonet"].tasks.protocol)

    from quickstudy.report.collect import write_comparison

    page = write_comparison(runs, comparison, options.out / "report.html")
    show.line(f"the report: {page}    ({time.monotonic() - started:.0f} s in all)")
    show.line("next: quickstudy train protonet --tasks omniglot --run runs/a    (real characters)")
    show.line("draw your own, and see it learn: quickstudy demo --open    (the playground)")
    return 0


def playground() -> int:
    """Serve the playground at its usual port, or at a free one where somebody listens there."""
    from quickstudy.cli import serve

    usual = serve.Serve()
    with socket.socket() as asking:
        taken = asking.connect_ex((usual.host, usual.port)) == 0
    return serve.run(["--open", "--port", "0" if taken else str(usual.port)])
