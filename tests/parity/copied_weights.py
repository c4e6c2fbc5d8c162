"""Hold a block against a reference that has the same numbers: outputs, input gradients, parameter gradients."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.testing import assert_close

Reading = Mapping[str, Callable[[dict[str, Tensor]], Tensor]]


def same_names(module: nn.Module) -> Reading:
    """The reading of a block whose parameters are called alike in the reference."""
    return {name: (lambda tensors, name=name: tensors[name]) for name, _ in module.named_parameters()}


def assert_parity(
    ours: nn.Module,
    reference: nn.Module,
    reading: Reading,
    inputs: tuple[Tensor, ...],
    call_ours: Callable[..., Tensor],
    call_reference: Callable[..., Tensor],
) -> None:
    """Draw every parameter, copy them over, and compare everything that flows forward and back, in float64.

    `reading` says for each of our parameters where its numbers (and its gradient) stand in the reference.
    """
    ours, reference = ours.double(), reference.double()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
        source = {name: parameter.detach() for name, parameter in reference.named_parameters()}
        own = dict(ours.named_parameters())
        assert own.keys() == reading.keys(), "a parameter of ours is read from nowhere"
        for name, parameter in own.items():
            read = reading[name](source)
            assert read.shape == parameter.shape, name
            parameter.copy_(read)
        counts = [sum(p.numel() for p in module.parameters()) for module in (ours, reference)]
        assert counts[0] == counts[1], "the reference has parameters that ours does not read"

    results = []
    for module, call in ((ours, call_ours), (reference, call_reference)):
        leaves = [x.double().detach().requires_grad_() for x in inputs]
        output = call(module, *leaves)
        torch.manual_seed(7)
        output.backward(torch.randn(output.shape, dtype=output.dtype))
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
        results.append((output.detach(), [leaf.grad for leaf in leaves], gradients))
    (output, slopes, gradients), (expected, expected_slopes, expected_gradients) = results
    assert_close(output, expected)
    for slope, expected_slope in zip(slopes, expected_slopes, strict=True):
        assert_close(slope, expected_slope)
    for name, gradient in gradients.items():
        assert_close(gradient, reading[name](expected_gradients), msg=lambda text, name=name: f"{name}: {text}")
