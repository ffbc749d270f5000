"""Memory-augmented neural networks (Santoro, Bartunov, Botvinick, Wierstra and Lillicrap, "One-shot
Learning with Memory-Augmented Neural Networks", ICML 2016).

A controller as in `recurrent.py`, with a memory M of slots. It computes keys k from each hidden
state, reads slots that are similar to them, and writes them to slots:

    K(k, M(i)) = k·M(i) / (‖k‖ ‖M(i)‖)                                      (eq. 2)
    w^r(i) = softmax_i β K(k, M(i))                                         (eq. 3)
    r = Σ_i w^r(i) M(i)                                                     (eq. 4)

The read vectors go into the classifier, and into the controller with the next input.

Least recently used access (LRUA) writes to slots that are rarely used, or to the slots that were
read last:

    w^u_t = γ w^u_{t-1} + w^r_t + w^w_t                                     (eq. 5)
    w^lu_t(i) = 1 where w^u_t(i) is among the n smallest, else 0            (eq. 6)
    w^w_t = σ(α) w^r_{t-1} + (1 - σ(α)) w^lu_{t-1}                          (eq. 7)
    M_t(i) = M_{t-1}(i) + w^w_t(i) k_t,  least used slots erased before     (eq. 8)

There are n read heads, each with a key and a gate α; w^w_t k_t and the sums in eq. 5 are over them.

The addressing of neural Turing machines (Graves, Wayne and Danihelka 2014, section 3.3) also shifts
from slot to slot. A head has a key k, strength β, gate g, shift s, sharpness γ, and a weight w:

    w^c(i) = softmax_i β K(k, M(i));   w^g = g w^c + (1 - g) w_{t-1}        (eqs. 5, 7)
    w̃(i) = Σ_j w^g(j) s(i - j);        w(i) = w̃(i)^γ / Σ_j w̃(j)^γ           (eqs. 8, 9)

and one more head of the same kind writes: M_t(i) = M_{t-1}(i) (1 - w(i) e) + w(i) a (eqs. 3, 4).

Differences from the papers: the papers read M_t; here M_{t-1} is read, because a key that has just
been written would be most similar to itself. With LRUA β is 1 in the paper and 10 here. All n least
used slots are erased; among equal usages the first slots come first. The papers do not specify the
initial head parameters of NTM addressing. Here the write head starts by advancing one slot per
step, and the read heads by content, with keys tied to the written vector, which mimics LRUA;
docs/methods/mann.md has the effect."""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.learners.distances import unit
from quickstudy.learners.memory.recurrent import Controller, Recurrent
from quickstudy.networks.layers import Linear


class Slots(eqx.Module):
    """A memory at one time, and the weights of its last use."""

    memory: Float[Array, "slots width"]
    read: Float[Array, "heads slots"]
    """The weights w^r of each head that reads."""
    written: Float[Array, "writers slots"]
    """The weights w^w of each head that writes."""


class Access(eqx.Module):
    """The way in which a memory of `slots` × `width` is read, by `heads` heads, and written."""

    interface: Linear
    heads: int = eqx.field(static=True)
    slots: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    @abc.abstractmethod
    def start(self) -> Slots:
        """Return the memory before the first input."""

    @abc.abstractmethod
    def __call__(
        self, h: Float[Array, " h"], before: Slots
    ) -> tuple[Slots, Float[Array, "heads width"]]:
        """Read and write by the controller's hidden state `h`; return the memory, and the vector
        that each head has read."""


def similarity(
    keys: Float[Array, "heads width"], memory: Float[Array, "slots width"]
) -> Float[Array, "heads slots"]:
    """Compute K, the cosines; an empty slot has the cosine 0."""
    return unit(keys) @ unit(memory).T


class Used(Slots):
    """… and its usage."""

    usage: Float[Array, " slots"]
    """w^u."""


class LeastRecentlyUsed(Access):
    """LRUA."""

    decay: float = eqx.field(static=True)
    strength: float = eqx.field(static=True)

    def __init__(
        self,
        hidden: int,
        *,
        heads: int = 4,
        slots: int = 128,
        width: int = 40,
        decay: float = 0.95,
        strength: float = 10.0,
        key: PRNGKeyArray,
    ):
        """`hidden` is the controller's width, `decay` γ, `strength` β."""
        self.interface = Linear(hidden, heads * (width + 1), key=key)
        self.heads, self.slots, self.width = heads, slots, width
        self.decay, self.strength = decay, strength

    def start(self) -> Used:
        none = jnp.zeros((self.heads, self.slots))
        return Used(jnp.zeros((self.slots, self.width)), none, none, none[0])

    def __call__(
        self, h: Float[Array, " h"], before: Slots
    ) -> tuple[Used, Float[Array, "heads width"]]:
        assert isinstance(before, Used)
        made = self.interface(h).reshape(self.heads, self.width + 1)
        keys, gate = jnp.tanh(made[:, :-1]), jax.nn.sigmoid(made[:, -1:])
        read = jax.nn.softmax(self.strength * similarity(keys, before.memory))
        least_used = smallest(before.usage, self.heads)
        written = gate * before.read + (1 - gate) * least_used
        memory = before.memory * (1 - least_used[:, None]) + written.T @ keys
        usage = self.decay * before.usage + jnp.sum(read + written, 0)
        return Used(memory, read, written, usage), read @ before.memory


def smallest(usage: Float[Array, " slots"], n: int) -> Float[Array, " slots"]:
    """Return w^lu: 1 for the n smallest, the first among equals, else 0."""
    _, places = jax.lax.top_k(-jax.lax.stop_gradient(usage), n)
    return jnp.zeros_like(usage).at[places].set(1.0)


SHIFTS = (-1, 0, 1)
ABOVE_ZERO = 1e-6
"""Added to weights before they are sharpened, because the power has no derivative at 0."""


WRITER = (10.0, -2.0, 2.0, 0.0, 0.0, 3.0)
"""The initial β, g, γ and three shifts of a write head, before they are mapped into their ranges:
it advances by one slot."""
READER = (10.0, 2.0, 2.0, 0.0, 3.0, 0.0)
"""The same of a read head: it reads the slots that are similar to its key."""


class NeuralTuringMachine(Access):
    """The addressing of neural Turing machines. All heads begin a sequence at the first slot."""

    def __init__(
        self,
        hidden: int,
        *,
        heads: int = 4,
        slots: int = 128,
        width: int = 40,
        key: PRNGKeyArray,
    ):
        """`hidden` is the controller's width."""
        of_head = width + len(WRITER)
        interface = Linear(hidden, (heads + 1) * of_head + 2 * width, key=key)
        places = jnp.arange((heads + 1) * of_head).reshape(heads + 1, of_head)
        keys, others = places[1:, :width], places[:, width:]  # keys of readers: as what is added
        weight = interface.weight.at[:, keys].set(interface.weight[:, None, -width:])
        bias = interface.bias.at[keys].set(interface.bias[-width:])
        bias = bias.at[others].add(jnp.asarray([WRITER, *(READER,) * heads]))
        self.interface = eqx.tree_at(lambda i: (i.weight, i.bias), interface, (weight, bias))
        self.heads, self.slots, self.width = heads, slots, width

    def start(self) -> Slots:
        first = jnp.zeros((self.heads + 1, self.slots)).at[:, 0].set(1.0)
        return Slots(jnp.zeros((self.slots, self.width)), first[1:], first[:1])

    def __call__(
        self, h: Float[Array, " h"], before: Slots
    ) -> tuple[Slots, Float[Array, "heads width"]]:
        made = self.interface(h)
        heads = made[: -2 * self.width].reshape(self.heads + 1, -1)
        erase, add = jnp.split(made[-2 * self.width :], 2)
        written = self.address(heads[:1], before.memory, before.written)
        memory = before.memory * (1 - written.T * jax.nn.sigmoid(erase)) + written.T * add
        read = self.address(heads[1:], before.memory, before.read)
        return Slots(memory, read, written), read @ before.memory

    def address(
        self,
        heads: Float[Array, "some parameters"],
        memory: Float[Array, "slots width"],
        before: Float[Array, "some slots"],
    ) -> Float[Array, "some slots"]:
        """Compute the weights of heads from their earlier weights."""
        keys, rest = heads[:, : self.width], heads[:, self.width :]
        strength, gate, sharpness = jnp.split(rest[:, : -len(SHIFTS)], 3, axis=1)
        shift = jax.nn.softmax(rest[:, -len(SHIFTS) :])
        by_content = jax.nn.softmax(jax.nn.softplus(strength) * similarity(keys, memory))
        gate = jax.nn.sigmoid(gate)
        w = gate * by_content + (1 - gate) * before
        w = sum(shift[:, [i]] * jnp.roll(w, by, axis=1) for i, by in enumerate(SHIFTS))
        w = (w + ABOVE_ZERO) ** (1 + jax.nn.softplus(sharpness))
        return w / jnp.sum(w, axis=1, keepdims=True)


class MANN(Recurrent):
    """A controller with a memory.

    >>> access = LeastRecentlyUsed(200, key=a)
    >>> learner = MANN(LSTM(400 + 5, access.heads * access.width, 200, key=b), access, 5, key=c)
    """

    access: Access

    def __init__(self, controller: Controller, access: Access, size: int, *, key: PRNGKeyArray):
        super().__init__(controller, size, access.heads * access.width, key=key)
        self.access = access

    def start(self) -> PyTree:
        nothing = jnp.zeros((self.access.heads, self.access.width))
        return self.controller.start(), self.access.start(), nothing

    def step(self, state: PyTree, added: Float[Array, " units"]) -> tuple[PyTree, Array]:
        state, slots, read = state
        h, state = self.controller(added, read.ravel(), state)
        # On the way back it is quicker to compute this again than to fetch all that it computed.
        slots, read = jax.checkpoint(lambda h, slots: self.access(h, slots))(h, slots)
        return (state, slots, read), jnp.concatenate([h, read.ravel()])
