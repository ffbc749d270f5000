"""A memory-augmented network with least recently used access in plain PyTorch: a loop in Python
over the examples of the sequences, all sequences of the batch in the same arrays.
"""

import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize, one_hot

NAME = f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"


class Network(torch.nn.Module):
    """An LSTM controller and a memory, from given weights: (units, inputs) and (units,) each."""

    def __init__(self, layers: dict[str, tuple[np.ndarray, np.ndarray]], form: dict[str, float]):
        super().__init__()
        self.layers = torch.nn.ModuleDict()
        for name, (weight, bias) in layers.items():
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(weight))
                layer.bias.copy_(torch.tensor(bias))
            self.layers[name] = layer
        self.heads, self.slots, self.width = (int(form[x]) for x in ("heads", "slots", "width"))
        self.decay, self.strength = form["decay"], form["strength"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, time, inputs) -> logits (batch, time, classes)"""
        batch, length, _ = x.shape
        controller = self.layers["recurrent"].out_features // 4
        h = c = x.new_zeros(batch, controller)
        memory = x.new_zeros(batch, self.slots, self.width)
        read = x.new_zeros(batch, self.heads, self.slots)
        usage = x.new_zeros(batch, self.slots)
        found = x.new_zeros(batch, self.heads * self.width)
        added, seen = self.layers["inputs"](x), []
        for t in range(length):
            units = added[:, t] + self.layers["recurrent"](torch.cat([found, h], -1))
            i, f, o, g = units.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            made = self.layers["interface"](h).view(batch, self.heads, self.width + 1)
            keys, gate = torch.tanh(made[..., :-1]), torch.sigmoid(made[..., -1:])
            likeness = normalize(keys, dim=-1) @ normalize(memory, dim=-1).transpose(1, 2)
            least = torch.zeros_like(usage)
            places = usage.detach().topk(self.heads, largest=False).indices
            least = least.scatter(1, places, 1.0)
            written = gate * read + (1 - gate) * least[:, None]
            read = torch.softmax(self.strength * likeness, -1)
            found = (read @ memory).flatten(1)
            memory = memory * (1 - least)[..., None] + written.transpose(1, 2) @ keys
            usage = self.decay * usage + (read + written).sum(1)
            seen.append(torch.cat([h, found], -1))
        return self.layers["head"](torch.stack(seen, 1))


class Trainer:
    """Steps of Adam on one batch of sequences, each told its labels one step late."""

    def __init__(self, network: Network, x: np.ndarray, y: np.ndarray, classes: int):
        self.network, self.y = network, torch.tensor(y)
        labels = one_hot(self.y, classes).float()
        late = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], 1)
        self.x = torch.cat([torch.tensor(x).flatten(2), late], -1)
        self.adam = torch.optim.Adam(network.parameters(), lr=1e-3)

    def loss(self) -> torch.Tensor:
        """The mean over all examples."""
        return cross_entropy(self.network(self.x).flatten(0, 1), self.y.flatten())

    def figures(self) -> dict[str, float]:
        """Before the first step."""
        loss = self.loss()
        loss.backward()
        squares = [(p.grad**2).sum().item() for p in self.network.parameters()]
        self.adam.zero_grad()
        return {"loss": loss.item(), "norm of the gradient": math.sqrt(sum(squares))}

    def run(self, steps: int) -> None:
        """Train."""
        for _ in range(steps):
            self.adam.zero_grad()
            self.loss().backward()
            self.adam.step()
