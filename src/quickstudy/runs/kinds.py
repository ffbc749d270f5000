"""The kinds of run that the command line trains. Others add themselves to `KINDS`."""

from __future__ import annotations

from quickstudy.runs import learning, optimizing
from quickstudy.runs.run import Kind, Run
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.run import RunSettings

LEARNER = Kind(
    file="learner.qs",
    sizes="--hidden, --filters, --train-way, --train-shot and --train-query",
    training=learning.training,
    from_header=learning.from_header,
    structure=learning.structure,
    prepared=learning.prepared,
)
OPTIMIZER = Kind(
    file="optimizer.qs",
    sizes="--dimensions, --hidden, --kernels and --batch",
    training=optimizing.training,
    from_header=optimizing.from_header,
    structure=optimizing.structure,
)
KINDS: dict[type, Kind] = {RunSettings: LEARNER, OptimizerRunSettings: OPTIMIZER}
"""By the class of the settings."""


def kind_of_run(settings: Run) -> Kind:
    """Look up how a run is trained, saved and loaded."""
    return KINDS[type(settings)]
