"""`covariance`: how channels vary together, cell by cell; rearrange one, and see what SE and GSoP make of it."""

import traitlets

from ..base import CourseWidget, cell


class Covariance(CourseWidget):
    """The C x C covariances of a feature map, and the masks of two blocks beside each other; all computed in the page.

    Args:
        examples: the pictures to choose from: `label`, what it is, in words; `maps`, (C, h, w), whose first three
            channels are red, green and blue in [0, 1] and are shown as a picture too; `code`, an expression that makes
            the maps, (1, C, h, w).
        se: an SE block for C channels: `reduce_weight`, (hidden, C), `reduce_bias`, `expand_weight`, (C, hidden),
            `expand_bias`.
        gsop: a GSoP block for C channels, its batch norms folded into the layers: `reduce_weight`, (d, C), the 1x1
            convolution, `reduce_bias`; `row_weight`, (d, expansion, d), the kernels of each row of the covariance,
            `row_bias`, (d, expansion); `expand_weight`, (C, d * expansion), `expand_bias`.
    """

    _module = "covariance"

    label = traitlets.Unicode("Covariances of channels, and the masks of SE and GSoP")
    examples: traitlets.List = traitlets.List().tag(exact=("maps",))
    names = traitlets.List(traitlets.Unicode())  # the names of the C channels; the first three are the colours
    se = traitlets.Dict().tag(exact=True)
    gsop = traitlets.Dict().tag(exact=True)
    example = traitlets.Int(0).tag(of="examples")  # index of the picture shown
    view = traitlets.Enum(["channels", "reduced"], "channels")  # reduced: of the d channels that GSoP makes of the C
    moved = traitlets.Int(1).tag(of="names")  # the channel whose values the slider moves to other places
    leader = traitlets.Int(0).tag(of="names")  # the channel that they follow (`turn` above 0) or flee (below 0)
    turn = traitlets.Float(0, min=-1, max=1)  # from -1 to 1; at 0 every value stands where it was
    query = cell()  # (row, column) of the pinned cell; empty while none is pinned
