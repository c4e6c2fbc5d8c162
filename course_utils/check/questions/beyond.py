"""Questions of lesson 4.6."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "one_pixel": Question(
        "A channel is 0 everywhere but at one position of 40 x 40, where it is 8. What do CBAM's two pools of the "
        "channel part say about it?",
        {
            "Mean 0.005, max 8": (
                "8 / 1600 is 0.005: for the mean the channel hardly exists. The max says that it was found somewhere. "
                "SE has the mean alone."
            ),
            "Mean 8, max 8": "The mean runs over all 1600 positions, and 1599 of them are 0.",
            "Mean 0.2, max 8": "That would be 8 / 40, the mean of one row; both axes are averaged.",
        },
        right="Mean 0.005, max 8",
    ),
    "order": Question(
        "You swap the order of a trained CBAM block: spatial first, then channel. No weight changes. What does?",
        {
            "Nothing: the output is x times both masks, and a product has no order": (
                "The product has none, but the masks do: the second part pools what the first has scaled, so both "
                "masks come out differently."
            ),
            "Both masks, and so the output": (
                "The channel gates are now made from a map that the spatial mask has scaled, and the spatial mask from "
                "one that no gate has touched."
            ),
            "Only the spatial mask": "The channel part is given another map, too: the one that was scaled before it.",
        },
        right="Both masks, and so the output",
    ),
    "sizes": Question(
        "A network with selective kernels names digits of 8 to 40 pixels. In which of its three blocks will the mean "
        "share of the large kernel, over all channels, depend most on the size of the digit?",
        {
            "In the first, which sees the picture": (
                "Measured on the network of this lesson: there the mean share of 5 x 5 grows with the digit, by some "
                "nine points. In the last block it does not depend on the size."
            ),
            "In the second": (
                "There the mean grows, too, but by two or three points. Its single channels move far, some up and "
                "some down."
            ),
            "In the last, which sees the most": (
                "There the measured mean does not depend on the size, and single channels move least."
            ),
        },
        right="In the first, which sees the picture",
    ),
    "gone": Question(
        "A digit moves. The query is one of its cells in frame 2. What does the first step of divided attention see of "
        "frame 5?",
        {
            "The digit, at its new place": "The first step looks along time only: the row and the column stay.",
            "The cell of the same row and column, whatever is there by then": (
                "Each place looks at itself in the other frames. What has moved on from there is elsewhere."
            ),
            "Nothing: it stays in its own frame": "That is the second step, over space.",
        },
        right="The cell of the same row and column, whatever is there by then",
    ),
}

QUIZ = (
    Question(
        "Which mask says WHICH, in the words of the six categories?",
        {
            "(N, branches, C, 1, 1), with a softmax over the branches": (
                "Selective kernel: in every channel the branches share a sum of 1."
            ),
            "(N, C, 1, 1), with a sigmoid": "That says WHAT: a gate for each channel.",
            "(N, S, heads, T, T), with a softmax over the last axis": "That says WHEN: a place chooses among frames.",
        },
        right="(N, branches, C, 1, 1), with a softmax over the branches",
    ),
    Question(
        "CBAM's channel part adds mlp(mean) and mlp(max) before its sigmoid. Why not take two sigmoids and add them?",
        {
            "The gates could be as large as 2, and neither description could overrule the other": (
                "Logits add up like votes. Two sigmoids of 0.9 and 0.1 give 1.0, whatever the votes were worth."
            ),
            "Two sigmoids have no gradient": "They have one; many networks are trained through it.",
            "It would need a second set of layers": "The layers are shared either way.",
        },
        right="The gates could be as large as 2, and neither description could overrule the other",
    ),
    Question(
        "A clip has 8 frames of 196 places. You take 16 frames. How do the scores of joint attention grow?",
        {
            "Twofold": "The tokens double; each of the twice as many queries meets twice as many keys.",
            "Fourfold": "(T * S) squared: 1568 tokens become 3136.",
            "Eightfold": "That would be a cube.",
        },
        right="Fourfold",
    ),
    Question(
        "Can one block of divided attention bring something from another place of another frame to the query?",
        {
            "No, it sees its own place and its own frame": (
                "Each step alone does. But the second step reads places that have already looked along time."
            ),
            "Yes: along time at that place first, then over space to the query": (
                "The weight of that way is the product of one weight of each step. It passes through that place's "
                "cell in the query's own frame."
            ),
            "Yes, in one comparison of the query with it": (
                "That is joint attention. In divided attention the two are never compared directly."
            ),
        },
        right="Yes: along time at that place first, then over space to the query",
    ),
)
