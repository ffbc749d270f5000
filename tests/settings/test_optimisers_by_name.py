"""Names of Optax: those of optimisers are taken, and all others are refused."""

import jax
import jax.numpy as jnp
import optax
import pytest

from quickstudy.errors import UserError
from quickstudy.settings.optax_optimizer import optax_optimizer

OPTIMISERS = ["adam", "sgd", "lion", "rmsprop", "adafactor", "lars", "radam", "noisy_sgd", "yogi"]
OTHERS = [
    *(
        "chain",
        "freeze",
        "global_norm",
        "lbfgs",
        "scale_by_adam",
        "scale",
        "polyak_sgd",
        "lookahead",
    ),
    *("identity", "clip", "constant_schedule", "nothing", "__name__", "losses", "apply_updates"),
]


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("rate", [0.01, optax.constant_schedule(0.01)], ids=["number", "schedule"])
def test_an_optimiser_is_what_optax_makes_of_its_name(name, rate):
    slope = parameters = {"w": jnp.ones(3)}

    def step(optimizer):
        return optimizer.update(slope, optimizer.init(parameters), parameters)[0]["w"]

    made, expected = step(optax_optimizer(name, rate)), step(getattr(optax, name)(rate))
    assert jnp.allclose(made, expected)


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_go_down_a_slope_by_gradients_alone_is_refused(name):
    for rate in (0.01, optax.constant_schedule(0.01)):
        with pytest.raises(UserError, match=f"Optax has no optimiser '{name}' of a learning rate"):
            optax_optimizer(name, rate)


def test_a_rate_of_zero_is_a_rate():
    optimizer = optax_optimizer("sgd", 0.0)
    assert optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))[0].tolist() == [0, 0]


def test_an_optimiser_that_takes_no_schedule_is_refused_with_one():
    optax_optimizer("sm3", 0.01)
    with pytest.raises(
        UserError, match="sm3 takes no learning rate that changes: add --decay none"
    ):
        optax_optimizer("sm3", optax.constant_schedule(0.01))


def test_names_are_looked_at_while_jax_traces_as_well():
    def traced(x):
        assert isinstance(optax_optimizer("adamax", 0.1), optax.GradientTransformation)
        with pytest.raises(UserError):
            optax_optimizer("scale_by_adamax", 0.1)
        return x

    jax.eval_shape(traced, jnp.ones(2))
