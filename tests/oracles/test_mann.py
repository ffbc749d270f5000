"""Memory-augmented networks against slow loops that follow the equations word for word."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.learners.memory.mann import MANN, LeastRecentlyUsed, NeuralTuringMachine
from quickstudy.learners.memory.recurrent import LSTM, FeedForward, Recurrent, told
from quickstudy.likelihood import Categorical, Letters
from quickstudy.task import Examples

A, B, C = jax.random.split(jax.random.key(0), 3)
HIDDEN, HEADS, SLOTS, WIDTH, WAY, INPUTS = 6, 2, 7, 3, 3, 4
FORM = {"heads": HEADS, "slots": SLOTS, "width": WIDTH}
RNG = np.random.default_rng(0)
LENGTH = 12
HIDDEN_STATES = jnp.asarray(3 * RNG.normal(size=(LENGTH, HIDDEN)), jnp.float32)


def through(access):
    """The memory after each of the hidden states."""

    @eqx.filter_jit
    def run(access, states):
        def step(slots, h):
            after, read = access(h, slots)
            return after, (after, read)

        return jax.lax.scan(step, access.start(), states)[1]

    return jax.tree.map(np.asarray, run(access, HIDDEN_STATES))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def cosine(a, b):
    """Towards 0 of what is all but empty."""
    return a @ b / np.sqrt((a @ a + 1e-12) * (b @ b + 1e-12))


def test_least_recently_used_access_follows_its_equations():
    access = LeastRecentlyUsed(HIDDEN, **FORM, decay=0.8, strength=2.5, key=A)
    found, contents = through(access)
    weight, bias = np.asarray(access.interface.weight), np.asarray(access.interface.bias)
    memory, usage = np.zeros((SLOTS, WIDTH)), np.zeros(SLOTS)
    read = np.zeros((HEADS, SLOTS))
    for t, h in enumerate(np.asarray(HIDDEN_STATES)):
        made = (h @ weight + bias).reshape(HEADS, WIDTH + 1)
        before, keys = memory.copy(), np.tanh(made[:, :-1])
        least_used = np.zeros(SLOTS)
        for i in sorted(range(SLOTS), key=lambda i: usage[i])[:HEADS]:
            least_used[i] = 1.0
            memory[i] = 0.0
        written = np.zeros((HEADS, SLOTS))
        for head in range(HEADS):
            alpha, key = made[head, -1], keys[head]
            for i in range(SLOTS):
                written[head, i] = sigmoid(alpha) * read[head, i]
                written[head, i] += (1 - sigmoid(alpha)) * least_used[i]
                memory[i] = memory[i] + written[head, i] * key
        for head in range(HEADS):
            likeness = np.asarray([cosine(keys[head], before[i]) for i in range(SLOTS)])
            read[head] = softmax(2.5 * likeness)
        for i in range(SLOTS):
            usage[i] = 0.8 * usage[i] + read[:, i].sum() + written[:, i].sum()
        np.testing.assert_allclose(found.written[t], written, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.memory[t], memory, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.read[t], read, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.usage[t], usage, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(contents[t], read @ before, rtol=1e-3, atol=1e-5)


def test_turing_machines_follow_their_equations():
    access = NeuralTuringMachine(HIDDEN, **FORM, key=A)
    found, contents = through(access)
    weight, bias = np.asarray(access.interface.weight), np.asarray(access.interface.bias)
    memory = np.zeros((SLOTS, WIDTH))
    weights = np.zeros((1 + HEADS, SLOTS))
    weights[:, 0] = 1.0

    def address(head, made, memory):
        made = made[: -2 * WIDTH].reshape(1 + HEADS, WIDTH + 6)[head]
        key, (beta, g, gamma), shift = made[:WIDTH], made[WIDTH:-3], softmax(made[-3:])
        k = np.asarray([cosine(key, row) for row in memory])
        content = softmax(np.log1p(np.exp(beta)) * k)
        gated = sigmoid(g) * content + (1 - sigmoid(g)) * weights[head]
        shifted = np.zeros(SLOTS)
        for i in range(SLOTS):
            for j in range(SLOTS):
                for s, by in enumerate((-1, 0, 1)):
                    if (i - j - by) % SLOTS == 0:
                        shifted[i] += gated[j] * shift[s]
        sharp = shifted ** (1 + np.log1p(np.exp(gamma)))
        return sharp / sharp.sum()

    for t, h in enumerate(np.asarray(HIDDEN_STATES)):
        made = h @ weight + bias
        erase, add = sigmoid(made[-2 * WIDTH : -WIDTH]), made[-WIDTH:]
        before = memory.copy()
        for head in range(1 + HEADS):
            weights[head] = address(head, made, before)
        for i in range(SLOTS):
            memory[i] = memory[i] * (1 - weights[0, i] * erase) + weights[0, i] * add
        np.testing.assert_allclose(found.written[t], weights[:1], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found.memory[t], memory, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found.read[t], weights[1:], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(contents[t], weights[1:] @ before, rtol=1e-3, atol=1e-4)


def test_turing_machines_first_go_on_from_slot_to_slot_and_look_up_what_they_write():
    access = NeuralTuringMachine(HIDDEN, **FORM, key=A)
    made = jax.vmap(access.interface)(HIDDEN_STATES[:SLOTS] / 3)
    memory = made[:, -WIDTH:]
    everywhere = jnp.full((HEADS, SLOTS), 1 / SLOTS)
    for slot, h in enumerate(made):
        heads = h[: -2 * WIDTH].reshape(1 + HEADS, -1)
        found = access.address(heads[1:], memory, everywhere)
        np.testing.assert_array_equal(np.argmax(found, axis=1), slot)
        here = jax.nn.one_hot(jnp.asarray([slot]), SLOTS)
        assert np.argmax(access.address(heads[:1], memory, here)) == (slot + 1) % SLOTS


def make(kind: str, size: int = WAY, inputs: int = INPUTS, width: int = HIDDEN) -> Recurrent:
    read = 0 if kind in ("lstm", "feed-forward") else HEADS * WIDTH
    controller = (FeedForward if "feed-forward" in kind else LSTM)(
        inputs + size, read, width, key=A
    )
    if not read:
        return Recurrent(controller, size, key=C)
    access = {"lrua": LeastRecentlyUsed, "ntm": NeuralTuringMachine}[kind.split()[0]]
    return MANN(controller, access(width, **FORM, key=B), size, key=C)


KINDS = ("lstm", "feed-forward", "lrua", "lrua feed-forward", "ntm")


@eqx.filter_jit
def in_turn(learner, examples, likelihood):
    return learner.in_turn(examples, likelihood, key=A)


@eqx.filter_jit
def adapted(learner, support, likelihood, x):
    return learner.adapt(support, likelihood, key=A)(x)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scan_over_a_sequence_is_its_use_step_by_step(kind):
    """A prediction in turn is the one after adapting to what came before, in the same order."""
    learner = make(kind)
    x = jnp.asarray(RNG.normal(size=(LENGTH, INPUTS)), jnp.float32)
    y = jnp.asarray(RNG.integers(0, WAY, LENGTH))
    together = in_turn(learner, Examples(x, y), Categorical(WAY))
    for t in (0, 1, 5, LENGTH - 1):
        hidden = jnp.where(jnp.arange(LENGTH) < t, y, -1)  # what comes later is passed over
        found = adapted(learner, Examples(x, hidden), Categorical(WAY), x[t : t + 1])
        np.testing.assert_allclose(found[0], together[t], rtol=1e-4, atol=1e-5)


def test_what_is_unlabelled_is_passed_over():
    """… wherever it stands, and without effect on the label that comes in next."""
    learner = make("lrua")
    x = jnp.asarray(RNG.normal(size=(5, INPUTS)), jnp.float32)
    y = jnp.asarray([2, -1, 0, -1, 1])
    labelled = np.flatnonzero(np.asarray(y) >= 0)
    queries = jnp.asarray(RNG.normal(size=(2, INPUTS)), jnp.float32)
    a = adapted(learner, Examples(x, y), Categorical(WAY), queries)
    b = adapted(learner, Examples(x[labelled], y[labelled]), Categorical(WAY), queries)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(told(y >= 0), [-1, 0, 0, 2, 2, 4])


def test_the_label_comes_in_one_step_late():
    """The label of an example changes no prediction up to its own, and some after it."""
    learner = make("lstm", size=25)
    x = jnp.asarray(RNG.normal(size=(LENGTH, INPUTS)), jnp.float32)
    y = jnp.asarray(RNG.integers(0, 5, (LENGTH, 5)))
    before = in_turn(learner, Examples(x, y), Letters())
    after = in_turn(learner, Examples(x, y.at[4].set((y[4] + 1) % 5)), Letters())
    np.testing.assert_array_equal(before[:5], after[:5])
    assert np.all(np.max(np.abs(before - after)[5:], 1) > 1e-6)


def test_a_learner_of_numbers_refuses_words():
    with pytest.raises(ValueError, match="3 outputs, the task needs 25"):
        make("lstm").labels_of(jnp.zeros((4, 5), int), Letters())
