"""The memory of rare events against a slow loop over its rules."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.experiments.studies.lifelong import by_presentation, remembered
from quickstudy.learners.memory.memory_module import Memory, MemoryModule
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP
from quickstudy.task import Episode, Examples
from quickstudy.tasks.sequences import Sequence

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
SLOTS, WIDTH, CLASSES, LENGTH, K, MARGIN = 6, 3, 4, 40, 3, 0.3
Q = RNG.normal(size=(LENGTH, WIDTH)).astype(np.float32)
Q /= np.linalg.norm(Q, axis=1, keepdims=True)
Y = RNG.integers(0, CLASSES, LENGTH)


@eqx.filter_jit
def followed(q, y):
    def step(memory, example):
        q, y, key = example
        loss, counted = memory.loss(q, y, K, MARGIN)
        out = (memory.nearest(q), memory.logits(q, CLASSES), loss, counted)
        memory = memory.told(q, y, key=key)
        return memory, (memory, *out)

    keys = jax.random.split(KEY, len(y))
    return jax.lax.scan(step, Memory.empty(SLOTS, WIDTH), (q, y, keys))[1]


def test_a_memory_is_written_asked_and_trained_as_the_rules_say():
    """More examples than slots: hits, misses and evictions. Slots may be filled in any order, so
    contents are compared, oldest first."""
    memories, nearest, logits, losses, counted = followed(jnp.asarray(Q), jnp.asarray(Y))
    entries: list[list] = []  # [key, value, age]
    hits = evictions = 0
    for t, (q, y) in enumerate(zip(Q, Y, strict=True)):
        ranked = sorted(entries, key=lambda e: -float(e[0] @ q))
        assert nearest[t] == (ranked[0][1] if ranked else -1)
        kept = {e[1] for e in entries}
        best = {c: 40 * max(float(e[0] @ q) for e in entries if e[1] == c) for c in kept}
        behind = min(best.values(), default=1.0) - 1
        expected = [best.get(c, behind) for c in range(CLASSES)]
        np.testing.assert_allclose(logits[t], expected, rtol=1e-4, atol=1e-4)
        right = [e[0] @ q for e in ranked[:K] if e[1] == y]
        wrong = [e[0] @ q for e in ranked[:K] if e[1] != y]
        expected = max(0.0, wrong[0] - right[0] + MARGIN) if right and wrong else 0.0
        np.testing.assert_allclose(losses[t], expected, rtol=1e-4, atol=1e-5)
        assert counted[t] == (bool(right) and bool(wrong))
        for e in entries:
            e[2] += 1
        if ranked and ranked[0][1] == y:
            hits += 1
            merged = q + ranked[0][0]
            ranked[0][0], ranked[0][2] = merged / np.linalg.norm(merged), 0
        else:
            if len(entries) == SLOTS:
                evictions += 1
                oldest = max(range(SLOTS), key=lambda i: entries[i][2])
                del entries[oldest]
            entries.append([q, y, 0])
        filled = np.flatnonzero(memories.values[t] >= 0)
        found = sorted(filled, key=lambda i: -int(memories.ages[t, i]))
        entries.sort(key=lambda e: -e[2])
        assert memories.ages[t, found].tolist() == [e[2] for e in entries]
        assert memories.values[t, found].tolist() == [e[1] for e in entries]
        np.testing.assert_allclose(
            memories.keys[t, found], np.stack([e[0] for e in entries]), rtol=1e-4, atol=1e-5
        )
    assert hits > 5
    assert evictions > 5


LEARNER = MemoryModule(MLP((4,), hidden=(5,), key=KEY))
X = jnp.asarray(RNG.normal(size=(12, 4)), jnp.float32)
LABELS = jnp.asarray(Y[:12])


def test_a_sequence_in_one_pass_is_adapting_anew_each_time():
    likelihood = Categorical(CLASSES)
    together = LEARNER.in_turn(Examples(X, LABELS), likelihood, key=KEY)
    adapted = eqx.filter_jit(lambda y, x: LEARNER.adapt(Examples(X, y), likelihood, key=KEY)(x))
    for t in (0, 1, 5, 11):
        hidden = jnp.where(jnp.arange(12) < t, LABELS, -1)  # what is unlabelled is not told
        np.testing.assert_allclose(adapted(hidden, X[t : t + 1])[0], together[t], rtol=1e-4)


def test_training_asks_about_every_example_of_the_episode():
    """A sequence in its order; an episode in a random one, and figures are of its queries."""
    likelihood = Categorical(CLASSES)
    q, y = LEARNER.keys_of(X), LABELS
    _, logits, expected = LEARNER.stream(q, y, likelihood, key=KEY)
    sequence = Sequence(Examples(X[:0], y[:0]), Examples(X, y), likelihood)
    loss_of = eqx.filter_jit(lambda task: LEARNER.loss(task, key=KEY))
    loss, metrics = loss_of(sequence)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert loss > 0
    assert metrics["accuracy"] == likelihood.metrics(logits, y)["accuracy"]
    apart = jnp.eye(4)[jnp.arange(8) % CLASSES] * 50  # classes that any network tells apart
    y = jnp.arange(8) % CLASSES
    episode = Episode(Examples(apart[:4], y[:4]), Examples(apart[4:], y[4:]), likelihood)
    assert loss_of(episode)[1]["accuracy"] == 1


def test_a_long_stream_is_asked_and_told_one_by_one():
    _, nearest, *_ = followed(jnp.asarray(Q), jnp.asarray(Y))
    known = remembered(Memory.empty(SLOTS, WIDTH), jnp.asarray(Q), jnp.asarray(Y), KEY)
    np.testing.assert_array_equal(known, np.asarray(nearest) == Y)
    found = by_presentation(np.asarray([False, False, True, True, False]), np.asarray([7] * 5))
    assert [found[str(k)].mean for k in range(1, 6)] == [0, 0, 1, 1, 0]
