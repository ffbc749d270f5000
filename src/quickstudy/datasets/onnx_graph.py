"""An ONNX graph in a file, run by ONNX Runtime.

Nothing else runs that the file may name: a graph with operators of its own, or with weights in
another file, is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.datasets.preprocessing import Declaration, Images, Texts
from quickstudy.errors import UserError, nearest

FLOATS: dict[str, type] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
"""The types that an input of pictures may have."""
INTEGERS: dict[str, type] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
"""The types that an input of tokens may have."""
NEEDS = "--embed needs onnxruntime: pip install 'quickstudy[onnx]'"
SILENT = 4
"""ONNX Runtime prints nothing: what it raises is said in a line of ours."""
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


class Graph:
    """A graph that takes what is declared of it.

    >>> from quickstudy.datasets.preprocessing import read_declaration
    >>> path = Path("model.onnx")
    >>> graph = Graph(path, path.read_bytes(), read_declaration(path))
    >>> graph.run({"x": np.zeros((2, 3, 224, 224))}).shape
    (2, 1280)
    """

    inputs: tuple[str, ...]
    """The names of what is fed: the pictures; or tokens, and their mask and segments where the
    graph takes them."""
    batch: int | None
    """How many examples it takes at once; None for any number."""
    length: int | None = None
    """How many tokens a text must have; None for any number."""

    def __init__(self, path: Path, content: bytes, declared: Declaration):
        """Open the graph in `content`, the bytes of `path`. Raises `UserError` where it cannot be
        run, or is not what is declared."""
        self.path = path
        self._session = session(path, content, NEEDS)
        self._given = {one.name: one for one in self._session.get_inputs()}
        outputs = [one.name for one in self._session.get_outputs()]
        self._output = self._chosen("output", declared.output, outputs)
        if declared.images is not None:
            self._fit_images(declared.images)
        elif declared.texts is not None:
            self._fit_texts(declared.texts)
        self.batch = self._dimensions(self.inputs[0])[0]

    def run(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        """The output for what is fed by name, float32 (N, ...). Raises `UserError` where the graph
        cannot be run on it."""
        types = {**FLOATS, **INTEGERS}
        feed = {name: x.astype(types[self._given[name].type]) for name, x in feed.items()}
        try:
            (found,) = self._session.run([self._output], feed)
        except Exception as error:  # its exceptions have no class in common
            shapes = ", ".join(f"{name} {x.shape}" for name, x in feed.items())
            said = " ".join(str(error).split())
            raise UserError(
                f"{self.path} cannot be run on {shapes}, as {self._json} declares: {said}"
            ) from None
        return np.asarray(found, np.float32)

    def _fit_images(self, declared: Images) -> None:
        name = self._chosen("input", declared.input, list(self._given))
        self.inputs = (name,)
        self._require_no_more()
        self._require(name, FLOATS, 4)
        found, wanted = self._dimensions(name)[1:], declared.shape
        if any(one not in (None, other) for one, other in zip(found, wanted, strict=True)):
            raise UserError(
                f"{self._json} declares inputs of {_words(wanted)} ({declared.layout}), and the "
                f"graph's input {name!r} takes {_words(found)}: change size, layout or colours"
            )

    def _fit_texts(self, declared: Texts) -> None:
        for name in (declared.ids, declared.mask):  # without a mask, padding would change features
            self._chosen("input", name, list(self._given))
        names = (declared.ids, declared.mask, declared.types)
        self.inputs = tuple(name for name in names if name in self._given)
        self._require_no_more()
        for name in self.inputs:
            self._require(name, INTEGERS, 2)
            self.length = self._dimensions(name)[1]
            if self.length not in (None, declared.max_length):
                raise UserError(
                    f"{self._json} declares max_length {declared.max_length}, and the graph's "
                    f"input {name!r} takes {self.length} tokens"
                )

    def _chosen(self, what: str, name: str | None, there: list[str]) -> str:
        """The declared one of the graph's inputs or outputs, or its only one."""
        if name is None and len(there) == 1:
            return there[0]
        if name is None:
            raise UserError(f'{self._json} has to say which "{what}": {", ".join(there)}')
        if name not in there:
            raise UserError(
                f"{self.path} has no {what} {name!r} ({self._json} names it): "
                f"{nearest(name, there)}"
            )
        return name

    def _require_no_more(self) -> None:
        more = [name for name in self._given if name not in self.inputs]
        if more:
            raise UserError(
                f"{self.path} also takes {', '.join(more)}, which {self._json} does not declare: "
                "export a graph without"
            )

    def _require(self, name: str, types: dict[str, type], rank: int) -> None:
        """Raise `UserError` unless an input has one of these types and so many axes."""
        given = self._given[name]
        if given.type not in types or len(given.shape) != rank:
            raise UserError(
                f"{self.path}: its input {name!r} is {given.type} {given.shape}; it must be "
                f"{' or '.join(types)} with {rank} axes"
            )

    def _dimensions(self, name: str) -> list[int | None]:
        """The axes of an input; None for an axis of any length."""
        return [one if isinstance(one, int) else None for one in self._given[name].shape]

    @property
    def _json(self) -> Path:
        return self.path.with_suffix(".json")


def session(path: Path, content: bytes, needs: str) -> Any:
    """Open a graph in ONNX Runtime, with all of its weights in `content`. Raises `UserError` where
    it cannot be run, or, with the words `needs`, where ONNX Runtime is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError(needs) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.add_session_config_entry(WEIGHTS_FOLDER, str(path / "none"))  # below a file: not there
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no class in common
        said = " ".join(str(error).split())
        advice = "export it anew"
        if "External data" in said:
            advice = "its weights must be in the file itself, not in another one"
        elif "is not a registered function/op" in said or "No Op registered" in said:
            advice = "only the operators that ONNX Runtime brings along are run"
        raise UserError(f"cannot open the model {path}: {advice} ({said})") from None


def _words(shape: tuple[int, ...] | list[int | None]) -> str:
    """A shape for a message.

    >>> _words([3, None, None])
    '3 × any × any'
    """
    return " × ".join("any" if length is None else str(length) for length in shape)
