"""`branch-weights`: how much each channel takes from each kernel, for things of growing size."""

from typing import Any

import traitlets

from ..base import CourseWidget, cell
from ..limits import check_index, check_place

ORDERS = ("channel", "change")


class BranchWeights(CourseWidget):
    """A table of channels by sizes, coloured by the share of one kernel; beside it the mean over the channels.

    Args:
        squares: (sizes, examples, 3), whole numbers: row, column and side of the thing's square in each of them.
        stages: one for each block: `name`; `kernels`, how many pixels of its input each branch sees across; `stride`,
            how many pixels of the picture lie between two neighbouring places of its input; `shares`, (sizes,
            branches, C), the mean share of each branch in each channel, over the pictures of a size; `spread`, (sizes,
            branches), the standard deviation, over those pictures, of the mean share over the channels;
            `example_shares`, (sizes, examples, branches, C), of the pictures shown.
        code: the lines that make `network` and `picture`, with {size} and {example} where the picture's indices stand.
    """

    _module = "branch_weights"

    label = traitlets.Unicode("Branch weights: which kernel each channel takes, by the size of the digit")
    sizes = traitlets.List(traitlets.Int())  # of the thing in the picture, in pixels, in growing order
    counts = traitlets.List(traitlets.Int())  # how many pictures of each size were measured
    pictures = traitlets.Dict()  # (sizes, examples, H, W), uint8: pictures to look at
    squares: traitlets.List = traitlets.List()
    stages: traitlets.List = traitlets.List()
    stage = traitlets.Int(0).tag(of="stages")  # index of the block shown
    branch = traitlets.Int(1)  # index of the kernel whose share is shown
    # "channel", or "change": those first whose share grows most from the smallest to the largest size
    order = traitlets.Enum(ORDERS, ORDERS[1])
    example = traitlets.Int(0)  # which of the pictures of a size is shown
    query = cell()  # (row of the table, index of the size) of the pinned cell; empty while none is

    def __init__(self, **traits: Any) -> None:
        shown = traits["stages"][traits.get("stage", 0)]
        check_index("branch", traits.get("branch", 1), len(shown["kernels"]))
        size = (shown["shares"].shape[2], len(traits["sizes"]))
        check_place(traits.get("query", ()), size, "(row, size) of the stage's table")
        super().__init__(**traits)
