"""Features of pictures or texts by a model in a file: model.onnx, with model.json beside it.

The features of an input are computed once, and kept in the user's cache folder by the SHA-256 of
the model, of its preprocessing, and of the input's bytes.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from quickstudy.datasets.ahead import ahead
from quickstudy.datasets.embedding_file import EmbeddingFile
from quickstudy.datasets.feature_cache import FeatureCache
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import read_pixels
from quickstudy.datasets.onnx_graph import Graph
from quickstudy.datasets.pooling import pooled
from quickstudy.datasets.preprocessing import (
    Declaration,
    Images,
    image_input,
    read_declaration,
)
from quickstudy.datasets.text_inputs import TextInputs
from quickstudy.errors import UserError
from quickstudy.progress import progress
from quickstudy.terminal import say_once

BATCH = 32
"""Inputs that are run together, where the graph takes any number."""

ALIKE = 0.1
"""How far the features of a padded text may be from those of the text alone, of their length."""

In = TypeVar("In")


def open_model(path: str | Path, kept: EmbeddingFile | None = None) -> EmbeddingModel:
    """Open a model and what is declared of it. With `kept`, it must be the model that a run has
    kept: at `path`, or where it lay when the run was trained.

    Raises `UserError` where it is missing, cannot be run, does not fit its declaration, or is
    another model than the one that was kept.

    >>> open_model("model.onnx").of_files([Path("cat/001.jpg")]).shape
    (1, 1280)
    """
    places = [Path(path)]
    if kept is not None and kept.path == str(path):
        places.append(Path(kept.absolute))
    there = [place for place in dict.fromkeys(places) if place.is_file()]
    if not there:
        raise UserError(
            f"there is no model {path}: put it there, or name its file with --embed PATH"
        )
    for place in there:
        model = _opened(place, place.stat().st_mtime_ns)
        if kept is None or kept.same_model(model.file):
            return model
    raise UserError(
        f"{there[0]} is not the model that the run was trained with: the SHA-256 of it or of what "
        "its .json says is another; name the right file with --embed PATH"
    )


@functools.lru_cache(maxsize=2)
def _opened(path: Path, changed: int) -> EmbeddingModel:
    """The model in a file that was last changed then."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the model {path}: {error.strerror}") from None
    declared = read_declaration(path)
    file = EmbeddingFile(
        str(path),
        str(path.absolute()),
        hashlib.sha256(content).hexdigest(),
        declared.digest(path.parent),
    )
    return EmbeddingModel(file, declared, Graph(path, content, declared), FeatureCache.of_user())


class EmbeddingModel:
    """A model that gives features (N, features), float32, of pictures or of texts."""

    def __init__(
        self, file: EmbeddingFile, declared: Declaration, graph: Graph, cache: FeatureCache
    ):
        self.file, self.declared, self.graph = file, declared, graph
        self.cache = cache
        """Features that it has given before."""
        self._texts = None
        if declared.texts is not None:
            path = Path(file.path).parent / declared.texts.tokenizer
            self._texts = TextInputs(path, declared.texts, graph.length)
            if graph.length is None:  # else the padding is always the same
                self._require_mask()

    @property
    def takes_texts(self) -> bool:
        """Whether it is a model of texts, and not of images."""
        return self._texts is not None

    def of_files(self, paths: Sequence[Path]) -> Float[np.ndarray, "n features"]:
        """Features of image files. Raises `UserError` that names the file where one cannot be
        read."""
        declared = self.images

        def content(i: int) -> bytes:
            try:
                return paths[i].read_bytes()
            except OSError as error:
                raise UserError(f"cannot read {paths[i]}: {error.strerror}") from None

        def prepared(i: int) -> np.ndarray:
            return _image_input(str(paths[i]), read_pixels(paths[i], declared.channels), declared)

        return self._features(list(map(str, paths)), content, prepared, self._of_images)

    def of_pictures(
        self, pictures: np.ndarray | Sequence[np.ndarray]
    ) -> Float[np.ndarray, "n features"]:
        """Features of pictures, each uint8 (height, width, channels) with 1 or 3 channels. Raises
        `UserError` where they are something else."""
        declared, names = self.images, [f"picture {i}" for i in range(len(pictures))]

        def content(i: int) -> bytes:
            x = np.asarray(pictures[i])
            if x.dtype != np.uint8 or x.ndim != 3 or x.shape[2] not in (1, 3):
                raise UserError(
                    f"--embed takes pictures of bytes with 1 or 3 channels, and {names[i]} is "
                    f"{x.dtype} {x.shape}"
                )
            return repr(x.shape).encode() + x.tobytes()

        def prepared(i: int) -> np.ndarray:
            return _image_input(names[i], np.asarray(pictures[i]), declared)

        return self._features(names, content, prepared, self._of_images)

    def of_texts(self, texts: Sequence[str] | np.ndarray) -> Float[np.ndarray, "n features"]:
        """Features of texts. Says in one line on standard error how many of those that are computed
        are longer than the model takes. Raises `UserError` where a text has no tokens, or the model
        is one of images."""
        inputs = self._texts
        if inputs is None:
            raise UserError(f"{self.file.path} is a model of images: --embed one of texts")
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))  # little padding
        texts = [texts[i] for i in order]
        names = [f"the text {text if len(text) < 40 else text[:40] + ' …'!r}" for text in texts]
        cut: set[int] = set()

        def tokens(i: int) -> Any:
            try:
                found = inputs.tokens(texts[i])
            except ValueError as error:
                raise UserError(f"{names[i]}: {error}") from None
            if found.overflowing:
                cut.add(i)
            return found

        def vectors(rows: Sequence[Any]) -> np.ndarray:
            return self._of_tokens(inputs.feed(rows))

        x = self._features(names, lambda i: texts[i].encode(), tokens, vectors)
        if cut:
            most = inputs.declared.max_length
            say_once(
                f"{len(cut)} of {len(texts)} texts are longer than {most} tokens, the max_length "
                f"of {Path(self.file.path).name}: the rest of them is left out"
            )
        return x[np.argsort(order)]

    @property
    def images(self) -> Images:
        """How it takes images. Raises `UserError` where it takes texts."""
        if self.declared.images is None:
            raise UserError(f"{self.file.path} is a model of texts: --embed one of images")
        return self.declared.images

    def _of_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        (name,) = self.graph.inputs
        return pooled(self.graph.run({name: np.stack(images)}), self.declared)

    def _of_tokens(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        assert self.declared.texts is not None
        x = self.graph.run({name: feed[name] for name in self.graph.inputs})
        return pooled(x, self.declared, feed[self.declared.texts.mask])

    def _require_mask(self) -> None:
        """Raise `UserError` where padding changes the features of a text by more than rounding
        does, as in a graph that was exported without its mask. Each text would then depend on the
        texts beside it."""
        declared, rows = self.declared.texts, self.graph.batch or 1
        assert declared is not None
        longest = min(16, declared.max_length)
        ones = np.ones((rows, -(-longest // 4)), int)
        padding = np.zeros((rows, longest - ones.shape[1]), int)

        def of(tokens: np.ndarray) -> np.ndarray:
            feed = {declared.ids: tokens, declared.mask: tokens, declared.types: 0 * tokens}
            return self._of_tokens(feed)[0]

        alone, padded = of(ones), of(np.concatenate([ones, padding], axis=1))
        if np.linalg.norm(padded - alone) > ALIKE * np.linalg.norm(alone):
            raise UserError(
                f"{self.file.path}: padding changes the features of a text, so the graph does not "
                f"use {declared.mask!r} as it should: export the model anew"
            )

    def _features(
        self,
        names: Sequence[str],
        content: Callable[[int], bytes],
        prepared: Callable[[int], In],
        vectors: Callable[[Sequence[In]], np.ndarray],
    ) -> Float[np.ndarray, "n features"]:
        """The features of the inputs called `names`: from the cache by the `content` of each, or
        the `vectors` of several that are `prepared`, side by side."""
        if not names:
            return np.empty((0, 0), np.float32)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            keys = list(pool.map(lambda i: self._key(content(i)), range(len(names))))
            found = self.cache.read(set(keys))
            missing = {key: i for i, key in enumerate(keys) if key not in found}
            places, size = list(missing.items()), self.graph.batch or BATCH
            groups = [places[start : start + size] for start in range(0, len(places), size)]
            ready = ahead(pool, prepared, ([i for _, i in group] for group in groups))
            title = f"features by {Path(self.file.path).name}"
            with progress(title, len(places), show=len(places) > size) as reporter:
                for done, (group, several) in enumerate(zip(groups, ready, strict=True)):
                    rest = [several[-1]] * (size - len(group)) if self.graph.batch else []
                    x = vectors([*several, *rest])[: len(group)]
                    for (_, i), row in zip(group, x, strict=True):
                        if not np.isfinite(row).all():
                            raise UserError(
                                f"{self.file.path} gives numbers that are not finite for {names[i]}"
                            )
                    rows = dict(zip([key for key, _ in group], x, strict=True))
                    self.cache.write(rows)
                    found |= rows
                    reporter.at(done * size + len(group))
        return np.stack([found[key] for key in keys])

    def _key(self, content: bytes) -> bytes:
        """The key of an input in the cache."""
        words = (self.file.sha256, self.file.preprocessing, hashlib.sha256(content).hexdigest())
        return hashlib.sha256(" ".join(words).encode()).digest()


def embedded(
    examples: Grouped, model: EmbeddingModel, pictures: Sequence[np.ndarray] | None = None
) -> Grouped:
    """The features of examples by a model: of texts, or of `pictures`, which are x by default.
    Features of the same model stay as they are; those of another one are refused (`UserError`)."""
    if examples.embedding is not None:
        if not examples.embedding.same_model(model.file):
            raise UserError(
                f"these are features of {examples.embedding.path} already, and "
                f"{model.file.path} is another model: leave out --embed"
            )
        return examples
    if examples.x.dtype == object:
        x = model.of_texts(examples.x)
    else:
        x = model.of_pictures(examples.x if pictures is None else pictures)
    return replace(examples, x=x, embedding=model.file, ink=None)


def _image_input(name: str, pixels: np.ndarray, declared: Images) -> np.ndarray:
    """`image_input`, with the name of the picture in messages."""
    try:
        return image_input(pixels, declared)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
