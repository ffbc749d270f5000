"""Options of the gradient-based learners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.errors import UserError, nearest
from quickstudy.settings.learner import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
    above,
    at_least,
    optax_optimizer,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.networks import WithHead
    from quickstudy.settings.run import TaskSettings, TrainingSettings
    from quickstudy.task import Episode, TaskDistribution


def with_head(network: NetworkSettings, problem: Problem, key: PRNGKeyArray) -> WithHead:
    """MAML's network for the problem."""
    import jax

    from quickstudy.networks import WithHead

    for_body, for_head = jax.random.split(key)
    body = network.build(problem.shape, for_body, auto="conv4-stride")
    return WithHead(body, problem.likelihood.size, key=for_head)


@dataclass(frozen=True)
class InnerLoop(LearnerSettings):
    """What every learner of the family is asked."""

    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 32, "train_query": 5}
    default_rates: ClassVar[tuple[float, float]] = (0.4, 0.02)
    """Of the inner steps: for classes, for real targets."""
    default_test_steps: ClassVar[int | None] = 3
    """For classes; None: as in training."""

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    inner_rate: float | None = None
    """Learning rate of the inner steps; by default what suits the method and the targets."""
    inner_steps: int = 1
    """Inner steps in training."""
    test_steps: int | None = None
    """Inner steps at test; by default what suits the method and the targets."""
    normalisation: Literal["batch", "support"] = "batch"
    """Whose batch statistics normalise queries: their own (transductive) or the support set's."""

    def __post_init__(self):
        at_least(self, inner_rate=0, inner_steps=0, test_steps=0)

    def rate(self, problem: Problem) -> float:
        """Of the inner steps."""
        if self.inner_rate is not None:
            return self.inner_rate
        for_classes, for_targets = self.default_rates
        return for_classes if problem.classifies else for_targets

    def built_network(self, problem: Problem, key: PRNGKeyArray) -> WithHead:
        """The untrained network: for images a strided conv4."""
        return with_head(self.network, problem, key)

    def loop(self, problem: Problem) -> dict[str, Any]:
        """The fields that every learner of the family has, but for the network."""
        at_test = self.test_steps
        if at_test is None and problem.classifies:
            at_test = self.default_test_steps
        if at_test is None:
            at_test = self.inner_steps
        return {
            "train_steps": self.inner_steps,
            "test_steps": at_test,
            "normalisation": self.normalisation,
        }


@dataclass(frozen=True)
class MAML(InnerLoop):
    """Model-agnostic meta-learning: an initialisation from which few gradient steps suffice."""

    name: ClassVar[str] = "maml"

    inner_optimizer: str = "sgd"
    """Any optimiser that Optax has under this name and that takes a learning rate."""
    first_order: bool = False
    """Take inner gradients as constants: no second derivatives."""
    truncate: int | None = None
    """Differentiate through so many of the last inner steps; by default through all."""
    rematerialise: bool = False
    """Compute inner values twice instead of keeping them: less memory, more time."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, truncate=0)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.gradient.maml import MAML

        return MAML(
            network=self.built_network(problem, key),
            optimizer=optax_optimizer(self.inner_optimizer, self.rate(problem)),
            first_order=self.first_order,
            truncate=self.truncate,
            rematerialise=self.rematerialise,
            **self.loop(problem),
        )


@dataclass(frozen=True)
class ANIL(InnerLoop):
    """MAML whose last layer alone adapts."""

    name: ClassVar[str] = "anil"

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.anil import ANIL

        return ANIL(
            network=self.built_network(problem, key),
            optimizer=optax.sgd(self.rate(problem)),
            **self.loop(problem),
        )


@dataclass(frozen=True)
class BOIL(InnerLoop):
    """MAML whose last layer alone does not adapt."""

    name: ClassVar[str] = "boil"

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.boil import BOIL

        return BOIL(
            network=self.built_network(problem, key),
            optimizer=optax.sgd(self.rate(problem)),
            **self.loop(problem),
        )


@dataclass(frozen=True)
class MetaSGD(InnerLoop):
    """MAML that learns a learning rate for each parameter; --inner-rate is the largest at first."""

    name: ClassVar[str] = "meta-sgd"
    default_rates: ClassVar[tuple[float, float]] = (0.1, 0.2)
    default_test_steps: ClassVar[int | None] = None

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.gradient.meta_sgd import MetaSGD, random_rates

        network = self.built_network(problem, key)
        rates = random_rates(network, self.rate(problem), key=jax.random.fold_in(key, 0))
        return MetaSGD(network=network, rates=rates, **self.loop(problem))


@dataclass(frozen=True)
class Reptile(InnerLoop):
    """First-order meta-learning: train on a task, then move some of the way to where that led."""

    name: ClassVar[str] = "reptile"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 5000,
        "meta_batch": 10,
        "train_query": 14,
        "meta_optimizer": "sgd",
        "learning_rate": 1.0,
        "decay": "linear",
    }
    default_rates: ClassVar[tuple[float, float]] = (1e-3, 2e-2)
    default_test_steps: ClassVar[int | None] = 5

    inner_steps: int = 3
    """Inner steps in training."""
    inner_optimizer: Literal["adam", "sgd"] = "adam"
    """Adam without momentum (β1 = 0), which remembers from task to task, or plain gradient
    descent."""
    inner_batch: int = 25
    """Examples in each inner step, in training."""
    test_batch: int = 25
    """Examples in each inner step, at test."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, inner_steps=1, inner_batch=1, test_batch=1)

    def meta_gradient(self) -> Any:
        from quickstudy.metagradients import ReptileGradient

        return ReptileGradient()

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.reptile import Reptile

        rate = self.rate(problem)
        return Reptile(
            network=self.built_network(problem, key),
            optimizer=optax.adam(rate, b1=0.0)
            if self.inner_optimizer == "adam"
            else optax.sgd(rate),
            train_batch=self.inner_batch,
            test_batch=self.test_batch,
            **self.loop(problem),
        )


@dataclass(frozen=True)
class MAMLPlusPlus(InnerLoop):
    """MAML with learned rates, a loss at each step, and batch normalisation's weights by step."""

    name: ClassVar[str] = "maml++"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 5000,
        "meta_batch": 8,
        "train_query": 5,
        "decay": "cosine",
    }
    default_rates: ClassVar[tuple[float, float]] = (0.1, 0.02)
    default_test_steps: ClassVar[int | None] = None

    inner_steps: int = 5
    """Inner steps in training."""
    annealing: int | None = None
    """Meta-steps after which the last inner step's loss alone counts; at first all count alike. By
    default a tenth of all, as in the authors' configurations."""
    rate_speed: float = 1.0
    """How fast the learned rates move beside the other parameters: slower where training breaks
    down, as it does without batch normalisation."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, inner_steps=1, annealing=0)
        above(self, rate_speed=0)

    def following(self, tasks: TaskSettings, training: TrainingSettings) -> dict[str, Any]:
        assert training.steps is not None
        return {"annealing": training.steps // 10}

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.gradient.maml_plus_plus import MAMLPlusPlus

        return MAMLPlusPlus(
            self.built_network(problem, key),
            rate=self.rate(problem),
            rate_speed=self.rate_speed,
            annealing=self.defaults["steps"] // 10 if self.annealing is None else self.annealing,
            **self.loop(problem),
        )


@dataclass(frozen=True)
class MetaLSTM(InnerLoop):
    """A learned update with an LSTM's gates; --inner-rate is where the input gates start."""

    name: ClassVar[str] = "meta-lstm"
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 8, "train_query": 5}
    default_rates: ClassVar[tuple[float, float]] = (0.011, 0.022)
    default_test_steps: ClassVar[int | None] = None

    inner_steps: int = 12
    """Inner steps in training, each on the whole support set."""
    first_order: bool = True
    """Take inner gradients and losses as constants: no second derivatives."""

    def __post_init__(self):
        super().__post_init__()
        if self.inner_rate is not None and not 0 < self.inner_rate < 1:
            raise UserError(f"--inner-rate {self.inner_rate}: a gate's value is between 0 and 1")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.gradient.meta_lstm import GatedUpdate, MetaLSTM

        return MetaLSTM(
            self.built_network(problem, key),
            GatedUpdate(self.rate(problem), key=jax.random.fold_in(key, 0)),
            first_order=self.first_order,
            **self.loop(problem),
        )


@dataclass(frozen=True)
class CAVIA(InnerLoop):
    """A few context parameters are all that adapts to a task."""

    name: ClassVar[str] = "cavia"
    default_rates: ClassVar[tuple[float, float]] = (1.0, 2.0)
    default_test_steps: ClassVar[int | None] = None

    inner_steps: int = 2
    """Inner steps in training."""
    context: int | None = None
    """Context parameters; by default 100 for classes, 5 for real targets."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, context=1)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax
        import optax

        from quickstudy.learners.gradient.cavia import CAVIA, modulation

        network = self.built_network(problem, key)
        size = self.context
        if size is None:
            size = 100 if problem.classifies else 5

        enters = modulation(network, size, key=jax.random.fold_in(key, 0))
        return CAVIA(network, enters, optax.sgd(self.rate(problem)), **self.loop(problem))


@dataclass(frozen=True)
class MTNet(InnerLoop):
    """MAML in a learned metric for each layer and, by learned masks, in a subspace."""

    name: ClassVar[str] = "mt-net"
    default_test_steps: ClassVar[int | None] = None

    masks: bool = True
    """Learn which rows of the weights adapt; without, this is T-net."""

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.mt_net import MTNet

        return MTNet(
            self.built_network(problem, key),
            optax.sgd(self.rate(problem)),
            masks=self.masks,
            **self.loop(problem),
        )


@dataclass(frozen=True)
class TAML(InnerLoop):
    """MAML whose start must not prefer any task."""

    name: ClassVar[str] = "taml"

    measure: str = "entropy"
    """Of preference: entropy of the answers before adapting, or inequality of the losses before
    adapting across a group of tasks: theil, ge2, atkinson, gini, log-variance."""
    weight: float = 0.1
    """λ, how much it counts."""
    group: int = 4
    """Tasks among which losses should be equal; --meta-batch then counts groups."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, weight=0, group=2)
        measures = ("entropy", "theil", "ge2", "atkinson", "gini", "log-variance")
        if self.measure not in measures:
            raise UserError(
                f"there is no --measure {self.measure}: {nearest(self.measure, list(measures))}"
            )

    def grouped(self, tasks: TaskDistribution[Episode]) -> TaskDistribution[Any]:
        from quickstudy.tasks.groups import Groups

        return tasks if self.measure == "entropy" else Groups(tasks, self.group)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import optax

        from quickstudy.learners.gradient.taml import INEQUALITIES, EntropyTAML, InequalityTAML
        from quickstudy.likelihood import HeteroscedasticGaussian

        network, sgd = self.built_network(problem, key), optax.sgd(self.rate(problem))
        if self.measure == "entropy":
            if not problem.classifies:
                raise UserError(
                    "--measure entropy is for classes; for real targets take an inequality, say "
                    "--measure theil"
                )
            return EntropyTAML(network, sgd, self.weight, **self.loop(problem))
        if isinstance(problem.likelihood, HeteroscedasticGaussian):
            raise UserError(
                f"--measure {self.measure} compares squared errors, and these tasks ask for the "
                "noise's scale too: take --tasks sinusoid, or the learner maml"
            )
        inequality = INEQUALITIES[self.measure]
        return InequalityTAML(network, sgd, self.weight, inequality, **self.loop(problem))
