"""Options of ActiveGNN."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.settings.learners.metric.gnn import GraphSettings


@dataclass(frozen=True)
class ActiveGNNSettings(GraphSettings):
    """Graph networks that learn which unlabelled example to ask about."""

    name: ClassVar[str] = "active-gnn"

    def build(self, spec, key):
        import jax

        from quickstudy.learners.metric.active_gnn import ActiveGNN

        for_graph, for_attention = jax.random.split(key)
        return ActiveGNN(self.graph(spec, for_graph), key=for_attention)
