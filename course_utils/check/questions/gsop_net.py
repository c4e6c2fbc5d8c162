"""Questions of lesson 4.1.2."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "squares": Question(
        "One picture shows a yellow square on black. Another shows a red and a green square of the same size, apart "
        "from each other. The three channels are red, green and blue. What does the squeeze of SE say?",
        {
            "The means differ: yellow is brighter than red or green": (
                "Yellow is red and green at once. Counted over the whole picture, each channel has as much of it."
            ),
            "The means are equal, channel by channel": (
                "Red covers one square in both pictures, and so does green; only in one they cover the same."
            ),
            "The means are equal only if the squares stand at the same place": (
                "A mean does not know any place, so moving a square leaves it as it is."
            ),
        },
        right="The means are equal, channel by channel",
    ),
    "slider": Question(
        "Take a photograph's channels, and move the values of green to other places, so that green is large where "
        "red is large. No value changes. What moves?",
        {
            "The gates of SE and of GSoP": ("SE sees only means, and a mean stays as it is when values change places."),
            "Only the gates of GSoP": (
                "The means and variances stay, the covariance of red and green grows. Only GSoP sees it."
            ),
            "No gate: the values are the same": (
                "The values are the same, but not which of them stand at the same position. GSoP sees that."
            ),
        },
        right="Only the gates of GSoP",
    ),
    "shift": Question(
        "Add 1 to every value of one channel, and take the covariances of the channels again. What has changed?",
        {
            "That channel's row and column": "Its values grew, but so did their mean: no deviation has changed.",
            "Only that channel's variance": "The variance is made of deviations from the mean, and they are the same.",
            "Nothing": "Deviations are counted from the mean, which has grown by 1 too.",
        },
        right="Nothing",
    ),
    "wide": Question(
        "A block for C = 256 channels takes the covariances of d reduced channels. About how many numbers does the "
        "covariance matrix hold for d = 128, and how many would it hold without the reduction?",
        {
            "16 thousand instead of 65 thousand": "128² = 16,384 and 256² = 65,536: a quarter.",
            "16 thousand instead of 33 thousand": "The matrix has d x d entries: half the channels, a quarter of them.",
            "128 instead of 256": "That is one row. Each channel is compared with every other.",
        },
        right="16 thousand instead of 65 thousand",
    ),
}

QUIZ = (
    Question(
        "What does the entry (i, j) of the covariance tell GSoP that SE never learns?",
        {
            "How large channel i is on average, compared with channel j": (
                "That is the mean, the one thing that SE does learn."
            ),
            "Whether the channels i and j are large at the same positions": (
                "It is the mean over all positions of the product of their deviations."
            ),
            "At which position of the map the channel i is largest": (
                "The covariance averages over positions too. Shuffle all channels alike, and it stays as it is."
            ),
        },
        right="Whether the channels i and j are large at the same positions",
    ),
    Question(
        "You shuffle the positions of a feature map, in all channels alike. Which masks change?",
        {
            "That of GSoP": "Which values stand together at a position is kept, so every covariance is.",
            "Both": "Neither means nor covariances know where a position lies.",
            "None": "Both average over the positions. A mask that knows places is the subject of lesson 4.1.3.",
        },
        right="None",
    ),
    Question(
        "Why does each row of the covariance have kernels of its own (a grouped convolution)?",
        {
            "Row i belongs to channel i, so each row is read by itself": (
                "Each kernel reads how one channel varies with all others, with d times fewer weights than without "
                "groups. The last layer then mixes the rows."
            ),
            "A convolution without groups would give the same numbers": (
                "It would add up all rows, each with its own weights: other numbers, from d times as many weights."
            ),
            "The covariance is symmetric, so one half of it is enough": (
                "It is symmetric, but every row is read in full; the grouping has another reason."
            ),
        },
        right="Row i belongs to channel i, so each row is read by itself",
    ),
    Question(
        "Why is the covariance divided by its trace before the Newton-Schulz iteration?",
        {
            "So that no picture of the batch counts more than another in training": (
                "It has that effect inside the loop, but the trace is multiplied back afterwards."
            ),
            "So that the root is symmetric, as the covariance is": (
                "The root of a symmetric matrix is symmetric by this iteration anyway."
            ),
            "So that its eigenvalues lie between 0 and 1, where the iteration converges": (
                "No eigenvalue is negative and they add up to the trace. Far from the identity the iteration diverges."
            ),
        },
        right="So that its eigenvalues lie between 0 and 1, where the iteration converges",
    ),
)
