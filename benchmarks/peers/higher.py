"""higher: an inner loop that runs on a differentiable copy of the network."""

import higher
import torch
from torch import Tensor

from benchmarks.cases import MAMLStep
from benchmarks.contender import Problem
from benchmarks.peers.networks import TrainingSteps, batch, maml_loss, maml_network

NAME = "higher"


def maml(case: MAMLStep, problem: Problem) -> TrainingSteps:
    """First order by detaching the inner gradients in the callback for them."""
    network, loss_of = maml_network(case, problem), maml_loss(case)
    inner = torch.optim.SGD(network.parameters(), lr=case.inner_learning_rate)
    batches = [batch(x, case.stride) for x in problem.episodes]

    def constants(gradients: list[Tensor]) -> list[Tensor]:
        return [g.detach() for g in gradients]

    callback = constants if case.first_order else None

    def gradient() -> Tensor:
        total = torch.zeros(())
        for support_x, support_y, query_x, query_y in batches:
            with higher.innerloop_ctx(network, inner, copy_initial_weights=False) as (
                adapted,
                optimizer,
            ):
                for _ in range(case.inner_steps):
                    optimizer.step(loss_of(adapted(support_x), support_y), grad_callback=callback)
                loss = loss_of(adapted(query_x), query_y)
                (loss / len(batches)).backward()
                total += loss.detach()
        return total / len(batches)

    return TrainingSteps(network, gradient)


CONTENDERS = {MAMLStep: maml}
