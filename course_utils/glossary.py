"""The words of the course: what each means, with its symbol and shape where it has one, and the lesson it is made in.

from course_utils.glossary import glossary

glossary()            # all words, in alphabetical order
glossary("4.1.1")     # those of one lesson
"""

import html
import re
from typing import NamedTuple


class Term(NamedTuple):
    """A word, its meaning in one or two plain sentences, its symbol and shape ("" where it has none), its lesson."""

    word: str
    meaning: str
    symbol: str
    shape: str
    lesson: str


TERMS = tuple(
    Term(*row)
    for row in (
        # word, meaning, symbol, shape, lesson
        ("attention", "Weights made from the input and applied to the input: f(g(x), x).", "f(g(x), x)", "as x", "4.1"),
        (
            "mask",
            "The weights that g makes and f applies. Where it has an axis of length 1, one weight serves all.",
            "g(x)",
            "as x, some axes of length 1",
            "4.1",
        ),
        ("fixed weight", "A weight that is the same for every input, as in a convolution.", "", "", "4.1"),
        ("dynamic weight", "A weight that is computed from the input it is applied to.", "", "", "4.1"),
        (
            "feature map",
            "What a layer makes of a picture: C channels, each a grid of numbers.",
            "x",
            "(N, C, H, W)",
            "4.1",
        ),
        ("channel", "One grid of a feature map. In a photograph: red, green or blue.", "c", "C of them", "4.1"),
        ("position", "One place of a feature map, a row and a column.", "i, j", "H·W of them", "4.1"),
        ("channel attention", "A mask over channels. It answers: what?", "", "(C, 1, 1)", "4.1"),
        ("spatial attention", "A mask over positions. It answers: where?", "", "(1, H, W)", "4.1"),
        ("temporal attention", "A mask over frames. It answers: when?", "", "(T, 1, 1, 1)", "4.1"),
        (
            "branch attention",
            "A mask over branches that run side by side. It answers: which?",
            "",
            "(branches, 1, 1, 1) or one a channel",
            "4.1",
        ),
        ("query", "What one place looks for, as a vector. It is computed from the input.", "q", "(d,)", "4.1"),
        ("key", "What one place offers to be found by, as a vector.", "k", "(d,)", "4.1"),
        ("value", "What one place hands on if it is attended to, as a vector.", "v", "(dv,)", "4.1"),
        ("score", "How well a key answers a query, one number before it is shared out.", "e", "(queries, keys)", "4.1"),
        (
            "alignment",
            "The step that turns scores into weights; also called distribution. Often a softmax.",
            "a",
            "(queries, keys)",
            "4.1",
        ),
        ("softmax", "Exponentials divided by their sum: positive weights that sum to 1.", "", "as its input", "4.1"),
        ("context", "The average of the values by the weights: what a query gets.", "c", "(queries, dv)", "4.1"),
        ("saliency", "How much a place stands out from the rest of a picture.", "", "(H, W)", "4.1"),
        ("squeeze", "The step that makes each channel one number.", "z", "(N, C)", "4.1.1"),
        ("GAP", "Global average pooling: the mean of each channel over all positions.", "z", "(N, C)", "4.1.1"),
        (
            "excitation",
            "The step that makes gates from the squeezed numbers: two linear layers and a sigmoid.",
            "s",
            "(N, C)",
            "4.1.1",
        ),
        (
            "gate",
            "A weight between 0 and 1 that lets a channel or a position through, each on its own.",
            "s",
            "(N, C, 1, 1)",
            "4.1.1",
        ),
        (
            "reduction",
            "By how much the middle layer of an excitation is narrower than the channels.",
            "r",
            "a number",
            "4.1.1",
        ),
        ("sigmoid", "1 / (1 + exp(-x)): any number becomes one between 0 and 1.", "σ", "as its input", "4.1.1"),
        (
            "top-1 and top-5 error",
            "The share of pictures whose class is not the first guess, or not among the first five.",
            "",
            "a number",
            "4.1.1",
        ),
        (
            "FLOPs",
            "Floating point operations: how much arithmetic a network does for one picture.",
            "",
            "a number",
            "4.1.1",
        ),
        (
            "covariance",
            "Whether two channels rise and fall together: the mean product of their deviations from their means.",
            "Σ",
            "(N, C, C)",
            "4.1.2",
        ),
        ("variance", "The covariance of a channel with itself: its mean squared deviation.", "Σᵢᵢ", "(N, C)", "4.1.2"),
        (
            "correlation",
            "A covariance divided by both standard deviations: from -1 to 1, whatever the contrast.",
            "",
            "(N, C, C)",
            "4.1.2",
        ),
        (
            "second-order pooling",
            "To describe a feature map by the covariances of its channels instead of their means.",
            "Σ",
            "(N, C, C)",
            "4.1.2",
        ),
        (
            "row-wise convolution",
            "A convolution that gives each row of the covariance matrix weights of its own.",
            "",
            "(N, 4d)",
            "4.1.2",
        ),
        ("trace", "The sum of a matrix's diagonal, which is the sum of its eigenvalues.", "tr Σ", "(N,)", "4.1.2"),
        (
            "matrix square root",
            "A matrix whose product with itself is the given one; it evens out large covariances.",
            "√Σ",
            "(N, C, C)",
            "4.1.2",
        ),
        (
            "self-attention",
            "Attention in which queries, keys and values all come from the same input.",
            "",
            "weights (N, H·W, H·W)",
            "4.1.3",
        ),
        (
            "projection",
            "A learned linear map that makes queries, keys or values from features.",
            "W",
            "(d, C)",
            "4.1.3",
        ),
        (
            "scaled dot product",
            "The score q · k / √d. The root keeps its spread near 1, whatever d is.",
            "q · k / √d",
            "(queries, keys)",
            "4.1.3",
        ),
        (
            "receptive field",
            "The positions of the input that an output position can depend on.",
            "",
            "rows × columns",
            "4.1.3",
        ),
        (
            "temperature",
            "What scores are divided by before a softmax: small makes sharp weights, large makes even ones.",
            "τ",
            "a number",
            "4.1.3",
        ),
        (
            "gamma",
            "The learned factor on what attention adds to its input in SAGAN; it begins at 0.",
            "γ",
            "a number",
            "4.1.3",
        ),
        ("residual", "A way round a layer: the input is added to what the layer made.", "x + ...", "as x", "4.1.3"),
        (
            "head",
            "One of several attentions that run side by side, each with its own projections.",
            "h",
            "(N, heads, Q, K)",
            "4.1.4",
        ),
        ("embed_dim", "The width of the vectors that go in and out of multi-head attention.", "E", "a number", "4.1.4"),
        (
            "head width",
            "What each head gets of embed_dim; its scores are divided by the root of it.",
            "d",
            "E // heads",
            "4.1.4",
        ),
        (
            "attention mask",
            "Which query may attend to which key: True means it may. What is masked gets weight 0.",
            "attn_mask",
            "(Q, K) or (N, 1, Q, K), boolean",
            "4.1.4",
        ),
        (
            "causal mask",
            "An attention mask that forbids looking ahead: position i sees positions up to i.",
            "",
            "(Q, K) or (N, 1, Q, K), boolean",
            "4.1.4",
        ),
        (
            "padding mask",
            "An attention mask that closes what only fills a short sequence up to the length of its batch.",
            "",
            "(N, 1, 1, K), boolean",
            "4.1.4",
        ),
        (
            "knock-out",
            "To set one head's part to zero in a trained network, and measure what changes.",
            "",
            "",
            "4.1.4",
        ),
        (
            "fused attention",
            "One kernel that never stores the weights, so that memory grows with L and not with L².",
            "",
            "",
            "4.1.4",
        ),
        ("token", "One vector of a sequence: a patch, a word, or the class token.", "", "(embed_dim,)", "4.1.5"),
        ("patch", "A small square of the picture that becomes one token.", "", "(C, S, S)", "4.1.5"),
        (
            "class token",
            "A learned token that stands for no patch; the classifier reads it at the end.",
            "",
            "(1, embed_dim)",
            "4.1.5",
        ),
        (
            "position embedding",
            "A learned vector added to each token, since attention alone does not know the order.",
            "",
            "(tokens, embed_dim)",
            "4.1.5",
        ),
        (
            "layer norm",
            "Brings each token to mean 0 and variance 1, then scales and shifts it by learned numbers.",
            "",
            "as its input",
            "4.1.5",
        ),
        (
            "transformer block",
            "Attention, then a small network for each token, each with a layer norm and a residual.",
            "",
            "(N, tokens, embed_dim)",
            "4.1.5",
        ),
        (
            "rollout",
            "The attention of all blocks multiplied through, to see which patches reach the class token.",
            "",
            "(tokens, tokens)",
            "4.1.5",
        ),
        (
            "seed",
            "The number that starts a random generator; the same seed repeats the same run.",
            "",
            "a number",
            "4.2",
        ),
        (
            "paired difference",
            "Two networks compared on the same seed and data, run by run, so that what both share cancels.",
            "",
            "one a seed",
            "4.2",
        ),
        (
            "confidence interval",
            "A range made so that, over many repetitions, 95 % of such ranges hold the true value.",
            "",
            "two numbers",
            "4.2",
        ),
        ("ablation", "To leave out or replace one part and measure what changes.", "", "", "4.2"),
        (
            "cross-entropy",
            "The loss of a classifier: minus the logarithm of the probability given to the right class.",
            "",
            "a number",
            "4.2",
        ),
        (
            "occlusion",
            "To cover a place of the picture and see how far the answer falls.",
            "",
            "(rows, columns)",
            "4.3",
        ),
        (
            "league",
            "A comparison in which every block sits in the same network, with the same data and settings.",
            "",
            "",
            "4.3",
        ),
        (
            "additive score",
            "wᵀ tanh(W₁q + W₂k + b): a small network compares query and key.",
            "e",
            "(queries, keys)",
            "4.4",
        ),
        (
            "multiplicative score",
            "The dot product q · k; general score: k · Wq with a learned matrix.",
            "e",
            "(queries, keys)",
            "4.4",
        ),
        (
            "sparsemax",
            "An alignment that, unlike a softmax, gives small scores a weight of exactly 0.",
            "a",
            "(queries, keys)",
            "4.4",
        ),
        (
            "hard attention",
            "To draw one key by its weight and take its value alone, instead of an average.",
            "a",
            "(queries, keys)",
            "4.4",
        ),
        (
            "local attention",
            "A softmax inside a window round a chosen place; outside it the weights are 0.",
            "a",
            "(queries, keys)",
            "4.4",
        ),
        (
            "reinforced attention",
            "An agent chooses a subset of the keys, and a softmax shares out among those.",
            "a",
            "(queries, keys)",
            "4.4",
        ),
        (
            "REINFORCE",
            "A way to train through a random choice: raise the probability of choices that were rewarded.",
            "",
            "",
            "4.4",
        ),
        (
            "straight-through",
            "To use a hard choice going forward and the gradient of the soft one going back.",
            "",
            "",
            "4.4",
        ),
        (
            "baseline",
            "A number subtracted from the loss in REINFORCE: it calms the gradient and leaves its mean.",
            "b",
            "a number",
            "4.4",
        ),
        (
            "entropy",
            "How spread weights are, in bits: 0 where one has all, log2 n where n share equally.",
            "",
            "a number",
            "4.4",
        ),
        ("saturated", "Where a function is flat, so that its gradient is near 0.", "", "", "4.4"),
        ("support", "The keys with a weight above 0.", "", "", "4.4"),
        (
            "guide",
            "The deep, global feature that tells an attention gate what to look for.",
            "g",
            "(N, C, h, w)",
            "4.5",
        ),
        (
            "attention gate",
            "A mask over positions of an earlier layer, made from that layer and the guide.",
            "a",
            "(N, 1, H, W)",
            "4.5",
        ),
        (
            "Grad-CAM",
            "A map of what raised a class's score: channels weighted by the mean of their gradients.",
            "",
            "(H, W)",
            "4.5",
        ),
        ("Dice", "Agreement of two areas: twice the overlap over the sum of both.", "", "0 to 1", "4.5"),
        (
            "share",
            "Of a map held against the true place: the part of its sum that lies on the place.",
            "",
            "0 to 1",
            "4.5",
        ),
        (
            "trimap",
            "A picture of three names: the object, what is behind it, and the seam between them.",
            "",
            "(H, W)",
            "4.5",
        ),
        ("IoU", "Agreement of two areas: the overlap over the union; also called Jaccard.", "", "0 to 1", "4.5"),
        ("AP", "Average precision: the precision averaged over all levels of recall.", "", "0 to 1", "4.5"),
        ("AUC", "The area under the ROC curve: how often a positive is ranked above a negative.", "", "0 to 1", "4.5"),
        ("CBAM", "A channel mask and then a spatial mask.", "", "(N, C, H, W)", "4.6"),
        (
            "branch",
            "One of several ways through a layer that run side by side, for example kernels of different size.",
            "",
            "(N, C, H, W) each",
            "4.6",
        ),
        (
            "selective kernel",
            "A softmax across branches, for each channel, by what the picture calls for.",
            "",
            "(N, branches, C, 1, 1)",
            "4.6",
        ),
        (
            "dilation",
            "Gaps between the taps of a convolution: a wider view with as many weights.",
            "",
            "a number",
            "4.6",
        ),
        (
            "space-time attention",
            "Attention over the frames and positions of a clip: joint, or time first and then space.",
            "",
            "(T·S, T·S) if joint",
            "4.6",
        ),
    )
)
"""Every word of the course, in the order of the lessons."""


class Glossary:
    """A table of words, as a notebook or a terminal shows it."""

    def __init__(self, terms: tuple[Term, ...]):
        self.terms = terms

    def __repr__(self) -> str:
        return "\n".join(f"{term.word}: {term.meaning}{_more(term)}" for term in self.terms)

    def _repr_html_(self) -> str:
        cell = "style=text-align:left"  # a notebook's own style is to the right
        heads = "".join(f'<th scope="col" {cell}>{head}</th>' for head in _HEADS)
        rows = "".join(
            "<tr>"
            + f'<th scope="row" {cell}>{html.escape(term.word)}</th>'
            + "".join(f"<td {cell}>{html.escape(part)}</td>" for part in term[1:])
            + "</tr>"
            for term in self.terms
        )
        return (
            '<div class="course-glossary"><table style="border-collapse: collapse; margin: 0">'
            f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        )


_HEADS = ("Word", "Meaning", "Symbol", "Shape", "Lesson")


def glossary(lesson: str | None = None) -> Glossary:
    """The words of one lesson, or of the whole course, in alphabetical order.

    Args:
        lesson: its number, such as "4.1.1".

    Raises:
        ValueError: if no word belongs to that lesson; the message lists the numbers.
    """
    chosen = [term for term in TERMS if lesson in (None, term.lesson)]
    if not chosen:
        numbers = ", ".join(sorted({term.lesson for term in TERMS}))
        raise ValueError(f"There is no word of lesson {lesson!r}; there are words of {numbers}.")
    return Glossary(tuple(sorted(chosen, key=lambda term: re.sub(r"\W", " ", term.word.lower()))))


def _more(term: Term) -> str:
    parts = [part for part in (term.symbol and f"symbol {term.symbol}", term.shape and f"shape {term.shape}") if part]
    return f" ({'; '.join([*parts, f'lesson {term.lesson}'])})"
