"""Questions of lesson 4.4."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "long_key": Question(
        "One key points exactly where the query points. Another points a little aside, and is three times as long. "
        "Which of the two gets the higher weight under a dot product and a softmax?",
        {
            "The one that points exactly where the query points": (
                "A dot product is |q| |k| cos: the direction counts, and so does the length of the key."
            ),
            "Both the same": "Only the cosine leaves the length out, and even it would prefer the exact direction.",
            "The long one": (
                "Its cosine is a little smaller, but its length multiplies the score by three. Such a key wins over "
                "many queries at once."
            ),
        },
        right="The long one",
    ),
    "scalar_bias": Question(
        "You add one and the same number b to all scores of a query, say 3. The order of the keys stays as it is, and "
        "so does the distance between any two scores. Which weights change?",
        {
            "Nothing under softmax, but the weights under sigmoid": (
                "Softmax compares scores with each other: what they share drops out. Sigmoid judges each score alone."
            ),
            "The weights under softmax and under sigmoid": (
                "exp(e + b) = exp(b) exp(e): the factor exp(b) stands above and below the fraction of the softmax."
            ),
            "Nothing under either": "Sigmoid has no fraction over the other keys in which b could drop out.",
        },
        right="Nothing under softmax, but the weights under sigmoid",
    ),
    "two_objects": Question(
        "A picture shows one kitten, and the keys on it get high scores. Now the kitten stands in the picture twice. "
        "What happens to the weights on the first kitten?",
        {
            "They fall to about half under softmax, and stay under sigmoid": (
                "Under softmax the two kittens share one sum of 1. Under sigmoid no key knows of the other."
            ),
            "They stay under both": "A softmax gives out 1 in all: two equal claims get half each.",
            "They rise under both, since there is more to see": (
                "More keys with high scores never raise the weight of a single key, under none of the two."
            ),
        },
        right="They fall to about half under softmax, and stay under sigmoid",
    ),
    "zero_weight": Question(
        "Under sparsemax a key has the weight 0: its score lies some way below the threshold tau. You train the "
        "network a step further. In the backward pass, what gradient does the score of this key get?",
        {
            "A small one": "Softmax would give it a small one. Sparsemax is flat there.",
            "A large one, to bring the key back": "A gradient says how the weights change, and here they do not.",
            "Exactly 0": (
                "Moving that score a little changes no weight at all. The key stays silent until the scores of "
                "the others move."
            ),
        },
        right="Exactly 0",
    ),
}

QUIZ = (
    Question(
        "Which score would you take first where Q = K = 196, d = 64 and time matters?",
        {
            "Scaled dot product": (
                "It is one matrix product, it has fused kernels, and the scale keeps its spread from growing with d."
            ),
            "Concat": "It projects every pair of a query and a key: here 196 times the work of projecting each once.",
            "Additive": (
                "The projections are cheap. A tanh of dw numbers for every pair is not, and no matrix product does it."
            ),
        },
        right="Scaled dot product",
    ),
    Question(
        "A cosine similarity goes straight into a softmax over 196 keys. What is the largest weight a key can get?",
        {
            "1": "For that its score would have to stand far above the others; a cosine is at most 1, at least -1.",
            "About 0.037": (
                "Best case: one score of 1 and 195 of -1, so e / (e + 195 / e) = 0.037. A low temperature helps."
            ),
            "About 0.5": "Scores differ by 2 at most, a factor of e² = 7.4 in weight, and there are 195 others.",
        },
        right="About 0.037",
    ),
    Question(
        "Why does hard attention need REINFORCE or straight-through, where sparsemax, with its many zeros, does not?",
        {
            "Hard attention has more zeros": "The number of zeros is not the point: how they come about is.",
            "The draw is a step: a small change of the scores leaves the drawn key as it is": (
                "Its true derivative is 0 nearly everywhere. Sparsemax changes smoothly within its support."
            ),
            "Hard attention has no scores": "It has: the key is drawn with the probabilities of their softmax.",
        },
        right="The draw is a step: a small change of the scores leaves the drawn key as it is",
    ),
    Question(
        "In one study of translation, at width 1024, additive attention reached 22.10 BLEU and unscaled multiplicative "
        "18.22. What does that show?",
        {
            "Additive is the better score": "At width 256 both reached 22.33, and the loser had no scale.",
            "There, without the scale, the dot product did not carry a large width": (
                "That, and no more: one task, one recurrent model, no scaled dot product among the entrants."
            ),
            "Wide queries should be avoided": "Additive lost little at 1024; and no scaled dot product was tried.",
        },
        right="There, without the scale, the dot product did not carry a large width",
    ),
)
