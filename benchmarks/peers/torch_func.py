"""torch.func: gradients as functions of functions, all tasks of a meta-batch by vmap."""

import torch
from torch import Tensor
from torch.func import functional_call, grad, grad_and_value, vmap

from benchmarks.cases import MAMLStep
from benchmarks.contender import Problem
from benchmarks.peers.networks import TrainingSteps, batch, maml_loss, maml_network

NAME = "torch.func"

Parameters = dict[str, Tensor]


def maml(case: MAMLStep, problem: Problem) -> TrainingSteps:
    """The loss after adaptation is a function of the initial parameters."""
    network, loss_of = maml_network(case, problem), maml_loss(case)
    meta_batch = tuple(
        torch.stack(x) for x in zip(*(batch(x, case.stride) for x in problem.episodes), strict=True)
    )

    def loss_on(parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        return loss_of(functional_call(network, parameters, (x,)), y)

    def after_adapting(parameters: Parameters, support_x, support_y, query_x, query_y) -> Tensor:
        for _ in range(case.inner_steps):
            gradient = grad(loss_on)(parameters, support_x, support_y)
            if case.first_order:
                gradient = {name: g.detach() for name, g in gradient.items()}
            parameters = {
                name: value - case.inner_learning_rate * gradient[name]
                for name, value in parameters.items()
            }
        return loss_on(parameters, query_x, query_y)

    def mean_loss(parameters: Parameters) -> Tensor:
        return vmap(after_adapting, in_dims=(None, 0, 0, 0, 0))(parameters, *meta_batch).mean()

    def gradient() -> Tensor:
        parameters = {name: p.detach() for name, p in network.named_parameters()}
        gradients, loss = grad_and_value(mean_loss)(parameters)
        for name, p in network.named_parameters():
            p.grad = gradients[name]
        return loss

    return TrainingSteps(network, gradient)


CONTENDERS = {MAMLStep: maml}
