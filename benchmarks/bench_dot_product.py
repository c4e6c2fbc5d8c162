"""The dot-product family beside torch's, timm's and torchvision's, sparsemax beside entmax, the gate beside a port."""

from collections.abc import Callable, Iterator

import entmax
import torch
import torch.nn.functional as F
import torchvision
from timm.layers.attention import Attention
from torch import Tensor, nn

from benchmarks.timing import (
    THREADS,
    Machine,
    Row,
    backward_call,
    forward_call,
    measure_machine,
    timed_row,
    write_results,
)
from course_utils.attention import AttentionGate, MultiHeadAttention, align
from course_utils.models import VisionTransformer

IMAGES = 2
SIZES = ((64, 256, 8), (256, 256, 8), (1024, 256, 8), (1024, 384, 6))  # tokens, width, heads


class Called(nn.Module):
    """A module called in one way, so that contestants with different signatures can be timed in the same way."""

    def __init__(self, module: nn.Module | None, call: Callable[..., Tensor]):
        super().__init__()
        self.module, self.call = module, call

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.call(*inputs)


def with_weights(width: int, heads: int) -> Called:
    """torch's layer as it is called by default: it returns the weights too."""
    layer = nn.MultiheadAttention(width, heads, batch_first=True)
    return Called(layer, lambda x: layer(x, x, x)[0])


def without_weights(width: int, heads: int) -> Called:
    """torch's layer on its fused path."""
    layer = nn.MultiheadAttention(width, heads, batch_first=True)
    return Called(layer, lambda x: layer(x, x, x, need_weights=False)[0])


def timm_fused(width: int, heads: int) -> nn.Module:
    """timm's `Attention` with its fused path on."""
    layer = Attention(width, heads, qkv_bias=True)
    layer.fused_attn = True
    return layer


def plain_gate() -> Called:
    """The gate with its three 1x1 convolutions and no other thought, at the sizes of VGG16's third tap."""
    local, guide = nn.Conv2d(256, 256, 1, bias=False), nn.Conv2d(512, 256, 1, bias=False)
    phi = nn.Conv2d(256, 1, 1)

    def call(x: Tensor, g: Tensor) -> Tensor:
        resized = F.interpolate(guide(g), x.shape[2:], mode="bilinear", align_corners=False)
        gated = torch.sigmoid(phi(F.relu(local(x) + resized))).expand_as(x) * x
        return F.adaptive_avg_pool2d(gated, 1).flatten(1)

    return Called(nn.ModuleList([local, guide, phi]), call)


def compare(
    machine: Machine,
    block: str,
    other: str,
    case: str,
    contestants: tuple[nn.Module, nn.Module],
    inputs: tuple[Tensor, ...],
    goal: float | None = None,
    bytes_moved: float = 0.0,
    multiply_adds: float = 0.0,
) -> Iterator[Row]:
    """Forward, then forward and backward; backward counts as twice the work of forward."""
    for step, make, work in (("forward", forward_call, 1), ("forward+backward", backward_call, 3)):
        ours, theirs = (make(module, *inputs) for module in contestants)
        limit = machine.limit(work * bytes_moved, work * multiply_adds)
        yield timed_row((block, other, case, step), (ours, theirs), goal, limit)


def multi_head_rows(machine: Machine) -> Iterator[Row]:
    for tokens, width, heads in SIZES:
        x = torch.randn(IMAGES, tokens, width)
        products = IMAGES * (4 * tokens * width**2 + 2 * tokens**2 * width)
        moved = 4 * (2 * x.numel() + 4 * width**2)
        for other, make, goal in (
            ("nn.MultiheadAttention", with_weights, 0.60),
            ("nn.MultiheadAttention, need_weights=False", without_weights, None),
            ("timm Attention, fused", timm_fused, 1.05),
        ):
            yield from compare(
                machine,
                "MultiHeadAttention",
                other,
                f"({IMAGES},{tokens},{width}), {heads} heads",
                (MultiHeadAttention(width, heads), make(width, heads)),
                (x,),
                goal if (tokens, width) == (1024, 256) else None,
                bytes_moved=moved,
                multiply_adds=products,
            )


def sparsemax_rows(machine: Machine) -> Iterator[Row]:
    for shape in ((32, 49, 49), (32, 196, 196)):
        x = torch.randn(shape)
        yield from compare(
            machine,
            'align("sparsemax")',
            "entmax sparsemax",
            str(shape).replace(" ", ""),
            (Called(None, lambda s: align("sparsemax", s)), Called(None, lambda s: entmax.sparsemax(s, dim=-1))),
            (x,),
            0.90 if shape[1] == 196 else None,
            bytes_moved=2 * x.nbytes,
        )


def gate_rows(machine: Machine) -> Iterator[Row]:
    local, guide = torch.randn(4, 256, 28, 28), torch.randn(4, 512, 7, 7)
    yield from compare(
        machine,
        "AttentionGate",
        "plain port",
        "(4,256,28,28), (4,512,7,7)",
        (AttentionGate(256, 512), plain_gate()),
        (local, guide),
        bytes_moved=local.nbytes + guide.nbytes,
        multiply_adds=4 * 256 * (256 * 28**2 + 512 * 7**2 + 28**2),
    )


def vision_transformer_rows(machine: Machine) -> Iterator[Row]:
    theirs = torchvision.models.vit_b_16().eval()
    ours = VisionTransformer.from_torchvision(theirs)
    tokens, width, hidden = 197, 768, 3072
    block = tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
    yield from compare(
        machine,
        "VisionTransformer",
        "torchvision vit_b_16",
        "(1,3,224,224)",
        (ours, theirs),
        (torch.randn(1, 3, 224, 224),),
        1.00,
        bytes_moved=4 * sum(p.numel() for p in ours.parameters()),
        multiply_adds=12 * block + (tokens - 1) * 3 * 16**2 * width,
    )


def main() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    machine = measure_machine()
    rows = [*multi_head_rows(machine), *sparsemax_rows(machine), *gate_rows(machine)]
    rows += vision_transformer_rows(machine)
    write_results("dot_product", machine, rows)


if __name__ == "__main__":
    main()
