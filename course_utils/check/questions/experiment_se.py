"""Questions of lesson 4.2."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "centred": Question(
        "A small part of MNIST: one digit, centred, on black. The network has three convolutions. What will SE blocks "
        "add to its test accuracy?",
        {
            "Several points: attention helps the network look at the digit": (
                "There is nothing else to look at. And SE chooses channels, not places."
            ),
            "Nothing that a few trainings can show": (
                "The plain network is right on about 97 % already, and the answer calls for no choice between "
                "channels. The interval of the paired difference shows it."
            ),
            "It will clearly lose: SE throws information away": (
                "A gate lies between 0 and 1 and the next layer can undo a constant factor. The two stay within "
                "each other's spread."
            ),
        },
        right="Nothing that a few trainings can show",
    ),
    "cued": Question(
        "Cued digits: a red, a green and a blue digit; the colour of the border says which one to name. The "
        "head is one linear layer on pooled features. Who could gain from SE?",
        {
            "Nobody: a linear layer sees the border's colour and all digits' features, and combines them": (
                "It sees both, but it can only add them up. 'If the border is red, count the red digit' is a product."
            ),
            "Every network that is to solve this task": (
                "A hidden layer in the head combines cue and digit too, and may gain without SE: section 6 has one."
            ),
            "A network with this head: a gate can multiply the digits' channels by the border's word": (
                "The squeeze sees the border's colour, and the gate turns channels on and off by it: the product "
                "that a linear head lacks. Whether training finds it is another question: on both such networks of "
                "section 6 SE's seeds part, and the interval holds 0."
            ),
        },
        right="A network with this head: a gate can multiply the digits' channels by the border's word",
    ),
    "opponent": Question(
        "Suppose SE beats the plain network with a pooled linear head. What must be checked before one says 'attention "
        "helps'?",
        {
            "A wider plain network and one with a deeper head": (
                "The first answers 'it was the size', the second 'any second layer after the pooling would do'. "
                "A weak opponent makes any method look good."
            ),
            "Nothing: the only difference is SE": (
                "SE also brought parameters and one more multiplication. Either may be had in another way, "
                "perhaps as well."
            ),
            "A longer training of the network with SE": (
                "That helps the side that leads already. If anything is trained longer, then all of them."
            ),
        },
        right="A wider plain network and one with a deeper head",
    ),
}

QUIZ = (
    Question(
        "Over eight seeds the gain from SE is 0.4 points, with a 95 % interval from -0.2 to 1.0. What may you say?",
        {
            "SE helps by 0.4 points: no other estimate is better": (
                "That is the middle of the interval. A gain of 0 and a small loss fit these seeds too."
            ),
            "SE makes no difference, since the interval holds 0": (
                "That is not shown either: a gain of a whole point lies inside the interval."
            ),
            "A gain is not shown; if there is one, it is probably at most a point": (
                "The interval holds 0, so a gain is not shown; its upper end says how large one might still be."
            ),
        },
        right="A gain is not shown; if there is one, it is probably at most a point",
    ),
    Question(
        "A colleague tries 20 learning rates with SE and 1 without, and reports each network's best test "
        "accuracy. What is wrong?",
        {
            "The trials are unequal, and the test data did the choosing": (
                "Give both sides equal trials, choose on validation data, and read the test data once."
            ),
            "Nothing, if the learning rate of the plain network is a good one": (
                "The best of 20 is better than a typical one by luck alone, and only one side had that luck."
            ),
            "Accuracy is the wrong measure; it should be the loss": "The loss would be flattered by the same choice.",
        },
        right="The trials are unequal, and the test data did the choosing",
    ),
    Question(
        "The course that this one grew from put a LogSoftmax before PyTorch's cross entropy, which does a log-softmax "
        "itself. What did that do?",
        {
            "It made the gradients much smaller": (
                "A second Softmax would. The log-softmax of log-probabilities returns them unchanged."
            ),
            "Nothing but some wasted work": (
                "The exponentials of log-probabilities sum to 1 already, so a log-softmax takes off log 1 = 0."
            ),
            "It made the loss negative": (
                "The label's log-probability is at most 0, and the loss is its negative: never below 0."
            ),
        },
        right="Nothing but some wasted work",
    ),
    Question(
        "Both networks are trained on the same five seeds. Why subtract seed by seed before averaging?",
        {
            "The mean gain comes out larger that way": (
                "The mean is the same either way. The interval round it changes."
            ),
            "Five values are too few for a standard deviation": (
                "There are five differences too; Student's t allows for so small a number."
            ),
            "The luck that both networks share in a seed cancels": (
                "An easy draw of the data lifts both networks. The difference within a seed is free of it, so that the "
                "interval usually gets narrower."
            ),
        },
        right="The luck that both networks share in a seed cancels",
    ),
)
