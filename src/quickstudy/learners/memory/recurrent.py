"""Networks that learn from a sequence by their activations alone (Hochreiter, Younger and Conwell,
ICANN 2001), on the task of Santoro et al. (ICML 2016).

The input at time t is an example and the label of the previous example; the output is the class of
the example. So the network must remember earlier examples with their labels.

    z_t = [x_t, y_{t-1}],  y_0 = 0                                          (section 2)
    h_t = LSTM(z_t, h_{t-1})          or       h_t = tanh(W z_t + b)
    o_t = V h_t + c;               min Σ_t -log p(y_t | o_t)                (section 3.3)

A support set is such a sequence, and each query alone is its next input: the network returns to the
state after the support set before the next query. Unlabelled examples are skipped.

Differences from the paper: none known; its LSTM baseline may have another width."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Categorical, Letters, Likelihood
from quickstudy.networks.layers import Linear
from quickstudy.task import Examples


class Controller(eqx.Module):
    """A controller: it turns inputs into hidden states, one after the other.

    The vectors `read` from a memory (none without a memory) are concatenated with the input. The
    contribution of the input to the units is computed for the whole sequence at once."""

    inputs: Linear
    width: eqx.AbstractVar[int]
    """The length of a hidden state."""

    @abc.abstractmethod
    def start(self) -> PyTree:
        """The state before the first input."""

    @abc.abstractmethod
    def __call__(
        self, added: Float[Array, " units"], read: Float[Array, " r"], state: PyTree
    ) -> tuple[Float[Array, " h"], PyTree]:
        """Take one more input, which contributes `added` = `inputs(z)`; return the hidden state and
        the new state."""


class LSTM(Controller):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000), with forget gates
    that start open:

        [i, f, o, g] = W_z z + W_r r + W_h h + b
        c ← σ(f) c + σ(i) tanh(g),   h ← σ(o) tanh(c)
    """

    inputs: Linear
    recurrent: Linear
    width: int = eqx.field(static=True)

    def __init__(self, inputs: int, read: int, width: int, *, key: PRNGKeyArray):
        for_inputs, for_recurrent = jax.random.split(key)
        self.inputs = Linear(inputs, 4 * width, key=for_inputs)
        recurrent = Linear(read + width, 4 * width, key=for_recurrent)
        self.recurrent = eqx.tree_at(
            lambda r: r.bias, recurrent, jnp.repeat(jnp.asarray([0.0, 1.0, 0.0, 0.0]), width)
        )
        self.width = width

    def start(self) -> tuple[Float[Array, " h"], Float[Array, " h"]]:
        return jnp.zeros(self.width), jnp.zeros(self.width)

    def __call__(
        self,
        added: Float[Array, " units"],
        read: Float[Array, " r"],
        state: tuple[Float[Array, " h"], Float[Array, " h"]],
    ) -> tuple[Float[Array, " h"], tuple[Float[Array, " h"], Float[Array, " h"]]]:
        h, c = state
        i, f, o, g = jnp.split(added + self.recurrent(jnp.concatenate([read, h])), 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return h, (h, c)


class FeedForward(Controller):
    """One layer, h = tanh(W_z z + W_r r + b), without a state."""

    inputs: Linear
    of_read: Linear | None
    width: int = eqx.field(static=True)

    def __init__(self, inputs: int, read: int, width: int, *, key: PRNGKeyArray):
        for_inputs, for_read = jax.random.split(key)
        self.inputs = Linear(inputs, width, key=for_inputs)
        self.of_read = Linear(read, width, key=for_read) if read else None
        self.width = width

    def start(self) -> tuple[()]:
        return ()

    def __call__(
        self, added: Float[Array, " units"], read: Float[Array, " r"], state: tuple[()]
    ) -> tuple[Float[Array, " h"], tuple[()]]:
        return jnp.tanh(added if self.of_read is None else added + self.of_read(read)), ()


def told(labelled: Bool[Array, " n"]) -> Int[Array, " n+1"]:
    """Return the index of the example whose label comes with each of n inputs and with the next
    one: the newest labelled example before it, -1 where there is none.

    >>> told(jnp.asarray([True, False, True]))
    Array([-1,  0,  0,  2], dtype=int32)
    """
    newest = jax.lax.cummax(jnp.where(labelled, jnp.arange(len(labelled)), -1))
    return jnp.concatenate([jnp.asarray([-1]), newest])


def encoded(y: Shaped[Array, "n ..."], likelihood: Likelihood, size: int) -> Float[Array, "n size"]:
    """Encode labels as numbers for a network with `size` outputs; zeros where there is no label.

    Raises `ValueError` where the targets of the task are not labels, or their number differs."""
    if not isinstance(likelihood, Categorical | Letters):
        raise ValueError("this learner reads labels; this task's targets are not labels")
    if likelihood.size != size:
        raise ValueError(f"this learner has {size} outputs, the task needs {likelihood.size}")
    return likelihood.encode(y)


class Recurrent(Learner):
    """A network that gets labels as inputs and learns to remember them.

    >>> learner = Recurrent(LSTM(400 + 5, 0, 200, key=a), 5, key=b)
    >>> learner.adapt(support, Categorical(5), key=key)(queries).shape      # logits
    (75, 5)
    """

    controller: Controller
    head: Linear
    size: int = eqx.field(static=True)

    def __init__(self, controller: Controller, size: int, read: int = 0, *, key: PRNGKeyArray):
        """`size` is the number of logits of a prediction, `read` the number of inputs of the output
        layer besides the hidden state."""
        self.controller = controller
        self.head = Linear(controller.width + read, size, key=key)
        self.size = size

    @property
    def order_matters(self) -> bool:
        return True

    @property
    def labels_are_names(self) -> bool:
        return False

    @property
    def absent_last(self) -> bool:
        return False

    def start(self) -> PyTree:
        """Return the whole state before the first input."""
        return self.controller.start()

    def step(self, state: PyTree, added: Float[Array, " units"]) -> tuple[PyTree, Array]:
        """Take one more input; return the new state and the input of the head."""
        h, state = self.controller(added, jnp.zeros(0), state)
        return state, h

    def added(
        self, x: Shaped[Array, "n ..."], label: Float[Array, "n size"]
    ) -> Float[Array, "n units"]:
        """Compute the contribution of inputs, and of the labels that come with them, to the
        controller's units."""
        return self.controller.inputs(jnp.concatenate([x.reshape(len(x), -1), label], axis=1))

    def labels_of(
        self, y: Shaped[Array, "n ..."], likelihood: Likelihood
    ) -> Float[Array, "n+1 size"]:
        """Encode the labels that come with each input and with the next one."""
        none = jnp.zeros((1, self.size))
        return jnp.concatenate([encoded(y, likelihood, self.size), none])[
            told(likelihood.labelled(y))
        ]

    def in_turn(
        self, examples: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, "n size"]:
        """Predict a sequence, whose examples are all labelled, in one pass."""
        added = self.added(examples.x, self.labels_of(examples.y, likelihood)[:-1])
        _, seen = jax.lax.scan(lambda s, z: self.step(s, z), self.start(), added)
        return self.head(seen)

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> "Kept":
        labels = self.labels_of(support.y, likelihood)

        def read(state: PyTree, example: tuple[Array, Array]) -> tuple[PyTree, None]:
            added, labelled = example
            after, _ = self.step(state, added)
            return jax.tree.map(lambda new, old: jnp.where(labelled, new, old), after, state), None

        added = self.added(support.x, labels[:-1])
        state, _ = jax.lax.scan(read, self.start(), (added, likelihood.labelled(support.y)))
        return Kept(self, state, labels[-1])


class Kept(Predictor):
    """The state after a support set."""

    learner: Recurrent
    state: Any
    label: Float[Array, " size"]
    """The label of the last example, which comes with the next input."""

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        added = self.learner.added(x, jnp.tile(self.label, (len(x), 1)))
        seen = jax.vmap(lambda z: self.learner.step(self.state, z)[1])(added)
        return self.learner.head(seen)
