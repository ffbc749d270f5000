"""Options of MetaLSTM."""

from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class MetaLSTMSettings(InnerLoopSettings):
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

    def build(self, spec, key):
        import jax

        from quickstudy.learners.gradient.meta_lstm import GatedUpdate, MetaLSTM

        return MetaLSTM(
            self.built_network(spec, key),
            GatedUpdate(self.rate(spec), key=jax.random.fold_in(key, 0)),
            first_order=self.first_order,
            **self.loop(spec),
        )
