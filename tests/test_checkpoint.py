"""Arrays on disk come back as they were, or not at all."""

import errno
import io
import json
import os
import pickle

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quickstudy import checkpoint
from quickstudy.checkpoint import DamagedFile
from quickstudy.errors import UserError

TYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int32, np.int64, np.uint8, bool]


@st.composite
def arrays(draw) -> np.ndarray:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    size = int(np.prod(shape))
    numbers = draw(st.binary(min_size=8 * size, max_size=8 * size))
    bits = np.frombuffer(numbers, np.int64).reshape(shape)
    return (bits % 2001 - 1000).astype(draw(st.sampled_from(TYPES)))


trees = st.recursive(
    arrays() | st.none() | st.just("not an array"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def same(a, b) -> bool:
    flat_a, structure_a = jax.tree.flatten(a)
    flat_b, structure_b = jax.tree.flatten(b)
    return structure_a == structure_b and all(
        x == y
        if isinstance(x, str)
        else x.dtype == y.dtype
        and x.shape == y.shape
        and np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(flat_a, flat_b, strict=True)
    )


@settings(max_examples=60)
@given(trees, st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3)))
def test_what_was_saved_is_loaded(tmp_path_factory, tree, words):
    path = tmp_path_factory.mktemp("round") / "tree.qs"
    checkpoint.save(path, tree, {"words": words})
    loaded, header = checkpoint.load(path, tree)
    assert same(tree, loaded)
    assert header["words"] == checkpoint.read_header(path)["words"] == words


def test_arrays_of_jax_are_loaded_into_shapes(tmp_path):
    tree = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2), jnp.bfloat16), "c": "as it was"}
    checkpoint.save(tmp_path / "x.qs", tree, {})
    shapes = jax.tree.map(
        lambda x: x if isinstance(x, str) else jax.ShapeDtypeStruct(x.shape, x.dtype), tree
    )
    loaded, _ = checkpoint.load(tmp_path / "x.qs", shapes)
    assert same(tree, loaded)
    assert isinstance(loaded["a"], jax.Array)


TREE = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.asarray([True, False])}


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("content") / "tree.qs"
    checkpoint.save(path, TREE, {"step": 3})
    return path.read_bytes()


def loads_or_is_damaged(folder, content: bytes) -> bool:
    """Whether it loads, and then holds what was written; if not, that it says so."""
    path = folder / "tree.qs"
    path.write_bytes(content)
    try:
        loaded, header = checkpoint.load(path, TREE)
    except DamagedFile:
        return False
    assert same(loaded, TREE)
    assert header["step"] == 3
    return True


def test_every_flipped_byte_is_noticed_or_harmless(content, tmp_path):
    noticed = 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        noticed += not loads_or_is_damaged(tmp_path, bytes(changed))
    assert noticed > len(content) / 2


@settings(max_examples=300)
@given(st.data())
def test_any_other_byte_anywhere_is_noticed_or_harmless(content, tmp_path_factory, data):
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    loads = loads_or_is_damaged(tmp_path_factory.getbasetemp(), bytes(changed))
    first = content.index(TREE["a"].tobytes())
    numbers = slice(first, first + TREE["a"].nbytes)
    if changed[numbers] != content[numbers]:
        assert not loads
    if changed == content:
        assert loads


def test_other_numbers_in_a_whole_archive_are_noticed(content, tmp_path):
    with np.load(io.BytesIO(content)) as written:
        arrays = dict(written)
    arrays["00000"] = arrays["00000"] + 1  # zip's own checksum is right again
    (tmp_path / "tree.qs").write_bytes(archive(**arrays))
    with pytest.raises(DamagedFile, match="checksum"):
        checkpoint.load(tmp_path / "tree.qs", TREE)


def test_every_truncation_is_noticed(content, tmp_path):
    for length in range(len(content)):
        assert not loads_or_is_damaged(tmp_path, content[:length])


@pytest.mark.parametrize(
    "other",
    [
        {**TREE, "a": TREE["a"].T},
        {**TREE, "a": TREE["a"].astype(np.float64)},
        {"a": TREE["a"]},
        {**TREE, "c": np.zeros(1)},
    ],
    ids=["shape", "type", "fewer", "more"],
)
def test_another_structure_is_refused(content, tmp_path, other):
    path = tmp_path / "tree.qs"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match="other parameters"):
        checkpoint.load(path, other)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def archive(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def header(**words) -> np.ndarray:
    full = {"format": checkpoint.FORMAT, "leaves": [[[1], "object"]], "sha256": "", **words}
    return np.frombuffer(json.dumps(full).encode(), np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Bomb()),
        archive(header=header(), **{"00000": np.asarray([Bomb()], object)}),
        archive(header=np.asarray([Bomb()], object)),
        archive(weights=np.zeros(3)),
        archive(header=np.frombuffer(b"[]", np.uint8)),
        archive(header=np.frombuffer(b'{"format": 1, "leaves": []}', np.uint8)),
        b"",
        b"a text file\n",
    ],
    ids=["pickle", "leaf", "header", "foreign", "list", "no checksum", "empty", "text"],
)
def test_what_is_not_ours_is_refused_and_never_unpickled(tmp_path, content):
    path = tmp_path / "tree.qs"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"tree\.qs is damaged"):
        checkpoint.load(path, TREE)


def test_another_format_says_what_to_do(tmp_path):
    path = tmp_path / "tree.qs"
    path.write_bytes(archive(header=header(format=99)))
    with pytest.raises(UserError, match="has format 99, this program reads 1: use the version"):
        checkpoint.load(path, TREE)


@pytest.mark.parametrize("place", ["missing.qs", "", "file/below.qs"])
def test_no_file_is_the_users_mistake(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="there is no file") as raised:
        checkpoint.load(tmp_path / place, TREE)
    assert not isinstance(raised.value, DamagedFile)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, failing):
    path = tmp_path / "tree.qs"
    checkpoint.save(path, TREE, {"step": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        checkpoint.save(path, TREE, {"step": 2})
    assert checkpoint.load(path, TREE)[1]["step"] == 1
    assert os.listdir(tmp_path) == ["tree.qs"]


def test_a_folder_that_cannot_be_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        checkpoint.save(tmp_path / "file" / "tree.qs", TREE, {})


def saved_anew(content: bytes, **changed: np.ndarray) -> bytes:
    """An archive with other members, under new sums of the zip format."""
    with np.load(io.BytesIO(content)) as members:
        return archive(**{**members, **changed})


@pytest.mark.parametrize("read", [checkpoint.read_header, lambda path: checkpoint.load(path, TREE)])
def test_another_header_is_noticed_by_its_checksum(content, tmp_path, read):
    with np.load(io.BytesIO(content)) as members:
        words = json.loads(members["header"].tobytes())
    other = np.frombuffer(json.dumps({**words, "step": 4}).encode(), np.uint8)
    path = tmp_path / "tree.qs"
    path.write_bytes(saved_anew(content))
    read(path)
    path.write_bytes(saved_anew(content, header=other))
    with pytest.raises(DamagedFile, match="its header's checksum does not match"):
        read(path)


def test_leaves_of_other_shapes_with_the_same_bytes_are_noticed(content, tmp_path):
    path = tmp_path / "tree.qs"
    path.write_bytes(saved_anew(content, **{"00000": TREE["a"].reshape(4, 3)}))
    with pytest.raises(DamagedFile, match="its checksum does not match"):
        checkpoint.load(path, TREE)


def test_a_file_of_an_earlier_version_without_a_checksum_of_its_header_loads(content, tmp_path):
    with np.load(io.BytesIO(content)) as members:
        older = {name: members[name] for name in members.files if name != "header_sha256"}
    path = tmp_path / "tree.qs"
    path.write_bytes(archive(**older))
    loaded, header = checkpoint.load(path, TREE)
    assert same(loaded, TREE)
    assert header["step"] == 3


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("more", [b"\0", b"PK\5\6" + bytes(18), b"\xff" * 22, b"x" * 1000])
def test_bytes_around_an_archive_are_refused(content, tmp_path, more, before):
    path = tmp_path / "tree.qs"
    path.write_bytes(more + content if before else content + more)
    for read in (checkpoint.read_header, lambda path: checkpoint.load(path, TREE)):
        with pytest.raises(DamagedFile, match="is damaged"):
            read(path)
