"""Reptile (Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", 2018).

Train on a task in the ordinary way, then move the initialisation a part of the way towards the
trained parameters. With several mini-batches of the same task, the direction differs from joint
training: it also increases the agreement of their gradients.

    φ_0 = θ,   φ_{t+1} = φ_t - Adam(∇ L(φ_t, mini-batch t of D))            Adam with β_1 = 0
    θ ← θ + ε/n Σ_i (φ_k(θ, D_i) - θ)               (algorithm 2); `metagradients.ReptileGradient`

D is a training task's support and query set together. Mini-batches run through the examples of the
task in random order, repeatedly, as in the authors' code.

Adam's second moments v are never reset: they and the number of steps carry over from task to task
in training, and each test task starts from the moments of the training tasks (section 6.1; the
authors' `train_step` restores only the network, `evaluate` network and moments). With a new Adam
for each task the first step would be α sign(∇L), because v would be ∇L².

Differences from the paper. The authors take the tasks of a meta-batch one after the other with one
Adam; here they run in parallel, so each place of the meta-batch has its own moments, which see one
task in each meta-step. The moments at test are not the final moments of training: `settle` takes
1,000 inner steps on training tasks, each task from the chosen θ, and keeps the moments of Adam. The
inductive figure (`normalisation="support"`) normalises queries by the support set's statistics; the
authors put each query into a batch with the support set."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from quickstudy.learner import Metrics
from quickstudy.learners.descent import trajectory
from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Network, Normalisation
from quickstudy.task import Episode, Examples, TaskDistribution

SETTLING_STEPS = 1000
"""1 / (1 - β_2): the memory length of Adam's second moments."""


class Reptile(InnerLoop):
    """A network whose parameters are a starting point. Train it with `ReptileGradient`.

    `train_batch` and `test_batch` are the sizes of mini-batches in training and in `adapt`; sets
    that are not larger are used as a whole.

    >>> optimizer = optax.adam(1e-3, b1=0.0)
    >>> learner = Reptile(network, optimizer, train_steps=3, test_steps=5, train_batch=25)
    >>> meta_train(learner, tasks, optax.sgd(1.0), steps=1000, meta_gradient=ReptileGradient())
    """

    network: Network
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=3)
    test_steps: int = eqx.field(static=True, kw_only=True, default=5)
    train_batch: int = eqx.field(static=True, default=25)
    test_batch: int = eqx.field(static=True, default=25)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")
    moments: optax.OptState | None = eqx.field(kw_only=True, default=None)
    """The initial state of the optimiser in `adapt`; None before `settle`, when there is none."""

    @property
    def has_slope(self) -> bool:
        """False: training uses differences of parameters, which are not the gradient of an
        objective."""
        return False

    def initial_moments(self) -> optax.OptState:
        """Return the state of the optimiser before the first task."""
        return self.optimizer.init(eqx.filter(self.network, eqx.is_inexact_array))

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        moments = self.initial_moments() if self.moments is None else self.moments
        return self.descended(support, likelihood, steps, self.test_batch, moments, key=key)[0]

    def settle(self, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> "Reptile":
        """Train on tasks one after the other, each from θ, with one optimiser, and keep its state.
        Nothing changes for an optimiser without a state, such as plain gradient descent."""
        start = self.initial_moments()
        if not jax.tree.leaves(start):
            return self

        def train(moments: optax.OptState, key: PRNGKeyArray):
            for_task, for_learner = jax.random.split(key)
            _, _, moments = self.trained(tasks.sample(for_task), moments, key=for_learner)
            return moments, None

        count = -(-SETTLING_STEPS // self.train_steps)
        moments, _ = jax.lax.scan(train, start, jax.random.split(key, count))
        return eqx.tree_at(
            lambda learner: learner.moments, self, moments, is_leaf=lambda x: x is None
        )

    def trained(
        self, task: Episode, moments: optax.OptState, *, key: PRNGKeyArray
    ) -> tuple["Reptile", Metrics, optax.OptState]:
        """Return the learner after training on one task, its fit, and the state of the optimiser,
        which was `moments` before the task."""
        examples = jax.tree.map(lambda *parts: jnp.concatenate(parts), task.support, task.query)
        network, moments = self.descended(
            examples, task.likelihood, self.train_steps, self.train_batch, moments, key=key
        )
        predictions, _ = network(examples.x)
        loss = task.likelihood.mean_loss(predictions, examples.y)
        metrics = {"loss": loss, **task.likelihood.metrics(predictions, examples.y)}
        return eqx.tree_at(lambda learner: learner.network, self, network), metrics, moments

    def descended(
        self,
        examples: Examples,
        likelihood: Likelihood,
        steps: int,
        batch: int,
        moments: optax.OptState,
        *,
        key: PRNGKeyArray,
    ) -> tuple[Network, optax.OptState]:
        """Return φ after `steps` steps on mini-batches, and the state of the optimiser."""
        rows = mini_batches(len(examples.y), batch, steps, key=key)

        def loss(network: Network, number: Int[Array, ""]):
            chosen = jax.tree.map(lambda x: x[rows[number]], examples)
            return loss_on(chosen, likelihood)(network)

        return trajectory(loss, self.network, self.optimizer, steps, state=moments)[:2]


def mini_batches(
    examples: int, batch: int, count: int, *, key: PRNGKeyArray
) -> Int[Array, "count batch"]:
    """Cut `count` batches from successive random orders of the examples. Where there are no more
    examples than a batch holds, each batch has all of them.

    >>> mini_batches(5, 25, 2, key=key).tolist()
    [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    """
    if examples <= batch:
        return jnp.broadcast_to(jnp.arange(examples), (count, examples))
    rounds = -(-count * batch // examples)
    orders = jax.vmap(lambda k: jax.random.permutation(k, examples))(jax.random.split(key, rounds))
    return orders.reshape(-1)[: count * batch].reshape(count, batch)
