"""Questions of lesson 4.1.3."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "eye": Question(
        "The query stands on one eye of the cat, and the weights come from dot products of features. Where will the "
        "weights be large?",
        {
            "On that eye and on the other one": (
                "The two eyes have like features, so their dot product is large. How far apart they are does not enter."
            ),
            "On that eye and what is next to it": "A convolution does that. A dot product does not know what is near.",
            "On all that is as bright as the eye": (
                "Features may hold brightness too. These were made to name things, and hold much more than that."
            ),
            "Everywhere alike": "Only if all scores were alike. The features of an eye and of fur differ.",
        },
        right="On that eye and on the other one",
    ),
    "wide": Question(
        "Queries and keys are drawn at random, each number with variance 1, and their scores are not divided. The "
        "width d grows from 4 to 256. What happens to the weights of a query over its keys?",
        {
            "They become more even": "A sum of d products spreads more the larger d is: scores differ more, not less.",
            "Almost all weight goes to one key": (
                "The variance of a score is d, so that scores differ by about √d. The softmax turns that into a choice."
            ),
            "Nothing: softmax undoes any scale": "It undoes a shift of all scores. A factor makes it sharper.",
        },
        right="Almost all weight goes to one key",
    ),
    "gamma": Question(
        "A new block has γ = 0, and a network with it is trained. Which of the block's parameters get a gradient "
        "other than zero in the first step?",
        {
            "None: its output is zero, so is every gradient": (
                "γ multiplies v(o), which is not zero. So γ itself has a gradient."
            ),
            "All of them": "The gradient of W_f, W_g, W_h and v passes through the factor γ, which is 0 at first.",
            "W_h and v, which make what is added": "What they make is multiplied by γ, and so is their gradient: by 0.",
            "Only γ": (
                "γ is multiplied by v(o), which is not zero. The others follow from the second step on, when γ has "
                "left 0."
            ),
        },
        right="Only γ",
    ),
    "double": Question(
        "A self-attention block works on a map of 32 × 32 positions. Then the pictures come twice as high and twice as "
        "wide, so that the map has 64 × 64 positions; the channels stay as they are. How does the matrix of weights "
        "grow, which the block makes for each picture?",
        {
            "Twofold, as height and width do": "There are four times as many positions, each a query and a key.",
            "Fourfold, as the number of positions does": (
                "That is how a feature map grows. The matrix has a row and a column for each position."
            ),
            "That depends on how many channels the block has": (
                "Channels set the work for one score. The matrix has one weight for each pair of positions."
            ),
            "Sixteenfold, as the square of that number does": "N positions become 4 N, and N² weights become 16 N².",
        },
        right="Sixteenfold, as the square of that number does",
    ),
}

QUIZ = (
    Question(
        "Self-attention is f(g(x), x). What is the mask, and how is it applied?",
        {
            "N × N weights; each row makes a weighted mean of the values": (
                "A row belongs to a query and sums to 1. Applying it is a matrix product, not a gate on each position."
            ),
            "H × W numbers; each position is multiplied by its own": (
                "That is a spatial gate, as in CBAM. Here every position has a mask of its own over all others."
            ),
            "One number for each channel": "That is the mask of SE.",
        },
        right="N × N weights; each row makes a weighted mean of the values",
    ),
    Question(
        "In a self-attention block, which of these are learned parameters?",
        {
            "The queries, keys and values of all positions": "They are activations: they change with every picture.",
            "W_f, W_g, W_h, the output layer v, and γ": (
                "The matrices are learned once; what they make of a picture are its queries, keys and values."
            ),
            "The weights after the softmax": "They are computed anew from each picture's queries and keys.",
        },
        right="W_f, W_g, W_h, the output layer v, and γ",
    ),
    Question(
        "Scores are divided by √d, where d is",
        {
            "the number of keys that each query meets": (
                "It sets how many rivals there are in the softmax, not how far scores spread."
            ),
            "the length of each query and key vector": (
                "A score is a sum of d products; its variance grows with d, and dividing by √d takes that back."
            ),
            "the size of the matrix of all keys": (
                "The matrix of keys has K · d numbers. The length of one key vector counts."
            ),
        },
        right="the length of each query and key vector",
    ),
    Question(
        "Why does torch's fused attention need far less memory than the textbook's three lines?",
        {
            "It computes fewer scores: keys far away from the query are left out": (
                "It computes every one of them: the arithmetic still grows with N²."
            ),
            "It never keeps the N × N weights: they are used up piece by piece": (
                "Memory then grows with N. The weights come into being only where someone asks for the mask."
            ),
            "It stores the N × N weights in half precision": (
                "That would halve the memory; what is measured is far less."
            ),
        },
        right="It never keeps the N × N weights: they are used up piece by piece",
    ),
)
