"""easyfsl: its prototypical network, its sampler of episodes.

Importing it takes torchvision, pandas, matplotlib and tqdm, for data sets and pictures that have
no part in this; where one is missing, a stand-in takes its place.
"""

import importlib.util
import sys
from types import ModuleType
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler

from benchmarks.cases import Evaluation, ProtoNetStep, Sampling
from benchmarks.contender import EpisodeArrays, Problem
from benchmarks.ours import drawing_figures
from benchmarks.peers.networks import Batch, TrainingSteps, batch, conv4, in_arithmetic


class StandIn(ModuleType):
    """A module of which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (nn.Module,), {})


stand_ins = {
    module: StandIn(module)
    for package, modules in {
        "torchvision": ("", ".datasets", ".transforms", ".models", ".models.resnet"),
        "pandas": ("",),
        "matplotlib": ("",),
        "tqdm": ("",),
    }.items()
    if importlib.util.find_spec(package) is None
    for module in (package + rest for rest in modules)
}
with patch.dict(sys.modules, stand_ins):
    from easyfsl.datasets import FewShotDataset
    from easyfsl.methods import PrototypicalNetworks
    from easyfsl.samplers import TaskSampler

NAME = "easyfsl"


def scores(model: PrototypicalNetworks, episode: Batch) -> Tensor:
    """Its scores are minus the distances; ours, as in the paper, minus their squares."""
    support_x, support_y, query_x, _ = episode
    model.process_support_set(support_x, support_y)
    return -model(query_x).square()


def protonet(case: ProtoNetStep, problem: Problem) -> TrainingSteps:
    """One episode a step."""
    model = PrototypicalNetworks(in_arithmetic(conv4(problem, 1), case.arithmetic))
    episode = batch(problem.episodes[0])

    def gradient() -> Tensor:
        loss = functional.cross_entropy(scores(model, episode), episode[3])
        loss.backward()
        return loss.detach()

    return TrainingSteps(model, gradient)


class Pictures(FewShotDataset):
    """Bytes in memory, one picture at a time."""

    def __init__(self, pictures: np.ndarray):
        classes, each = pictures.shape[:2]
        flat = pictures.reshape(-1, *pictures.shape[2:]).transpose(0, 3, 1, 2)
        self.pictures = torch.from_numpy(flat.copy())
        self.labels = np.repeat(np.arange(classes), each).tolist()

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        return self.pictures[item].float() / 255, self.labels[item]

    def __len__(self) -> int:
        return len(self.labels)

    def get_labels(self) -> list[int]:
        return self.labels


def loader(case: Evaluation | Sampling, problem: Problem, episodes: int) -> DataLoader:
    """So many episodes, drawn in this process. The sampler still hands PyTorch's base class an
    argument that it has done away with since."""
    pictures = Pictures(problem.pictures)
    with patch.object(Sampler, "__init__", lambda self, data_source: None):
        sampler = TaskSampler(pictures, case.way, case.shot, case.query, episodes)
    return DataLoader(pictures, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)


class EvaluatedEpisodes:
    """Accuracy on episodes that are drawn along the way."""

    def __init__(self, case: Evaluation, problem: Problem):
        self.problem = problem
        self.model = PrototypicalNetworks(conv4(problem, 1)).eval()
        self.loader = loader(case, problem, case.episodes)

    def figures(self) -> dict[str, float]:
        episode = batch(self.problem.episodes[0])
        with torch.inference_mode():
            made = scores(self.model, episode)
            loss = functional.cross_entropy(made, episode[3])
        return {"loss": float(loss), "norm of the logits": float(made.norm())}

    def run(self, steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                accuracies = []
                for *episode, _ in self.loader:
                    right = scores(self.model, tuple(episode)).argmax(-1) == episode[3]
                    accuracies.append(right.float().mean().item())
                torch.tensor(accuracies).std() / len(accuracies) ** 0.5


class DrawnEpisodes:
    """Episodes one at a time."""

    def __init__(self, case: Sampling, problem: Problem):
        self.loader_of = lambda episodes: loader(case, problem, episodes)

    def figures(self) -> dict[str, float]:
        *episode, _ = next(iter(self.loader_of(1)))
        return drawing_figures(EpisodeArrays(*(x.numpy() for x in episode)))

    def run(self, steps: int) -> None:
        for _ in self.loader_of(steps):
            pass


CONTENDERS = {ProtoNetStep: protonet, Evaluation: EvaluatedEpisodes, Sampling: DrawnEpisodes}
