"""Muon, an optimiser whose steps change all directions of a convolution's kernels equally (Jordan et al. 2024)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the published polynomial
RMS = 0.2  # of a step at rate 1, about that of Adam, so that both take the same rates


def is_kernel(parameter: Tensor) -> bool:
    """Whether a parameter maps more than three channels to more than three, unlike biases, first and last layers."""
    return parameter.ndim > 1 and min(parameter.shape[:2]) > 3


class Muon(torch.optim.Adam):
    """Muon for the kernels of hidden layers, Adam for all other parameters, with one learning rate.

    A kernel (C_out, C_in, k, k) is a matrix (C_out, C_in k k). Its step is the momentum of its gradients with all
    singular values made about equal, scaled to the size of Adam's steps (Liu et al. 2025, section 2.2). Kernels of one
    shape are treated together, which `torch.optim.Muon` cannot: it takes one matrix at a time.

    Before each step set `found_inf`, a scalar on the parameters' device: 1 skips the step, 0 takes it.

    Parameters
    ----------
    parameters : of a network.
    lr : the learning rate of both.
    **adam : options of `torch.optim.Adam`, for the other parameters.
    """

    found_inf: Tensor

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, **adam: Any):
        everything = list(parameters)
        groups = [
            {"params": [parameter for parameter in everything if is_kernel(parameter) == kernels]}
            for kernels in (False, True)
        ]
        super().__init__(groups, lr, **adam)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step on all parameters that have a gradient."""
        kernels = [kernel for kernel in self.param_groups[1]["params"] if kernel.grad is not None]
        gradients = [kernel.grad for kernel in kernels]
        for kernel in kernels:
            kernel.grad = None  # Adam leaves it alone
        super().step()
        shapes: dict[torch.Size, list[Tensor]] = {}
        for kernel, gradient in zip(kernels, gradients, strict=True):
            kernel.grad = gradient
            shapes.setdefault(kernel.shape, []).append(kernel)
        for alike in shapes.values():
            self.step_of(alike)

    def step_of(self, kernels: list[Tensor]) -> None:
        """Take one step on kernels of one shape."""
        moments = []
        for kernel in kernels:
            gradient, state = kernel.grad, self.state[kernel]
            assert gradient is not None
            if not state:
                state["step"] = torch.zeros((), device=kernel.device)
                state["momentum"] = torch.zeros_like(kernel)
            state["step"] += 1 - self.found_inf
            moving = torch.where(self.found_inf > 0, 0, gradient - state["momentum"])
            state["momentum"].add_(moving, alpha=1 - MOMENTUM)
            moments.append(torch.lerp(gradient, state["momentum"], MOMENTUM).flatten(1))
        steps = orthogonalised(torch.stack(moments)) * (RMS * max(kernels[0].flatten(1).shape) ** 0.5)
        steps = torch.where(self.found_inf > 0, 0, steps)
        for kernel, step in zip(kernels, steps, strict=True):
            kernel.add_(step.view(kernel.shape), alpha=-self.param_groups[1]["lr"])


def orthogonalised(matrices: Tensor) -> Tensor:
    """(n, rows, columns) matrices with their singular values brought to about 1, between 0.68 and 1.21.

    By five iterations of an odd polynomial, which needs matrix products only. Singular values below two thousandths of
    the matrix's norm may stay smaller.
    """
    upright = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if upright else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    first, third, fifth = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = first * x + (third * gram + fifth * gram @ gram) @ x
    return x.mT if upright else x
