"""TorchOpt: a differentiable optimiser that updates the network in place, and takes it back."""

import torch
import torchopt
from torch import Tensor

from benchmarks.cases import MAMLStep
from benchmarks.contender import LeftOut, Problem
from benchmarks.peers.networks import TrainingSteps, batch, maml_loss, maml_network

NAME = "TorchOpt"


def maml(case: MAMLStep, problem: Problem) -> TrainingSteps:
    """Second order only: its `MetaSGD` always differentiates the inner gradients."""
    if case.first_order:
        raise LeftOut("its differentiable optimisers have no first-order form")
    network, loss_of = maml_network(case, problem), maml_loss(case)
    inner = torchopt.MetaSGD(network, lr=case.inner_learning_rate)
    batches = [batch(x, case.stride) for x in problem.episodes]

    def gradient() -> Tensor:
        total = torch.zeros(())
        start = torchopt.extract_state_dict(network, by="reference")
        inner_start = torchopt.extract_state_dict(inner, by="reference")
        for support_x, support_y, query_x, query_y in batches:
            for _ in range(case.inner_steps):
                inner.step(loss_of(network(support_x), support_y))
            loss = loss_of(network(query_x), query_y)
            (loss / len(batches)).backward()
            total += loss.detach()
            torchopt.recover_state_dict(network, start)
            torchopt.recover_state_dict(inner, inner_start)
        return total / len(batches)

    return TrainingSteps(network, gradient)


CONTENDERS = {MAMLStep: maml}
