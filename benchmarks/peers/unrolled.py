"""Meta-training of the LSTM optimiser in plain PyTorch, as its public implementations write it: a
loop in Python over the steps of a window, gradients of the problems by autograd and detached, and
one backward pass. All problems of the meta-batch are in the same arrays.
"""

import math
from typing import Any

import numpy as np
import torch

P = 10.0
NAME = f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"


def log_and_sign(gradient: torch.Tensor) -> torch.Tensor:
    """(n,) -> (n, 2)"""
    size = gradient.abs()
    large = size >= math.exp(-P)
    first = torch.where(large, torch.log(size.clamp_min(1e-30)) / P, torch.full_like(size, -1.0))
    second = torch.where(large, gradient.sign(), math.exp(P) * gradient)
    return torch.stack([first, second], dim=-1)


class Optimizer(torch.nn.Module):
    """Two LSTM layers and a linear output, on each coordinate."""

    def __init__(self, layers: list[tuple[np.ndarray, np.ndarray]], weight, bias, scale: float):
        super().__init__()
        self.cells = torch.nn.ModuleList()
        for of_both, b in layers:
            units = len(b) // 4
            cell = torch.nn.LSTMCell(of_both.shape[1] - units, units)
            with torch.no_grad():
                cell.weight_ih.copy_(torch.tensor(of_both[:, :-units]))
                cell.weight_hh.copy_(torch.tensor(of_both[:, -units:]))
                cell.bias_ih.copy_(torch.tensor(b))
                cell.bias_hh.zero_()
            self.cells.append(cell)
        self.weight = torch.nn.Parameter(torch.tensor(weight))
        self.bias = torch.nn.Parameter(torch.tensor(bias))
        self.scale = scale

    def start(self, n: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Zeros for n coordinates."""
        zero = torch.zeros(n, self.weight.numel())
        return [(zero, zero) for _ in self.cells]

    def forward(self, gradient: torch.Tensor, state: list) -> tuple[torch.Tensor, list]:
        x, after = log_and_sign(gradient), []
        for cell, memory in zip(self.cells, state, strict=True):
            memory = cell(x, memory)
            after.append(memory)
            x = memory[0]
        return self.scale * (x @ self.weight + self.bias), after


class Quadratics:
    """f(θ) = ‖W θ - y‖² of each of many problems."""

    def __init__(self, w: np.ndarray, y: np.ndarray, theta: np.ndarray):
        self.w, self.y, self.theta = (torch.tensor(x) for x in (w, y, theta))

    def losses(self, theta: torch.Tensor) -> torch.Tensor:
        """(problems, d) -> (problems,)"""
        residual = torch.einsum("pij,pj->pi", self.w, theta) - self.y
        return (residual**2).sum(-1)


class Networks:
    """Cross-entropy of a layer of sigmoid units, on the minibatch of each step; one problem."""

    def __init__(self, batches: list[tuple[np.ndarray, np.ndarray]], parameters: list[np.ndarray]):
        self.batches = [(torch.tensor(x), torch.tensor(y)) for x, y in batches]
        self.shapes = [p.shape for p in parameters]
        flat = np.concatenate([p.ravel() for p in parameters])
        self.theta = torch.tensor(flat)[None]
        self.asked = 0

    def losses(self, theta: torch.Tensor) -> torch.Tensor:
        """Of the next minibatch."""
        sizes = [math.prod(shape) for shape in self.shapes]
        parts = torch.split(theta[0], sizes)
        w, b, v, c = (p.view(s) for p, s in zip(parts, self.shapes, strict=True))
        x, y = self.batches[self.asked % len(self.batches)]
        self.asked += 1
        logits = torch.sigmoid(x @ w + b) @ v + c
        return torch.nn.functional.cross_entropy(logits, y)[None]


def window(optimizer: Optimizer, problems: Any, steps: int) -> torch.Tensor:
    """The mean loss over the steps and problems, ready to be differentiated."""
    theta = problems.theta.clone().requires_grad_()
    state, total = optimizer.start(theta.numel()), torch.zeros(())
    for t in range(steps + 1):
        losses = problems.losses(theta)
        if t:
            total = total + losses.mean()
        if t == steps:
            break
        (gradient,) = torch.autograd.grad(losses.sum(), theta, retain_graph=True)
        update, state = optimizer(gradient.detach().reshape(-1), state)
        theta = theta + update.view_as(theta)
    return total / steps


class Trainer:
    """Meta-steps from the same state, with Adam."""

    def __init__(self, optimizer: Optimizer, problems: Any, steps: int):
        self.optimizer, self.problems, self.steps = optimizer, problems, steps
        self.adam = torch.optim.Adam(optimizer.parameters(), lr=1e-3)

    def first(self) -> tuple[float, float]:
        """The loss of a window, and the norm of its gradient but for the biases of the hidden
        parts, which double those of the inputs."""
        loss = window(self.optimizer, self.problems, self.steps)
        loss.backward()
        squares = [
            (p.grad**2).sum().item()
            for name, p in self.optimizer.named_parameters()
            if p.grad is not None and "bias_hh" not in name
        ]
        self.optimizer.zero_grad()
        return loss.item(), math.sqrt(sum(squares))

    def run(self, meta_steps: int) -> None:
        """Train."""
        for _ in range(meta_steps):
            if hasattr(self.problems, "asked"):
                self.problems.asked = 0
            self.adam.zero_grad()
            window(self.optimizer, self.problems, self.steps).backward()
            self.adam.step()
