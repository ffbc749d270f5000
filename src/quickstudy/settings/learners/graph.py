"""Options of graph networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.settings.learner import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
    at_least,
    layers_at_most,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.learners.metric.gnn import GNN as GraphNetwork


@dataclass(frozen=True)
class Graph(LearnerSettings):
    """What both graph networks are asked."""

    defaults: ClassVar[dict[str, Any]] = {
        "steps": 10000,
        "meta_batch": 4,
        "decay": "halve",
        "train_query": 3,
    }

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
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
        layers_at_most(self, "graph_layers")

    def graph(self, problem: Problem, key: PRNGKeyArray, **options: Any) -> GraphNetwork:
        """The untrained network for the problem's classes."""
        import jax

        from quickstudy.learners.metric.gnn import GNN

        self.only_classifies(problem)
        for_network, for_graph = jax.random.split(key)
        return GNN(
            self.network.build(problem.shape, for_network),
            problem.likelihood.size,
            hidden_layers=self.graph_layers,
            width=self.graph_width,
            edge_width=self.edge_width,
            normalisation=self.normalisation,
            key=for_graph,
            **options,
        )


@dataclass(frozen=True)
class GNN(Graph):
    """Graph networks: labels flow from the support set to a query, along learned edges."""

    name: ClassVar[str] = "gnn"

    unlabelled: bool = True
    """Unlabelled support examples are nodes of the graph; otherwise they are left out."""

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        return self.graph(problem, key, unlabelled=self.unlabelled)


@dataclass(frozen=True)
class ActiveGNN(Graph):
    """Graph networks that learn which unlabelled example to ask about."""

    name: ClassVar[str] = "active-gnn"

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.metric.active_gnn import ActiveGNN

        for_graph, for_attention = jax.random.split(key)
        return ActiveGNN(self.graph(problem, for_graph), key=for_attention)
