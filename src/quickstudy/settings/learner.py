"""The options of a learner, and how it is built from them.

Nothing here imports JAX, so that `--help` answers at once; `build` does. The types of the methods
stand here, and subclasses leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quickstudy.data.inputs import TokenShape
from quickstudy.errors import UserError
from quickstudy.settings.task_spec import TaskSpec

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.settings.run import TaskSettings
    from quickstudy.settings.training import TrainingSettings
    from quickstudy.task import Episode, TaskDistribution

TrainingTasks = Literal["episodes", "batches", "pairs"]
"""Episodes; batches of all training classes; or pairs of examples, of one class or of two."""


@dataclass(frozen=True)
class LearnerSettings:
    """The options of one learner, and how to build it from them. Each learner has a subclass."""

    name: ClassVar[str]
    """What the command line calls it."""
    defaults: ClassVar[dict[str, Any]] = {}
    """Task and training settings that suit it, where the user says nothing."""
    reads_descriptions: ClassVar[bool] = False
    """Whether its support sets hold descriptions of classes in place of examples."""
    compares: ClassVar[bool] = False
    """Whether it can decide whether two inputs belong to the same class."""
    reads_any_table: ClassVar[bool] = False
    """Whether it takes a table with any number of features, whatever their units."""
    reads_sequences: ClassVar[bool] = False
    """Whether it can learn from a sequence of examples, one label after the other."""
    keeps_decay: ClassVar[bool] = False
    """Whether its meta-steps need the decay in `defaults`, whatever the budget."""

    @property
    def tasks_in_loss(self) -> int:
        """How many training tasks its `loss` takes together: by default one."""
        return 1

    @property
    def trains_on(self) -> TrainingTasks:
        """Which tasks its `loss` takes: by default episodes."""
        return "episodes"

    def following(self, tasks: TaskSettings, training: TrainingSettings) -> dict[str, Any]:
        """Derive the defaults that depend on the tasks and the training, whose own defaults are
        filled in. A run takes them for options that are None."""
        return {}

    def build(self, spec: TaskSpec, key: PRNGKeyArray) -> Learner:
        """Make the untrained learner. Raises `UserError` where it cannot learn such tasks."""
        raise NotImplementedError

    def meta_gradient(self) -> Any:
        """Choose how ∂ω is estimated: by default by back-propagation."""
        from quickstudy.metagradients import Backpropagation

        return Backpropagation()

    def grouped(self, tasks: TaskDistribution[Episode]) -> TaskDistribution[Any]:
        """Give the training tasks in the form that the meta-objective takes: by default one at a
        time, each anew. Raises `UserError` for tasks that have no such form."""
        return tasks

    def only_classifies(self, spec: TaskSpec) -> None:
        """Raise `UserError` unless targets are classes: for learners that cannot regress."""
        if not spec.classifies:
            raise UserError(
                f"{self.name} classifies; these tasks have real targets: take maml, or other tasks"
            )

    def classes_to_tell_apart(self, spec: TaskSpec) -> int:
        """Count the training classes: for learners that learn to tell all of these apart. Raises
        `UserError` where tasks are not cut out of classes."""
        self.only_classifies(spec)
        if spec.training_classes is None:
            raise UserError(
                f"{self.name} learns to tell all training classes apart, and these tasks are not "
                "cut out of classes: take protonet"
            )
        return spec.training_classes

    def only_reads_numbers(self, spec: TaskSpec) -> None:
        """Raise `UserError` where inputs are tokens: for learners that take inputs as they are."""
        if isinstance(spec.shape, TokenShape):
            raise UserError(f"{self.name} reads numbers; these inputs are tokens: take protonet")
