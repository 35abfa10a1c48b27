"""Holds a vectorised function against its nested-loop twin: values and gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from newfound.objective.joint import JointLosses

TOLERANCES = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-11},
    torch.float32: {"rtol": 2e-4, "atol": 2e-5},
}


def assert_twins(
    fast: Callable[..., Tensor],
    slow: Callable[..., Tensor],
    *inputs: Tensor,
    dtype: torch.dtype = torch.float64,
) -> None:
    """Both give the same values, and the same gradients of a random weighting of the values.

    `fast` is given the inputs in `dtype`, `slow` the very same numbers in float64.
    """
    rounded = [given.detach().to(dtype) for given in inputs]
    values, gradients = _values_and_gradients(fast, rounded)
    expected_values, expected_gradients = _values_and_gradients(
        slow, [given.double() for given in rounded]
    )
    assert values.dtype == dtype
    torch.testing.assert_close(values.double(), expected_values, **TOLERANCES[dtype])
    for gradient, expected in zip(gradients, expected_gradients):
        torch.testing.assert_close(gradient.double(), expected, **TOLERANCES[dtype])


def stacked(losses: JointLosses) -> Tensor:
    """The terms as (6,), detached, in the order of `JointLosses`."""
    return torch.stack([term.detach().float() for term in losses])


def gradients_of(output: Tensor, *inputs: Tensor) -> list[Tensor]:
    """The gradient by each input, zeros where the output does not depend on it."""
    if not output.requires_grad:
        return [torch.zeros_like(given) for given in inputs]
    return list(torch.autograd.grad(output, inputs, retain_graph=True, materialize_grads=True))


def _values_and_gradients(
    function: Callable[..., Tensor], inputs: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    leaves = [given.clone().requires_grad_() for given in inputs]
    values = function(*leaves)
    weights = torch.rand(values.shape, generator=torch.Generator().manual_seed(7)) + 0.5
    return values.detach(), gradients_of((values * weights.to(values.dtype)).sum(), *leaves)
