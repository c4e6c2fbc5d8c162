"""Questions of lesson 4.3."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "one-key": Question(
        "A stage has 12 channels, so keys and queries have 12 // 8 = 1 channel each. A score is then the product of "
        "two numbers. In how many different orders can 900 queries rank the 900 keys?",
        {
            "In 900: each query has its own order": (
                "Each query has its own number, but it only stretches the same list of keys, or turns it round."
            ),
            "In 2: one order and its reverse": (
                "A positive query ranks the keys by their number, a negative one the other way round. The layer can "
                "learn which number a position gets, not a third order."
            ),
            "In 1: all queries agree": ("Nearly. But a query may be negative, and then the last key comes first."),
        },
        right="In 2: one order and its reverse",
    ),
    "cost": Question(
        "Self-attention on a map of 20 x 20 positions, then on one of 40 x 40. How many times as many multiply-adds do "
        "its two products need, queries with keys and weights with values?",
        {
            "4 times: there are four times as many positions": (
                "That is true of convolutions. Here every position meets every other."
            ),
            "8 times": "Each of four times as many queries meets four times as many keys.",
            "16 times": (
                "Four times as many queries, and each meets four times as many keys. Time and the memory for stored "
                "weights grow the same way, unless a fused kernel leaves the weights out of memory."
            ),
        },
        right="16 times",
    ),
    "league": Question(
        "On cued digits the plain network of the league names 63 % rightly. ECA adds 9 numbers to its 32,482: "
        "three tiny convolutions over the channels' means. SE adds 2,742. Where will ECA end?",
        {
            "Far above the plain network": (
                "What the plain network lacks is a product of the border's colour with a digit's channels, and a gate "
                "brings that. Three neighbouring means are enough for it here."
            ),
            "Between the plain network and SE, which has 300 times as many weights to add": (
                "The cue is a colour: three channels carry it. More weights were not what was missing; SE's mean even "
                "came out lower, though the two are not told apart."
            ),
            "With the plain network: 9 numbers cannot matter": (
                "They decide how all 120 gates answer to the picture. It counts what is multiplied, not how many "
                "weights do it."
            ),
        },
        right="Far above the plain network",
    ),
}

QUIZ = (
    Question(
        "Self-attention's mask lies on the cued digit for the most part. The network with a hidden layer in its head "
        "has no mask, and no difference of their accuracies is shown. What follows?",
        {
            "The place of the answer does not matter in this task": (
                "It does; but a network may also find the answer by its colour and let the rest fade."
            ),
            "Where a mask lies and what a network gains by it are two questions": (
                "A share says where a map lies. Whether the network is right is measured by its answers, and both "
                "stand in the table."
            ),
            "The share must have been measured wrongly": (
                "It is measured against the true place. It is just not an accuracy."
            ),
        },
        right="Where a mask lies and what a network gains by it are two questions",
    ),
    Question(
        "With eight epochs on 6,000 pictures the small transformer ends below what one reaches without reading the "
        "cue. What may be said?",
        {
            "At this size, with these pictures and epochs, it does not learn the task": (
                "That is what was measured. Trained far longer on more pictures, a transformer does learn it: lesson "
                "4.1.5 uses one, with smaller patches."
            ),
            "Transformers are worse than convolutional networks at such tasks": (
                "The league has one transformer, one budget and two tasks; a sentence on all of them needs more."
            ),
            "Its learning rate was chosen badly, or it would have learned": (
                "It had the same 18 trials as all others, three for each of six rates, and took the best rate."
            ),
        },
        right="At this size, with these pictures and epochs, it does not learn the task",
    ),
    Question(
        "CBAM needs 3 % more multiply-adds than the plain network, and far more time a step. How can that be?",
        {
            "The clock was disturbed while CBAM had its turn": (
                "All networks were timed in turns, so a disturbance hits all of them. The gap stays."
            ),
            "Multiply-adds are counted wrongly for 7x7 convolutions": (
                "They are counted; there are few, since that convolution has two channels in and one out."
            ),
            "Means, maxima and products move the whole map, and count as almost nothing": (
                "They read and write much memory for little arithmetic. On a map this small, moving numbers costs "
                "more than multiplying them."
            ),
        },
        right="Means, maxima and products move the whole map, and count as almost nothing",
    ),
    Question(
        "A league has 20 paired intervals of 95 %. One of them just leaves out zero, and nobody expected it. What now?",
        {
            "Report it as found: an interval of 95 % is what was agreed on": (
                "Of 20 true zeros, one is expected to be missed by luck. A surprise at the edge is the first suspect."
            ),
            "Say so, and run that pair again with new seeds before building on it": (
                "New seeds were not part of the search, so they can confirm or refuse it."
            ),
            "Leave it out of the table: it is most likely luck": (
                "Then the table would hide a result. Show it, with what it is worth."
            ),
        },
        right="Say so, and run that pair again with new seeds before building on it",
    ),
)
