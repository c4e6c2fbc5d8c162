"""Questions of lesson 4.1.4."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "difference": Question(
        "A block with ONE head is trained to give, at every position of a row, what stands to its left minus what "
        "stands to its right. It knows the positions, and may learn all its matrices freely. How far does it get?",
        {
            "All the way: it learns a weight of 1 for the left and of -1 for the right": (
                "A softmax makes no negative weight. Both neighbours would enter with the same sign."
            ),
            "Half the way: it can give one of the two, and not the other": (
                "One head is one weighted mean, then one matrix for whatever was gathered. It cannot add one neighbour "
                "and subtract the other; the best it can do is to get one of them right."
            ),
            "Nowhere: attention cannot tell left from right": (
                "It can where the positions are in the input: a query for position 4 can match the key of position 3."
            ),
        },
        right="Half the way: it can give one of the two, and not the other",
    ),
    "even": Question(
        "In layer 1 of the trained network, head 3 weighs all 65 tokens alike, and head 4 comes close to that. "
        "Removing head 3 changes nothing that 2,000 pictures could show. Removing head 4 costs 6 of the 97 points of "
        "accuracy. Removing both costs about",
        {
            "6 points: head 3 does nothing": (
                "So it seems while head 4 is there. What one head carries, another may carry too."
            ),
            "Nothing: an even mean carries no information": (
                "The mean of all tokens still holds what is spread over the whole picture, such as the border's colour."
            ),
            "51 points": (
                "Both bring about the mean of all tokens, and in it the colour of the border, which says what to name. "
                "Each can stand in for the other; without both, the network no longer knows which digit is meant."
            ),
        },
        right="51 points",
    ),
    "causal": Question(
        "The classifier of this network reads the class token, which is token 0 of 65. With the causal mask, a token "
        "sees itself and those before it. With this mask in all four layers the network says",
        {
            "the same as before: the class token asks all patches": (
                "They all come after it. Token 0 may attend to token 0 and to nothing else."
            ),
            "the same digit for every picture": (
                "Token 0 then sees only itself, in every layer, and it is the same learned vector in every picture."
            ),
            "something a little worse": "It would be, if the class token came last. Order decides who is seen.",
        },
        right="the same digit for every picture",
    ),
    "price": Question(
        "embed_dim stays at 256, and the number of heads grows from 1 to 16. What grows with it?",
        {
            "The parameters and the multiplications, sixteenfold": (
                "Each head works in 256 / heads columns: sixteen small heads have as many parameters as one large."
            ),
            "Nothing": "There is something: each head has weights of its own, one for every pair of tokens.",
            "The number of weights after the softmax, sixteenfold": (
                "Each head has its own L × L weights. Parameters and multiplications stay exactly as they were."
            ),
        },
        right="The number of weights after the softmax, sixteenfold",
    ),
}

QUIZ = (
    Question(
        "Why do transformers use several heads of width E / heads rather than one of width E?",
        {
            "It saves parameters": "The number of parameters is the same for every number of heads.",
            "One head is one weighted mean per query; several are several, which the output layer can hold apart": (
                "The first layer of this lesson needed two: one mean of what is left, one of what is right."
            ),
            "Small heads need no scaling": "They are divided by √d too; d is the width of one head.",
        },
        right="One head is one weighted mean per query; several are several, which the output layer can hold apart",
    ),
    Question(
        "How do the heads become one output?",
        {
            "Their contexts stand side by side, and a linear layer mixes all columns": (
                "Until that layer no head knows of another. There they may be added, subtracted or ignored."
            ),
            "Their weights are averaged, then applied to the values": (
                "That would be one head again: one mean for each query."
            ),
            "The head with the largest weight is chosen": "All of them count; nothing is chosen.",
        },
        right="Their contexts stand side by side, and a linear layer mixes all columns",
    ),
    Question(
        "A boolean mask was made for `nn.MultiheadAttention`. You hand it to `F.scaled_dot_product_attention`. What "
        "must you do?",
        {
            "Nothing: both are torch's": "Both take a boolean mask, and read it the other way round.",
            "Invert it": (
                "`nn.MultiheadAttention` reads True as blocked, `F.scaled_dot_product_attention` as may attend. The "
                "`attn_mask` of this course follows the second."
            ),
            "Transpose it": "Both have the queries before the keys.",
        },
        right="Invert it",
    ),
    Question(
        "You knock one head out, and the accuracy stays where it was. What follows?",
        {
            "The head carries nothing": (
                "Head 3 of layer 1 carries the border's colour, and can be spared all the same."
            ),
            "All heads like it can go": "Seven heads could be spared one by one; all seven together could not.",
            "The other heads can do without it, on these pictures": (
                "That is all. It may hold what another head holds too, and be needed as soon as that one is gone."
            ),
        },
        right="The other heads can do without it, on these pictures",
    ),
)
