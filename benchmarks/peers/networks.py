"""The same networks in PyTorch, and what all peers share.

PyTorch pads a strided convolution at the top and left where quickstudy pads at the bottom and
right. So that each runs its own, fast form on the same arithmetic, the peers of strided networks
get kernels and pictures turned by half a circle.

On a GPU all tensors are there by default. In bfloat16 the forward passes run under autocast, as
PyTorch's documentation advises.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.cases import META_LEARNING_RATE, Arithmetic, MAMLStep
from benchmarks.contender import EpisodeArrays, Problem
from benchmarks.machine import on_gpu
from quickstudy.devices import cores

torch.set_num_threads(cores())
DEVICE = torch.device("cuda" if on_gpu() else "cpu")
torch.zeros(1, device=DEVICE)  # a torch without CUDA says so here, and its peers are left out
torch.set_default_device(DEVICE)

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Support inputs and targets, query inputs and targets of one task."""

Loss = Callable[[Tensor, Tensor], Tensor]


def conv4(problem: Problem, stride: int) -> nn.Sequential:
    """Four blocks of convolution, batch normalisation, ReLU and pooling unless they stride."""
    layers: list[nn.Module] = []
    for i, block in enumerate(problem.blocks):
        _, _, inputs, outputs = block.kernel.shape
        convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        norm = nn.BatchNorm2d(outputs, track_running_stats=bool(problem.moments))
        kernel = block.kernel[::-1, ::-1] if stride == 2 else block.kernel
        copy_into(convolution.weight, kernel.transpose(3, 2, 0, 1))
        copy_into(norm.weight, block.gamma)
        copy_into(norm.bias, block.beta)
        if problem.moments:
            copy_into(norm.running_mean, problem.moments[i].mean)
            copy_into(norm.running_var, problem.moments[i].variance)
        layers += [convolution, norm, nn.ReLU()]
        if stride == 1:
            layers.append(nn.MaxPool2d(2))
    if stride == 2:
        layers.append(nn.AvgPool2d(2))
    return nn.Sequential(*layers, nn.Flatten())


def wait() -> None:
    """Until the device has done what it was asked."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def use(arithmetic: Arithmetic) -> None:
    """Round what stays in float32 inside the tensor cores, or do not."""
    precision = "ieee" if arithmetic == "float32" else "tf32"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision


class Autocast(nn.Module):
    """A network whose products and convolutions are in bfloat16, its outputs in float32."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16):
            return self.network(x).float()


def in_arithmetic(network: nn.Module, arithmetic: Arithmetic) -> nn.Module:
    """The network, computed as asked."""
    use(arithmetic)
    return Autocast(network) if arithmetic == "bfloat16" else network


def linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    """x W + b."""
    layer = nn.Linear(*weight.shape)
    copy_into(layer.weight, weight.T)
    copy_into(layer.bias, bias)
    return layer


def maml_network(case: MAMLStep, problem: Problem) -> nn.Module:
    """The case's network, from the problem's parameters."""
    layers = [linear(*x) for x in problem.linears]
    if case.network == "mlp 2x40":
        first, second, last = layers
        network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
    else:
        network = nn.Sequential(*conv4(problem, case.stride), *layers)
    return in_arithmetic(network, case.arithmetic)


def copy_into(target: Tensor | None, values: np.ndarray) -> None:
    """Overwrite a tensor's numbers."""
    assert target is not None
    with torch.no_grad():
        target.copy_(torch.from_numpy(values.copy()))


def maml_loss(case: MAMLStep) -> Loss:
    """The mean negative log-likelihood."""
    if case.network == "mlp 2x40":
        return lambda out, y: 0.5 * functional.mse_loss(out, y) + 0.5 * math.log(2 * math.pi)
    return functional.cross_entropy


def batch(episode: EpisodeArrays, stride: int = 1) -> Batch:
    """An episode as tensors; pictures with channels first."""

    def inputs(x: np.ndarray) -> Tensor:
        if x.ndim == 4:
            x = (x[:, ::-1, ::-1] if stride == 2 else x).transpose(0, 3, 1, 2)
        return torch.from_numpy(x.copy()).to(DEVICE)

    def targets(y: np.ndarray) -> Tensor:
        kind = np.int64 if y.dtype.kind == "i" else np.float32
        return torch.from_numpy(y.astype(kind)).to(DEVICE)

    return (
        inputs(episode.support_x),
        targets(episode.support_y),
        inputs(episode.query_x),
        targets(episode.query_y),
    )


class TrainingSteps:
    """Steps of Adam. `gradient` gives the mean loss and leaves its gradient in the network."""

    def __init__(self, network: nn.Module, gradient: Callable[[], Tensor]):
        self.network, self.gradient = network, gradient
        self.adam = torch.optim.Adam(network.parameters(), lr=META_LEARNING_RATE)

    def figures(self) -> dict[str, float]:
        self.adam.zero_grad()
        loss = self.gradient()
        squares = sum(float(p.grad.square().sum()) for p in self.network.parameters())
        return {"loss": float(loss), "gradient norm": math.sqrt(squares)}

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.adam.zero_grad()
            self.gradient()
            self.adam.step()
        wait()
