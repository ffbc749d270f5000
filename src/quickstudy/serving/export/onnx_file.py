"""A function as an ONNX graph, operation by operation. Nothing else in the package imports `onnx`.

What does not depend on the input is computed here and becomes a constant. The rest is translated by
`onnx_rules.py`. A function with an operation that has no rule is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from quickstudy.datasets.onnx_graph import session
from quickstudy.errors import UserError
from quickstudy.serving.export.onnx_rules import NAMES, RULES, Graph, Value

OPSET, IR_VERSION = 18, 9
FORMAT = f"ONNX, opset {OPSET}"
NEEDS = "this needs onnx and onnxruntime: pip install 'quickstudy[export]'"

CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""The parameters under which an operation has others inside."""


def written(
    function: Callable[..., Any],
    taken: tuple[tuple[int, ...], Any],
    names: Sequence[str] = ("probabilities", "score"),
) -> bytes:
    """The bytes of a function of n inputs of this shape and type, with outputs of these names.
    Raises `UserError` where the package is not installed or an operation has no rule."""
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise UserError(NEEDS) from None
    shape, dtype = taken
    (n,) = export.symbolic_shape("n")
    traced = jax.make_jaxpr(function)(jax.ShapeDtypeStruct((n, *shape), dtype))
    graph = Graph(n, "x")
    found = translated(graph, traced.jaxpr, traced.consts, ["x"])
    for value, name, aval in zip(found, names, traced.out_avals, strict=True):
        whole = graph.expanded(value, (n, *aval.shape[1:]))
        graph.nodes.append(("Identity", [whole], [name], {}))

    def info(name: str, dims: Sequence[Any], kind: int) -> Any:
        return helper.make_tensor_value_info(name, kind, ["n", *map(int, dims)])

    made = helper.make_graph(
        [helper.make_node(op, given, gives, **words) for op, given, gives, words in graph.nodes],
        "quickstudy",
        [info("x", shape, TensorProto.INT32 if dtype == jnp.int32 else TensorProto.FLOAT)],
        [
            info(name, aval.shape[1:], TensorProto.FLOAT)
            for name, aval in zip(names, traced.out_avals, strict=True)
        ],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        made, opset_imports=opset, ir_version=IR_VERSION, producer_name="quickstudy"
    )
    checker.check_model(model)
    return model.SerializeToString()


def opened(content: bytes) -> Callable[[np.ndarray], Any]:
    """The function in a file, run by ONNX Runtime."""
    run = session(Path("the exported graph"), content, NEEDS)
    return lambda x: run.run(None, {"x": np.asarray(x)})


def translated(
    graph: Graph, jaxpr: Any, consts: Sequence[Any], given: Sequence[Value]
) -> list[Value]:
    """Add the operations of a program to a graph. A value is an array where it is known, and
    otherwise the name of what computes it. Raises `UserError` where an operation has no rule."""
    known: dict[Any, Value] = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    known.update(zip(jaxpr.invars, given, strict=True))

    def value(of: Any) -> Value:
        return np.asarray(of.val, of.aval.dtype) if hasattr(of, "val") else known[of]

    for equation in jaxpr.eqns:
        name, values = equation.primitive.name, [value(of) for of in equation.invars]
        inside = next((equation.params[p] for p in CALLS if p in equation.params), None)
        if inside is not None and name not in ("scan", "while", "cond"):
            closed = hasattr(inside, "consts")
            found = translated(
                graph,
                inside.jaxpr if closed else inside,
                inside.consts if closed else (),
                values,
            )
        elif all(isinstance(one, np.ndarray) for one in values) and _is_constant(equation):
            found = equation.primitive.bind(*map(jnp.asarray, values), **equation.params)
            several = equation.primitive.multiple_results
            found = [np.asarray(one) for one in (found if several else [found])]
        elif name in NAMES:
            found = [graph.add(NAMES[name], *values)]
        elif name in RULES:
            made = RULES[name](graph, equation, *values)
            found = made if isinstance(made, list) else [made]
        else:
            raise UserError(
                f"this learner has no form as ONNX: it uses {name!r}. Take .stablehlo instead"
            )
        known.update(zip(equation.outvars, found, strict=True))
    return [value(of) for of in jaxpr.outvars]


def _is_constant(equation: Any) -> bool:
    """Whether no result has an unknown number of rows."""
    return all(isinstance(d, int) for out in equation.outvars for d in out.aval.shape)
