"""`pixel-budget`: the same number of pixels, chosen in three ways, and what a network reads in each."""

import traitlets

from ..base import CourseWidget


class PixelBudget(CourseWidget):
    """A picture, and three masks with the same number of ones: random, fixed, and made from this picture.

    The network runs in the page.

    Args:
        scores: how much each pixel is wanted by the masks "random" and "fixed", (H, W) each; the largest are kept. The
            third mask keeps the brightest pixels of the picture itself.
        graph, weights: of a network that reads (1, H, W) in [0, 1], as `models.page_graph` gives them.
    """

    _module = "pixel_budget"

    label = traitlets.Unicode("Pixel budget: as many pixels, chosen in three ways")
    pictures = traitlets.Dict()  # (n, H, W), uint8: what the learner may choose from
    labels = traitlets.List(traitlets.Int())  # the class of each
    scores = traitlets.Dict().tag(exact=True)
    graph = traitlets.Dict()
    weights = traitlets.Unicode("")
    picture = traitlets.Int(0).tag(of="pictures")  # index of the picture shown
    budget = traitlets.Float(0.1, min=0.01, max=0.6)  # the share of the pixels that is kept, from 0.01 to 0.6
    drawing = traitlets.Bool(False)  # whether the learner's drawing stands in place of the picture
    # the drawing: for each stroke the places [x, y] that it passes, in shares of width and height
    strokes: traitlets.List = traitlets.List()
