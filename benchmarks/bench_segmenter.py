"""The person segmenter beside the runtime it comes from, MediaPipe, on the same picture.

MediaPipe wants an older numpy and protobuf, so it runs in a Python of its own:

    python -m venv ../mediapipe && ../mediapipe/bin/pip install mediapipe==0.10.14
    MEDIAPIPE_PYTHON=../mediapipe/bin/python python -m benchmarks segmenter

Both are given one picture of 256 x 256 pixels, as bytes, and answer with the person's mask.
"""

import os
import subprocess
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import THREADS, Row, measure_machine, timed_row, write_results
from course_utils.data import photograph
from course_utils.models import load_network

GOAL = 2.5
PASSES = 10  # a message to the other Python is then a small part of its time
THERE = f"""
import sys
import numpy as np
from mediapipe import solutions

picture = np.frombuffer(sys.stdin.buffer.read(256 * 256 * 3), np.uint8).reshape(256, 256, 3)
with solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as segmenter:
    for _ in sys.stdin:
        for _ in range({PASSES}):
            mask = segmenter.process(picture).segmentation_mask
        print(float(mask.mean()), flush=True)
"""


class Segmenter(nn.Module):
    """Our network with the same way from bytes to the mask as MediaPipe's."""

    def __init__(self) -> None:
        super().__init__()
        self.network = load_network("person_segmenter")

    def forward(self, picture: Tensor) -> Tensor:
        """A picture (H, W, 3) as bytes -> the mask (H, W)."""
        return self.network(picture.permute(2, 0, 1)[None] / 255)[0, 0]


def main() -> None:
    """Measure and store."""
    python = os.environ.get("MEDIAPIPE_PYTHON")
    if python is None:
        print("Set MEDIAPIPE_PYTHON to a Python that has mediapipe; the head of this file says how to make one.")
        return
    torch.set_num_threads(THREADS)
    small = F.interpolate(photograph("astronaut")[None], (256, 256), mode="bilinear", antialias=True)[0]
    picture = (small.permute(1, 2, 0) * 255).round().byte().contiguous().numpy()
    ours = Segmenter().eval()
    with subprocess.Popen([python, "-c", THERE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdin.write(picture.tobytes())

        def theirs() -> float:
            other.stdin.write(b"go\n")
            other.stdin.flush()
            return float(other.stdout.readline())

        def mine() -> float:
            with torch.inference_mode():
                for _ in range(PASSES):
                    mask = ours(torch.from_numpy(picture))
            return float(mask.mean())

        means = mine(), theirs()
        if abs(means[0] - means[1]) > 1e-3:
            sys.exit(f"The two masks differ: their means are {means[0]:.5f} (ours) and {means[1]:.5f}.")
        names = ("PersonSegmenter", "MediaPipe 0.10.14", f"{PASSES} pictures (256,256,3)", "forward")
        row: Row = timed_row(names, (mine, theirs), GOAL, (None, None))
        other.stdin.close()
    write_results("segmenter", measure_machine(), [row])


if __name__ == "__main__":
    main()
