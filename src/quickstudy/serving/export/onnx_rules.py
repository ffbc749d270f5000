"""How each operation of JAX is written in ONNX.

Rules get the values of an operation: an array where a value is known, otherwise the name of what
computes it.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quickstudy.errors import UserError

Value = np.ndarray | str

SAME = (
    *("add", "sub", "mul", "div", "max", "min", "neg", "exp", "log", "sqrt", "abs", "tanh"),
    *("sin", "cos", "floor", "ceil", "sign", "erf", "and", "or", "not", "pow"),
)
NAMES = {
    **{name: name.capitalize() for name in SAME},
    **dict.fromkeys(("stop_gradient", "copy", "copy_p", "reduce_precision"), "Identity"),
    "logistic": "Sigmoid",
    "eq": "Equal",
    "lt": "Less",
    "gt": "Greater",
    "le": "LessOrEqual",
    "ge": "GreaterOrEqual",
}
"""Operations that have the same meaning, number by number, with numbers repeated along axes of
length 1."""


class Graph:
    """The operations and constants of an ONNX graph. Axes of length `n` are those of inputs."""

    def __init__(self, n: Any, x: str):
        self.n, self.x = n, x
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray] = {}
        self._rows: str | None = None
        self._known: dict[Any, str] = {}

    def name(self, value: Value) -> str:
        """The name of a value. Equal constants are one."""
        if isinstance(value, str):
            return value
        key = (value.shape, str(value.dtype), value.tobytes())
        if key not in self._known:
            self._known[key] = f"constant_{len(self.constants)}"
            self.constants[self._known[key]] = np.ascontiguousarray(value).reshape(value.shape)
        return self._known[key]

    def add(self, operation: str, *given: Value, **options: Any) -> str:
        """Add an operation with one result. The same operation on the same values is one."""
        names = [self.name(one) for one in given]
        key = (operation, *names, repr(options))
        if key not in self._known:
            self._known[key] = f"value_{len(self.nodes)}"
            self.nodes.append((operation, names, [self._known[key]], options))
        return self._known[key]

    def integers(self, numbers: Sequence[int]) -> np.ndarray:
        """A constant of whole numbers."""
        return np.asarray([int(number) for number in numbers], np.int64)

    def shape(self, dims: Sequence[Any]) -> Value:
        """A shape, in which n is the number of inputs."""
        if all(isinstance(d, int) for d in dims):
            return self.integers(dims)
        if self._rows is None:
            size = self.add("Shape", self.x)
            self._rows = self.add("Slice", size, self.integers([0]), self.integers([1]))
        parts = [self.integers([d]) if isinstance(d, int) else self._rows_for(d) for d in dims]
        return self.add("Concat", *parts, axis=0)

    def _rows_for(self, d: Any) -> str:
        assert self._rows is not None
        if d != self.n:
            raise UserError(
                f"this learner has no form as ONNX: an axis has length {d}. Take .stablehlo instead"
            )
        return self._rows

    def reshaped(self, value: Value, dims: Sequence[Any]) -> str:
        """The same numbers in another shape, with one unknown axis at most."""
        sizes = [d if isinstance(d, int) else -1 for d in dims]
        return self.add("Reshape", value, self.integers(sizes))

    def expanded(self, value: Value, dims: Sequence[Any]) -> str:
        """Numbers repeated along axes of length 1."""
        return self.add("Expand", value, self.shape(dims))


def broadcast_in_dim(graph: Graph, equation: Any, x: Value, *_: Value) -> str:
    shape, places = equation.params["shape"], equation.params["broadcast_dimensions"]
    between: list[Any] = [1] * len(shape)
    for place, length in zip(places, equation.invars[0].aval.shape, strict=True):
        between[int(place)] = length
    made = graph.reshaped(x, between)
    return made if tuple(between) == tuple(shape) else graph.expanded(made, shape)


def reshape(graph: Graph, equation: Any, x: Value, *_: Value) -> str:
    return graph.reshaped(x, equation.outvars[0].aval.shape)


def transpose(graph: Graph, equation: Any, x: Value) -> str:
    return graph.add("Transpose", x, perm=[int(i) for i in equation.params["permutation"]])


def dot_general(graph: Graph, equation: Any, x: Value, y: Value) -> str:
    (of_x, of_y), (batch_x, batch_y) = equation.params["dimension_numbers"]
    letters = iter(string.ascii_lowercase)
    left = [next(letters) for _ in equation.invars[0].aval.shape]
    right = [next(letters) for _ in equation.invars[1].aval.shape]
    for i, j in [*zip(batch_x, batch_y, strict=True), *zip(of_x, of_y, strict=True)]:
        right[j] = left[i]
    rest_x = [left[i] for i in range(len(left)) if i not in (*of_x, *batch_x)]
    rest_y = [right[j] for j in range(len(right)) if j not in (*of_y, *batch_y)]
    out = "".join([*(left[i] for i in batch_x), *rest_x, *rest_y])
    return graph.add("Einsum", x, y, equation=f"{''.join(left)},{''.join(right)}->{out}")


def conv_general_dilated(graph: Graph, equation: Any, x: Value, w: Value) -> str:
    p = equation.params
    numbers = p["dimension_numbers"]
    if set(p["lhs_dilation"]) != {1} or p["batch_group_count"] != 1:
        raise UserError("this learner has no form as ONNX: a transposed convolution")
    made = graph.add(
        "Conv",
        graph.add("Transpose", x, perm=[int(i) for i in numbers.lhs_spec]),
        graph.add("Transpose", w, perm=[int(i) for i in numbers.rhs_spec]),
        strides=list(p["window_strides"]),
        dilations=list(p["rhs_dilation"]),
        group=p["feature_group_count"],
        pads=[*(low for low, _ in p["padding"]), *(high for _, high in p["padding"])],
    )
    return graph.add("Transpose", made, perm=[int(i) for i in np.argsort(numbers.out_spec)])


def slice_(graph: Graph, equation: Any, x: Value) -> str:
    p, shape = equation.params, equation.invars[0].aval.shape
    axes = [i for i, d in enumerate(shape) if isinstance(d, int)]
    strides = p["strides"] or [1] * len(shape)
    if any(p["start_indices"][i] or strides[i] != 1 for i in range(len(shape)) if i not in axes):
        raise UserError("this learner has no form as ONNX: it takes some of the inputs")
    bounds = [[p["start_indices"][i] for i in axes], [p["limit_indices"][i] for i in axes]]
    starts, ends = map(graph.integers, bounds)
    steps = graph.integers([strides[i] for i in axes])
    return graph.add("Slice", x, starts, ends, graph.integers(axes), steps)


def split(graph: Graph, equation: Any, x: Value) -> list[str]:
    axis, ends = graph.integers([equation.params["axis"]]), np.cumsum(equation.params["sizes"])
    bounds = zip([0, *ends], ends, strict=False)
    return [
        graph.add("Slice", x, graph.integers([start]), graph.integers([end]), axis)
        for start, end in bounds
    ]


def pad(graph: Graph, equation: Any, x: Value, value: Value) -> str:
    low, high, between = zip(*equation.params["padding_config"], strict=True)
    if any(between) or min(*low, *high) < 0:
        raise UserError("this learner has no form as ONNX: padding between numbers")
    return graph.add("Pad", x, graph.integers([*low, *high]), value)


def concatenate(graph: Graph, equation: Any, *parts: Value) -> str:
    return graph.add("Concat", *parts, axis=int(equation.params["dimension"]))


def stack(graph: Graph, equation: Any, *parts: Value) -> str:
    axis = int(equation.params["axis"])
    single = [graph.add("Unsqueeze", part, graph.integers([axis])) for part in parts]
    return graph.add("Concat", *single, axis=axis)


def squeeze(graph: Graph, equation: Any, x: Value) -> str:
    return graph.add("Squeeze", x, graph.integers(equation.params["dimensions"]))


def expand_dims(graph: Graph, equation: Any, x: Value) -> str:
    return graph.add("Unsqueeze", x, graph.integers(equation.params["dimensions"]))


def reduction(operation: str) -> Callable[..., str]:
    """A rule for a reduction over axes."""

    def rule(graph: Graph, equation: Any, x: Value) -> str:
        return graph.add(operation, x, graph.integers(equation.params["axes"]), keepdims=0)

    return rule


def of_booleans(operation: str) -> Callable[..., str]:
    """A rule for `any` or `all` over axes: the largest or the smallest of 0 and 1."""

    def rule(graph: Graph, equation: Any, x: Value) -> str:
        axes = graph.integers(equation.params["axes"])
        found = graph.add(operation, graph.add("Cast", x, to=TYPES["int32"]), axes, keepdims=0)
        return graph.add("Cast", found, to=TYPES["bool"])

    return rule


TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float64": 11}
"""The numbers of types in ONNX (TensorProto.DataType)."""


def convert_element_type(graph: Graph, equation: Any, x: Value) -> str:
    name = str(equation.params["new_dtype"])
    if name not in TYPES:
        raise UserError(f"this learner has no form as ONNX: it uses {name}")
    return graph.add("Cast", x, to=TYPES[name])


def select_n(graph: Graph, equation: Any, which: Value, *cases: Value) -> str:
    if len(cases) != 2 or equation.invars[0].aval.dtype != bool:
        raise UserError("this learner has no form as ONNX: a choice among many")
    return graph.add("Where", which, cases[1], cases[0])


def integer_pow(graph: Graph, equation: Any, x: Value) -> str:
    power = np.asarray(equation.params["y"], equation.invars[0].aval.dtype)
    return graph.add("Mul", x, x) if power == 2 else graph.add("Pow", x, power)


def square(graph: Graph, equation: Any, x: Value) -> str:
    return graph.add("Mul", x, x)


def rsqrt(graph: Graph, equation: Any, x: Value) -> str:
    return graph.add("Reciprocal", graph.add("Sqrt", x))


def log1p(graph: Graph, equation: Any, x: Value) -> str:
    return graph.add("Log", graph.add("Add", x, np.ones((), np.float32)))


def ne(graph: Graph, equation: Any, x: Value, y: Value) -> str:
    return graph.add("Not", graph.add("Equal", x, y))


def is_finite(graph: Graph, equation: Any, x: Value) -> str:
    return graph.add("Not", graph.add("Or", graph.add("IsInf", x), graph.add("IsNaN", x)))


def clamp(graph: Graph, equation: Any, low: Value, x: Value, high: Value) -> str:
    return graph.add("Min", graph.add("Max", x, low), high)


RULES: dict[str, Callable[..., str | list[str]]] = {
    **{
        rule.__name__.rstrip("_"): rule
        for rule in (
            *(
                broadcast_in_dim,
                reshape,
                transpose,
                dot_general,
                conv_general_dilated,
                slice_,
                split,
            ),
            *(pad, concatenate, stack, squeeze, expand_dims, convert_element_type, select_n),
            *(integer_pow, square, rsqrt, log1p, ne, is_finite, clamp),
        )
    },
    "reduce_sum": reduction("ReduceSum"),
    "reduce_max": reduction("ReduceMax"),
    "reduce_min": reduction("ReduceMin"),
    "reduce_prod": reduction("ReduceProd"),
    "reduce_or": of_booleans("ReduceMax"),
    "reduce_and": of_booleans("ReduceMin"),
}
"""The rules of the other operations."""
