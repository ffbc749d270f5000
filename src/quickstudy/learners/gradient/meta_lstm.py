"""The meta-learner LSTM (Ravi and Larochelle, "Optimization as a Model for Few-Shot Learning",
ICLR 2017).

A step of gradient descent has the form of the cell update of an LSTM whose cell state is the
parameters θ of a network. So the gates are learned: i is a learning rate and f a weight decay, for
every parameter at every step. The initial cell state, which is the initialisation, is learned too.

    θ_t = f_t ∘ θ_{t-1} - i_t ∘ ∇L_t                                 (eq. 2, with -∇L_t let in)
    i_t = σ(W_I [h_t, θ_{t-1}, i_{t-1}] + b_I)
    f_t = σ(W_F [h_t, θ_{t-1}, f_{t-1}] + b_F)
    h_t, s_t = LSTM([∇L_t, L_t], h_{t-1}, s_{t-1})                   both by `log_and_sign`

    min_{θ_0, W, b, LSTM} Σ_i L(θ_T(D_tr_i), D_ts_i)

Weights are the same for all coordinates of θ; each coordinate has its own h, s, i and f ("parameter
sharing and preprocessing"). ∇L_t and L_t count as constants in the meta-gradient ("gradient
independence assumption"), which therefore has no second derivatives. At first f is near 1, i is
small and all weights are (in the authors' code: U[-.01, .01], b_F from U[4, 5], b_I from U[-5,
-4]).

Differences from the paper: every step takes the whole support set, which equals the paper's batches
(5 at 5-way 1-shot, 25 at 5-shot; 12 and 8 passes); the values of the gates are fed back, as in the
equations, while the authors' code feeds back the arguments of σ; their code also divides the
gradient of the mean loss by the number of examples a second time, and clips meta-gradients to a
norm of .25; batch normalisation uses the current batch or the support set, without a moving
average; the initial rate of the input gates is an option."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learners.gradient.inner_loop import InnerLoop, loss_on
from quickstudy.likelihood import Likelihood
from quickstudy.networks.network import Network, Normalisation
from quickstudy.networks.recurrent import log_and_sign
from quickstudy.task import Examples

SMALL = 0.01
"""Weights are drawn from U[-SMALL, SMALL]."""


class Gate(eqx.Module):
    """σ(W [h, θ, the gate's last value] + b), for each of n coordinates."""

    weight: Float[Array, " inputs"]
    bias: Float[Array, ""]

    def __init__(self, hidden: int, lowest_bias: float, *, key: PRNGKeyArray):
        """The bias is drawn from an interval of length 1 that begins at `lowest_bias`."""
        for_weight, for_bias = jax.random.split(key)
        self.weight = jax.random.uniform(for_weight, (hidden + 2,), minval=-SMALL, maxval=SMALL)
        self.bias = jax.random.uniform(for_bias, minval=lowest_bias, maxval=lowest_bias + 1)

    def __call__(
        self, h: Float[Array, "n hidden"], theta: Float[Array, " n"], last: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        own = self.weight[-2] * theta + self.weight[-1] * last
        return jax.nn.sigmoid(h @ self.weight[:-2] + own + self.bias)


class State(NamedTuple):
    """The state of the meta-learner for each coordinate."""

    memory: tuple[Float[Array, "n hidden"], Float[Array, "n hidden"]]
    """h and s, the output and the cell of the first LSTM."""
    i: Float[Array, " n"]
    f: Float[Array, " n"]


class GatedUpdate(eqx.Module):
    """The meta-learner: one step of a network's parameters, given gradient and loss.

    >>> update = GatedUpdate(0.01, key=key)
    >>> theta, state = update(theta, gradient, loss, update.start(theta))
    """

    lstm: eqx.nn.LSTMCell
    input_gate: Gate
    forget_gate: Gate

    def __init__(self, rate: float, hidden: int = 20, *, key: PRNGKeyArray):
        """`rate` is the approximate initial value of the input gates."""
        for_lstm, for_input, for_forget = jax.random.split(key, 3)
        lstm = eqx.nn.LSTMCell(4, hidden, key=for_lstm)  # drawn from U[-r, r], r = 1 / √hidden
        self.lstm = jax.tree.map(lambda w: w * SMALL * math.sqrt(hidden), lstm)
        self.input_gate = Gate(hidden, math.log(rate / (1 - rate)) - 0.5, key=for_input)
        self.forget_gate = Gate(hidden, 4.0, key=for_forget)

    def start(self, theta: Float[Array, " n"]) -> State:
        """Return the state before the first step."""
        nothing = jnp.zeros_like(theta)
        memory = jnp.zeros((theta.size, self.lstm.hidden_size), theta.dtype)
        return State((memory, memory), nothing, nothing)

    def __call__(
        self,
        theta: Float[Array, " n"],
        gradient: Float[Array, " n"],
        loss: Float[Array, ""],
        state: State,
    ) -> tuple[Float[Array, " n"], State]:
        inputs = jnp.concatenate(
            [log_and_sign(gradient), jnp.broadcast_to(log_and_sign(loss), (theta.size, 2))], -1
        )
        memory = jax.vmap(self.lstm)(inputs, state.memory)
        i = self.input_gate(memory[0], theta, state.i)
        f = self.forget_gate(memory[0], theta, state.f)
        return f * theta - i * gradient, State(memory, i, f)


class MetaLSTM(InnerLoop):
    """A starting point, and gates that set the decay and the step length of each parameter.

    With `first_order` gradients and losses of the inner steps count as constants.

    >>> meta_lstm = MetaLSTM(network, GatedUpdate(0.01, key=key), train_steps=12, test_steps=12)
    >>> predictor = meta_lstm.adapt(support, Categorical(5), key=key)
    """

    network: Network
    """θ_0, the initial cell state."""
    update: GatedUpdate
    train_steps: int = eqx.field(static=True, kw_only=True, default=12)
    test_steps: int = eqx.field(static=True, kw_only=True, default=12)
    first_order: bool = eqx.field(static=True, kw_only=True, default=True)
    normalisation: Normalisation = eqx.field(static=True, kw_only=True, default="batch")

    @property
    def has_slope(self) -> bool:
        return not self.first_order

    def adapted_network(
        self, support: Examples, likelihood: Likelihood, steps: int, *, key: PRNGKeyArray
    ) -> Network:
        return self.unrolled(support, likelihood, steps)[0]

    def unrolled(
        self, support: Examples, likelihood: Likelihood, steps: int
    ) -> tuple[Network, tuple[Network, Network]]:
        """Return the network after `steps` steps, and the values of the input and forget gates as
        networks in which every array has a leading axis of steps."""
        parameters, fixed = eqx.partition(self.network, eqx.is_inexact_array)
        theta, as_network = ravel_pytree(parameters)
        support_loss = loss_on(support, likelihood)

        @jax.checkpoint
        def step(carry: tuple[Array, State], _: None):
            theta, state = carry
            loss, gradient = jax.value_and_grad(
                lambda theta: support_loss(eqx.combine(as_network(theta), fixed))
            )(theta)
            if self.first_order:
                loss, gradient = jax.lax.stop_gradient((loss, gradient))
            theta, state = self.update(theta, gradient, loss, state)
            return (theta, state), (state.i, state.f)

        (theta, _), (i, f) = jax.lax.scan(step, (theta, self.update.start(theta)), length=steps)
        of_steps = jax.vmap(as_network)
        return eqx.combine(as_network(theta), fixed), (of_steps(i), of_steps(f))
