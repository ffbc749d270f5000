"""Reptile (Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", 2018).

Train on a task as one would without meta-learning, then move the initialisation some of the way
to where that led. Mini-batches of the same task make the direction more than that of joint
training: their gradients are moved to agree.

    φ_0 = θ,   φ_{t+1} = φ_t - Adam(∇ L(φ_t, mini-batch t of D))            Adam with β_1 = 0
    θ ← θ + ε/n Σ_i (φ_k(θ, D_i) - θ)                       (algorithm 2); `metagradients.reptile`

D is a training task's support and query set together. Mini-batches run through the task's
examples in random order, again and again, as in the authors' code.

Differences from the paper: the inductive figure (`normalisation="support"`) normalises queries by
the support set's statistics; the authors put each query into a batch with the support set.
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
from quickstudy.task import Episode, Examples


class Reptile(InnerLoop):
    """A network whose parameters are a starting point. Train it with `metagradients.reptile`.

    `train_batch` and `test_batch` are the sizes of mini-batches in training and in `adapt`; sets
    that are no larger are taken whole.

    >>> optimizer = optax.adam(1e-3, b1=0.0)
    >>> learner = Reptile(network, optimizer, train_steps=3, test_steps=5, train_batch=25)
    >>> meta_train(learner, tasks, optax.sgd(1.0), steps=1000, meta_gradient=reptile)
    """

    network: Network
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    train_steps: int = eqx.field(static=True, kw_only=True, default=3)
    test_steps: int = eqx.field(static=True, kw_only=True, default=5)
    train_batch: int = eqx.field(static=True, default=25)
    test_batch: int = eqx.field(static=True, default=25)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        return self.descended(support, likelihood, steps, self.test_batch, key=key)

    def trained(self, task: Episode, *, key: PRNGKeyArray) -> tuple["Reptile", Metrics]:
        """The learner after training on one task, and how well it then fits it."""
        examples = jax.tree.map(lambda *parts: jnp.concatenate(parts), task.support, task.query)
        network = self.descended(
            examples, task.likelihood, self.train_steps, self.train_batch, key=key
        )
        predictions, _ = network(examples.x)
        loss = task.likelihood.mean_loss(predictions, examples.y)
        metrics = {"loss": loss, **task.likelihood.metrics(predictions, examples.y)}
        return eqx.tree_at(lambda learner: learner.network, self, network), metrics

    def descended(
        self, examples: Examples, likelihood: Likelihood, steps: int, batch: int, *, key
    ) -> Network:
        """φ after `steps` steps on mini-batches."""
        rows = mini_batches(len(examples.y), batch, steps, key=key)

        def loss(network: Network, number: Int[Array, ""]):
            chosen = jax.tree.map(lambda x: x[rows[number]], examples)
            return loss_on(chosen, likelihood)(network)

        return trajectory(loss, self.network, self.optimizer, steps)[0]


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
