"""Hold a block with buffers against a reference in the same drawn state: outputs, gradients, running statistics."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.testing import assert_close

MODES = ["train", "eval"]


def draw_state(module: nn.Module) -> None:
    """Draw every parameter and buffer, so that nothing agrees because it is still 0 or 1."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("num_batches_tracked"):
                tensor.fill_(3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            else:
                tensor.copy_(0.4 * torch.randn_like(tensor) + 0.1)


def assert_block_parity(
    ours: nn.Module,
    reference: nn.Module,
    names: Mapping[str, str],
    x: Tensor,
    mode: str,
    flipped: Collection[str] = (),
    cancelled: Collection[str] = (),
) -> None:
    """Give both the same drawn state, run both forward and back in float64, and compare all that comes out.

    Args:
        ours: the block.
        reference: what it should equal.
        names: where our modules stand in the reference; both modules must hold the same kinds of tensors.
        x: the input.
        mode: "train" or "eval".
        flipped: our tensors whose axis 1 runs the other way in the reference.
        cancelled: our tensors that cannot change the output, such as a bias before a batch norm.
    """
    ours, reference = ours.double().train(mode == "train"), reference.double().train(mode == "train")
    draw_state(reference)
    theirs = reference.state_dict()
    where = {}
    with torch.no_grad():
        for name, tensor in ours.state_dict().items():
            owner, _, kind = name.rpartition(".")
            where[name] = f"{names[owner]}.{kind}" if owner else names[name]
            tensor.copy_(as_ours(theirs[where[name]], tensor, name in flipped))
    unread = theirs.keys() - set(where.values())
    assert not unread, f"the reference has tensors that were copied nowhere: {sorted(unread)}"

    outputs, slopes = [], []
    for module in (ours, reference):
        leaf = x.double().requires_grad_()
        output = module(leaf)
        generator = torch.Generator().manual_seed(7)
        output.backward(torch.randn(output.shape, dtype=output.dtype, generator=generator))
        outputs.append(output.detach())
        slopes.append(leaf.grad)
    assert_close(*outputs)
    assert_close(*slopes)
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    for name, parameter in ours.named_parameters():
        gradient = as_ours(expected[where[name]], parameter, name in flipped)
        assert (gradient.abs().max() > 1e-9) != (name in cancelled), f"{name}: a gradient of zero compares nothing"
        assert_close(parameter.grad, gradient, msg=lambda text, name=name: f"{name}: {text}")
    after = reference.state_dict()
    for name, tensor in ours.state_dict().items():
        expected_after = as_ours(after[where[name]], tensor, name in flipped)
        assert_close(tensor, expected_after, msg=lambda text, name=name: f"{name} afterwards: {text}")


def as_ours(tensor: Tensor, like: Tensor, flip: bool) -> Tensor:
    """A reference's tensor in our shape: a 1x1 convolution may be a linear layer, nothing else may differ."""
    assert [size for size in tensor.shape if size > 1] == [size for size in like.shape if size > 1]
    return (tensor.flip(1) if flip else tensor).reshape(like.shape)
