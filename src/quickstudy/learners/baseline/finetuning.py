"""Fine-tuning: train one classifier on all training classes, then a new last layer on the support
set (the "baseline classifier, softmax, fine-tuned" rows of Vinyals et al. 2016, table 1; see
Chen et al. 2019 for how far it goes).

Training:   min_{f, W} E_{(x, y)} -log softmax(f(x) W)_y          over all training classes
A new task: min_V Σ_{(x, y) ∈ D_tr} -log softmax(f(x) V)_y        from V = 0, f fixed
            or over f and V together, with `whole_network`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learner import Metrics, Predictor
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.descent import descend
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import Statistics, WithHead
from quickstudy.task import Episode, Examples


class FineTuning(EmbeddingLearner):
    """A classifier of the training classes whose last layer is learned again for each task.

    Train it on `Batches`. At test it normalises by the statistics of the training inputs.

    >>> learner = FineTuning(WithHead(body, training_classes, key=key), optax.sgd(0.1), steps=50)
    """

    classifier: WithHead
    population: Statistics | None
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    whole_network: bool = eqx.field(static=True)

    def __init__(
        self,
        classifier: WithHead,
        optimizer: optax.GradientTransformation,
        steps: int = 50,
        whole_network: bool = False,
    ):
        self.classifier = classifier
        self.population = None
        self.optimizer = optimizer
        self.steps = steps
        self.whole_network = whole_network

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.classifier.body, self.population)

    @property
    def absent_last(self) -> bool:
        return False

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute the classification loss on a batch of training examples, without adapting."""
        logits, _ = self.classifier(task.query.x)
        loss = task.likelihood.mean_loss(logits, task.query.y)
        return loss, task.likelihood.metrics(logits, task.query.y)

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Predictor:
        return NetworkPredictor(self.tuned(support, likelihood, key=key), self.population)

    def tuned(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> WithHead:
        """Return the classifier with a head for this task, tuned on its support set."""
        if not isinstance(likelihood, Categorical):
            raise ValueError("fine-tuning classifies; this task's targets are not classes")
        start = WithHead(self.classifier.body, likelihood.size, key=key)
        start = eqx.tree_at(lambda n: n.head, start, jax.tree.map(jnp.zeros_like, start.head))

        if self.whole_network:

            def loss(network: WithHead) -> Float[Array, ""]:
                return likelihood.mean_loss(network(support.x, self.population)[0], support.y)

            return descend(loss, start, self.optimizer, self.steps)

        features = self.embedding(support.x)
        head = descend(
            lambda head: likelihood.mean_loss(head(features), support.y),
            start.head,
            self.optimizer,
            self.steps,
        )
        return eqx.tree_at(lambda n: n.head, start, head)
