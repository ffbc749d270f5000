"""Options of graph networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quickstudy.numbers import MOST_LAYERS, at_least, at_most
from quickstudy.settings.network import NetworkLearnerSettings
from quickstudy.settings.task_spec import TaskSpec

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learners.metric.gnn import GNN


@dataclass(frozen=True)
class GraphSettings(NetworkLearnerSettings):
    """Options of both graph networks."""

    defaults: ClassVar[dict[str, Any]] = {
        "steps": 10000,
        "meta_batch": 4,
        "decay": "halve",
        "train_query": 3,
    }

    graph_layers: int = 2
    """Graph layers before the one that gives the logits."""
    graph_width: int = 48
    """How much each of them puts beside what a node holds."""
    edge_width: int = 96
    """The hidden layers of the edge networks are twice, twice, once and once as wide."""
    normalisation: Literal["batch", "support", "running"] = "running"
    """Whose batch statistics normalise a query's embedding at test: the queries' (transductive),
    the support set's, or those of the training tasks."""

    def __post_init__(self):
        at_least(self, graph_layers=1, graph_width=1, edge_width=1)
        at_most(self, graph_layers=MOST_LAYERS)

    def graph(self, spec: TaskSpec, key: PRNGKeyArray, **options: Any) -> GNN:
        """Make the untrained network for the classes of a task."""
        import jax

        from quickstudy.learners.metric.gnn import GNN

        self.only_classifies(spec)
        for_network, for_graph = jax.random.split(key)
        return GNN(
            self.network.build(spec.shape, for_network),
            spec.likelihood.size,
            hidden_layers=self.graph_layers,
            width=self.graph_width,
            edge_width=self.edge_width,
            normalisation=self.normalisation,
            key=for_graph,
            **options,
        )


@dataclass(frozen=True)
class GNNSettings(GraphSettings):
    """Graph networks: labels flow from the support set to a query, along learned edges."""

    name: ClassVar[str] = "gnn"

    unlabelled: bool = True
    """Unlabelled support examples are nodes of the graph; otherwise they are left out."""

    def build(self, spec, key):
        return self.graph(spec, key, unlabelled=self.unlabelled)
