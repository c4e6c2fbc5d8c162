"""Recording all masks of ViT-S/16 beside a plain pass, and beside timm's `AttentionExtract` without fused kernels."""

from collections.abc import Iterator

import timm
import torch
from timm.layers import set_fused_attn
from timm.utils import AttentionExtract
from torch import Tensor, nn

from benchmarks.timing import THREADS, Row, forward_call, measure_machine, timed_row, write_results
from course_utils.attention import record_masks

NETWORKS = {"vit_small_patch16_224": 1.5, "swin_tiny_patch4_window7_224": None, "seresnet50": None}
EXTRACT = 1.6


class Recorded(nn.Module):
    """A network whose masks are recorded in every pass."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        with record_masks(self.network) as masks:
            self.network(x)
        return masks


def recording_rows() -> Iterator[Row]:
    """Each network recorded beside its plain pass, one picture; the first also beside timm's way."""
    for name, goal in NETWORKS.items():
        network = timm.create_model(name).eval()
        x = torch.randn(1, 3, 224, 224)
        calls = forward_call(Recorded(network), x), forward_call(network, x)
        yield timed_row(("record_masks", f"plain {name}", str(tuple(x.shape)), "forward"), calls, goal, (None, None))
        if goal is not None:
            set_fused_attn(False)  # it must come before the network is made
            extract = AttentionExtract(timm.create_model(name), method="hook")
            set_fused_attn(True)
            calls = calls[0], forward_call(extract, x)
            names = ("record_masks", "timm AttentionExtract", str(tuple(x.shape)), "forward")
            yield timed_row(names, calls, EXTRACT, (None, None))


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    machine = measure_machine()
    write_results("recording", machine, list(recording_rows()))


if __name__ == "__main__":
    main()
