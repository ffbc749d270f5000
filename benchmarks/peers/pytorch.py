"""Plain PyTorch: one task after the other."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from benchmarks.cases import Arithmetic, Evaluation, MAMLStep, ProtoNetStep, Sampling
from benchmarks.contender import EpisodeArrays, Problem
from benchmarks.ours import drawing_figures
from benchmarks.peers.networks import (
    DEVICE,
    Batch,
    TrainingSteps,
    batch,
    conv4,
    in_arithmetic,
    maml_loss,
    maml_network,
    use,
    wait,
)

NAME = "PyTorch"


def matrix_products(
    size: int, fastest: Callable[[Callable[[], object]], float], arithmetic: Arithmetic
) -> float:
    """Floating-point operations a second of a matrix product; see `machine`."""
    use(arithmetic)
    a = torch.randn(size, size, dtype=torch.bfloat16 if arithmetic == "bfloat16" else torch.float32)
    return 2 * size**3 / fastest(lambda: (a @ a, wait()))


def copies(size: int, fastest: Callable[[Callable[[], object]], float]) -> float:
    """Bytes a second, read and written together, of copying memory; see `machine`."""
    source = torch.ones(size // 4)
    target = torch.empty_like(source)
    return 2 * size / fastest(lambda: (target.copy_(source), wait()))


def peak_bytes(case: MAMLStep, problem: Problem) -> int | None:
    """What a meta-step takes on a GPU, beyond what is there before it; None on a processor."""
    steps = maml(case, problem)
    if DEVICE.type != "cuda":
        return None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    steps.run(1)
    return torch.cuda.max_memory_allocated() - before


def maml(case: MAMLStep, problem: Problem) -> TrainingSteps:
    """Inner steps by `autograd.grad`, with a graph of their own where they are differentiated."""
    network, loss_of = maml_network(case, problem), maml_loss(case)
    batches = [batch(x, case.stride) for x in problem.episodes]

    def gradient() -> Tensor:
        total = torch.zeros(())
        for support_x, support_y, query_x, query_y in batches:
            adapted = dict(network.named_parameters())
            for _ in range(case.inner_steps):
                loss = loss_of(functional_call(network, adapted, (support_x,)), support_y)
                gradients = torch.autograd.grad(
                    loss, list(adapted.values()), create_graph=not case.first_order
                )
                adapted = {
                    name: value - case.inner_learning_rate * g
                    for (name, value), g in zip(adapted.items(), gradients, strict=True)
                }
            loss = loss_of(functional_call(network, adapted, (query_x,)), query_y)
            (loss / len(batches)).backward()
            total += loss.detach()
        return total / len(batches)

    return TrainingSteps(network, gradient)


def scores(network: nn.Module, episode: Batch, way: int) -> Tensor:
    """Minus the squared distances of the queries to the class means."""
    support_x, support_y, query_x, _ = episode
    z = network(support_x)
    means = torch.stack([z[support_y == label].mean(0) for label in range(way)])
    return -(network(query_x)[:, None] - means).square().sum(-1)


def protonet(case: ProtoNetStep, problem: Problem) -> TrainingSteps:
    """One episode a step."""
    network = in_arithmetic(conv4(problem, 1), case.arithmetic)
    episode = batch(problem.episodes[0])

    def gradient() -> Tensor:
        loss = functional.cross_entropy(scores(network, episode, case.way), episode[3])
        loss.backward()
        return loss.detach()

    return TrainingSteps(network, gradient)


class Drawer:
    """Episodes drawn from bytes in memory, by random permutations."""

    def __init__(self, pictures: Tensor, way: int, shot: int, query: int):
        self.pictures, self.way, self.shot, self.query = pictures, way, shot, query

    def draw(self) -> Batch:
        classes = torch.randperm(len(self.pictures))[: self.way]
        each = self.shot + self.query
        rows = torch.stack([torch.randperm(self.pictures.shape[1])[:each] for _ in classes])
        x = self.pictures[classes[:, None], rows].float() / 255
        labels = torch.arange(self.way)
        return (
            x[:, : self.shot].flatten(0, 1),
            labels.repeat_interleave(self.shot),
            x[:, self.shot :].flatten(0, 1),
            labels.repeat_interleave(self.query),
        )


def drawer(case: Evaluation | Sampling, problem: Problem) -> Drawer:
    """The problem's pictures, channels first."""
    pictures = torch.from_numpy(problem.pictures.transpose(0, 1, 4, 2, 3).copy()).to(DEVICE)
    return Drawer(pictures, case.way, case.shot, case.query)


class EvaluatedEpisodes:
    """Accuracy on episodes that are drawn along the way."""

    def __init__(self, case: Evaluation, problem: Problem):
        self.case, self.problem = case, problem
        self.network, self.drawer = conv4(problem, 1).eval(), drawer(case, problem)

    def figures(self) -> dict[str, float]:
        episode = batch(self.problem.episodes[0])
        with torch.inference_mode():
            made = scores(self.network, episode, self.case.way)
            loss = functional.cross_entropy(made, episode[3])
        return {"loss": float(loss), "norm of the logits": float(made.norm())}

    def run(self, steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                accuracies = []
                for _ in range(self.case.episodes):
                    episode = self.drawer.draw()
                    right = scores(self.network, episode, self.case.way).argmax(-1) == episode[3]
                    accuracies.append(right.float().mean().item())
                torch.tensor(accuracies).std() / len(accuracies) ** 0.5


class DrawnEpisodes:
    """Episodes one at a time."""

    def __init__(self, case: Sampling, problem: Problem):
        self.drawer = drawer(case, problem)

    def figures(self) -> dict[str, float]:
        return drawing_figures(EpisodeArrays(*(x.numpy() for x in self.drawer.draw())))

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.drawer.draw()


CONTENDERS = {
    MAMLStep: maml,
    ProtoNetStep: protonet,
    Evaluation: EvaluatedEpisodes,
    Sampling: DrawnEpisodes,
}
