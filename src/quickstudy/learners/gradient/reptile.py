"""Reptile (Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", 2018).

Train on a task as one would without meta-learning, then move the initialisation some of the way
to where that led. Mini-batches of the same task make the direction more than that of joint
training: their gradients are moved to agree.

    φ_0 = θ,   φ_{t+1} = φ_t - Adam(∇ L(φ_t, mini-batch t of D))            Adam with β_1 = 0
    θ ← θ + ε/n Σ_i (φ_k(θ, D_i) - θ)               (algorithm 2); `metagradients.ReptileGradient`

D is a training task's support and query set together. Mini-batches run through the task's
examples in random order, again and again, as in the authors' code.

Adam's second moments v are never reset: they and the number of steps go on from task to task, in
training, and each task at test starts from those of the training tasks (section 6.1; the authors'
`train_step` restores the network alone, `evaluate` network and moments). A new Adam for each task
would make the first step α sign(∇L), as v is then ∇L² itself.

Differences from the paper. The authors take the tasks of a meta-batch one after the other with one
Adam; here they run side by side, so each place of the meta-batch has moments of its own, which see
one task a meta-step. The moments at test are not those that training ended with: `settle` takes
1,000 inner steps on training tasks, each task from the θ that was chosen, and keeps what Adam then
remembers. The inductive figure (`normalisation="support"`) normalises queries by the support set's
statistics; the authors put each query into a batch with the support set.
"""

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
"""1 / (1 - β_2): as far back as Adam's second moments look."""


class Reptile(InnerLoop):
    """A network whose parameters are a starting point. Train it with `ReptileGradient`.

    `train_batch` and `test_batch` are the sizes of mini-batches in training and in `adapt`; sets
    that are no larger are taken whole.

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
    """What the optimiser remembers when `adapt` begins; None before `settle`: nothing."""

    @property
    def has_slope(self) -> bool:
        """It is trained by differences of parameters, which are no objective's slope."""
        return False

    def initial_moments(self) -> optax.OptState:
        """What the optimiser remembers before the first task."""
        return self.optimizer.init(eqx.filter(self.network, eqx.is_inexact_array))

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        moments = self.initial_moments() if self.moments is None else self.moments
        return self.descended(support, likelihood, steps, self.test_batch, moments, key=key)[0]

    def settle(self, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> "Reptile":
        """Trains on tasks one after the other, each from θ, with one optimiser, and keeps what it
        then remembers; unchanged where it remembers nothing, as plain gradient descent."""
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
        """The learner after training on one task, how well it then fits it, and what the optimiser
        remembers, which before the task was `moments`."""
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
        """φ after `steps` steps on mini-batches, and what the optimiser remembers then."""
        rows = mini_batches(len(examples.y), batch, steps, key=key)

        def loss(network: Network, number: Int[Array, ""]):
            chosen = jax.tree.map(lambda x: x[rows[number]], examples)
            return loss_on(chosen, likelihood)(network)

        return trajectory(loss, self.network, self.optimizer, steps, state=moments)[:2]


def mini_batches(
    examples: int, batch: int, count: int, *, key: PRNGKeyArray
) -> Int[Array, "count batch"]:
    """`count` batches cut out of one random order of the examples after another; all examples in
    each where they are no more than a batch.

    >>> mini_batches(5, 25, 2, key=key).tolist()
    [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    """
    if examples <= batch:
        return jnp.broadcast_to(jnp.arange(examples), (count, examples))
    rounds = -(-count * batch // examples)
    orders = jax.vmap(lambda k: jax.random.permutation(k, examples))(jax.random.split(key, rounds))
    return orders.reshape(-1)[: count * batch].reshape(count, batch)
