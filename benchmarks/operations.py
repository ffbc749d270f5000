"""How many floating-point operations a case takes, and how many bytes it moves at the least.

Only convolutions and linear layers count, a multiplication and an addition as two operations,
zeros at the border included. Each is a product of inputs and weights, and so are its derivatives,
all with as many operations as the forward pass. For a layer that is not the first:

* forward: 1 product;
* forward and gradient: 3, one more for the weights' gradient and one for the inputs';
* an inner step that is differentiated through: 9, those 3 and, on the way back through each of
  them, one for either factor.

The inputs of the first layer are data, so it takes 1, 2 and 4. Nothing is counted twice that a
program may keep, so a program that computes intermediate values again does more than this.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cases import (
    FILTERS,
    HIDDEN,
    PICTURE,
    Case,
    Evaluation,
    MAMLStep,
    ProtoNetStep,
    Sampling,
)

FORWARD, GRADIENT, DIFFERENTIATED_STEP = (1, 1), (2, 3), (4, 9)
"""Products of the first layer, and of each other one."""

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Layer:
    """A layer's size: multiply-adds and outputs for one example, weights in all."""

    products: int
    outputs: int
    weights: int


def convolutions(stride: int) -> tuple[Layer, ...]:
    """conv4: blocks that stride, or convolve at full size and then pool by two."""
    height, width, channels = PICTURE
    layers = []
    for _ in range(4):
        halved = (-(-height // 2), -(-width // 2))
        rows, columns = halved if stride == 2 else (height, width)
        weights = 9 * channels * FILTERS
        layers.append(Layer(rows * columns * weights, rows * columns * FILTERS, weights))
        height, width = halved if stride == 2 else (height // 2, width // 2)
        channels = FILTERS
    return tuple(layers)


def linear(inputs: int, outputs: int) -> Layer:
    """x W + b."""
    return Layer(inputs * outputs, outputs, inputs * outputs)


def layers_of(case: MAMLStep) -> tuple[Layer, ...]:
    """The case's network, from the input on."""
    if case.network == "mlp 2x40":
        widths = (1, *HIDDEN, 1)
        return tuple(linear(a, b) for a, b in itertools.pairwise(widths))
    return (*convolutions(case.stride), linear(FILTERS, case.way))


def operations_of(layers: Sequence[Layer], examples: int, times: tuple[int, int]) -> int:
    """Operations on so many examples; `times` is how many products each layer takes."""
    first, others = times
    products = first * layers[0].products + others * sum(x.products for x in layers[1:])
    return 2 * examples * products


def operations(case: Case) -> int:
    """Floating-point operations of one step of a case; 0 where there are no products."""
    match case:
        case MAMLStep():
            layers, support = layers_of(case), case.way * case.shot
            inner = GRADIENT if case.first_order else DIFFERENTIATED_STEP
            of_task = case.inner_steps * operations_of(layers, support, inner) + operations_of(
                layers, case.way * case.query, GRADIENT
            )
            return case.tasks * of_task
        case ProtoNetStep():
            return operations_of(convolutions(1), examples(case), GRADIENT)
        case Evaluation():
            return case.episodes * operations_of(convolutions(1), examples(case), FORWARD)
        case Sampling():
            return 0


def bytes_moved(case: Case) -> int:
    """Bytes of one step at the least: for each forward pass the weights, the inputs and every
    layer's outputs once, as float32; for an episode its bytes read and its numbers written."""
    pixels = math.prod(PICTURE)
    match case:
        case MAMLStep():
            layers = layers_of(case)
            pixels = 1 if case.network == "mlp 2x40" else pixels
            support, query = case.way * case.shot, case.way * case.query
            of_task = case.inner_steps * _pass(layers, support, pixels) + _pass(
                layers, query, pixels
            )
            return case.tasks * of_task
        case ProtoNetStep():
            return _pass(convolutions(1), examples(case), pixels)
        case Evaluation():
            return case.episodes * _pass(convolutions(1), examples(case), pixels)
        case Sampling():
            return examples(case) * pixels * (1 + FLOAT_BYTES)


def examples(case: Case) -> int:
    """Examples in one episode."""
    return case.way * (case.shot + case.query)


def _pass(layers: Sequence[Layer], examples: int, inputs: int) -> int:
    weights = sum(x.weights for x in layers)
    return FLOAT_BYTES * (weights + examples * (inputs + sum(x.outputs for x in layers)))
