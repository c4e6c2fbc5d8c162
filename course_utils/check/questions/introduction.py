"""Questions of lesson 4.1."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "another_picture": Question(
        "You put the spotlight on the dog's face by hand. Then you choose the picture of the owl. "
        "What does the spotlight show?",
        {
            "The owl's face: it follows what stands out": (
                "That would need someone who looks at the new picture. A mask set by hand does not."
            ),
            "The same place as before, whatever is there now": (
                "The mask was set before the owl came: it is fixed. A mask that follows the picture must be made "
                "from the picture."
            ),
            "Nothing: it was made for the dog and goes out": "The mask is a table of weights. It stays as it was set.",
        },
        right="The same place as before, whatever is there now",
    ),
    "green_grass": Question(
        "The grass is greenish, the dog is brown and black. Can a channel mask over red, green and blue darken the "
        "grass and leave the dog as it is?",
        {
            "No: it treats every position alike": (
                "One weight stands for a channel of the whole picture. Less green darkens the grass, and takes "
                "the green out of the dog's brown as well."
            ),
            "Yes: shut the green channel": "That takes green out of the dog too; the grass keeps its red and blue.",
            "Yes, with the right three weights": (
                "No three weights know where the dog is. Where is a matter of rows and columns, and the mask has none."
            ),
        },
        right="No: it treats every position alike",
    ),
    "same_word": Question(
        "The word “bank” has one row of features, and it stands in two sentences: one with “river”, one with “money”. "
        "Each word attends to the words of its own sentence. What differs for “bank”?",
        {
            "Nothing: its features are the same": (
                "Its query is the same. What it meets is not: the keys and values come from the other words."
            ),
            "Only its query": "Its query comes from its own features alone, and they are the same in both.",
            "Its weights and its context": (
                "The same query meets other keys, so the weights differ, and the context takes up water here and "
                "money there. That is what a dynamic weight is for."
            ),
        },
        right="Its weights and its context",
    ),
}

QUIZ = (
    Question(
        "What makes a weight an attention weight?",
        {
            "It lies between 0 and 1, like a share or a probability": (
                "A fixed dropout mask does too. It is not the range that counts."
            ),
            "It was learned, together with the rest of the network": (
                "The weights of every convolution are learned, and the same for every picture."
            ),
            "It is computed from the input that it is applied to": (
                "f(g(x), x): x makes its own mask. What is learned is g, and g is the same for every picture."
            ),
        },
        right="It is computed from the input that it is applied to",
    ),
    Question(
        "A clip has the shape (T, C, H, W). A temporal mask says when to look, and nothing else. What is its shape?",
        {
            "(T, 1, 1, 1)": "It differs along T alone; the axes of length 1 serve every channel and position.",
            "(1, 1, H, W)": "That is a spatial mask, the same in every frame.",
            "(T, 1, H, W)": "That one also says where: spatial and temporal together.",
        },
        right="(T, 1, 1, 1)",
    ),
    Question(
        "A query meets n keys. Which part takes no part in making the weights?",
        {
            "The query": "It is compared with every key: that makes the scores.",
            "The values": (
                "They are averaged by weights that are already made. In self-attention keys and values come from the "
                "same features, but by different matrices."
            ),
            "The keys": "Every score compares the query with a key.",
        },
        right="The values",
    ),
    Question(
        "“Attention began as an extension to recurrent networks.” How much of this is right?",
        {
            "All of it: the idea came with a recurrent translator in 2014": (
                "Attention with a query and keys did, for translation. The word is older than that, and so are models."
            ),
            "Nothing of it: attention began with the transformer, in 2017": (
                "The transformer took the recurrence away; the attention was there before."
            ),
            "The part on queries and keys; models of where to look are older": (
                "Query-key attention came to a recurrent translator in 2014, and a recurrent network that looks at one "
                "patch after another in the same year. Maps of salient places were computed in 1998."
            ),
        },
        right="The part on queries and keys; models of where to look are older",
    ),
)
