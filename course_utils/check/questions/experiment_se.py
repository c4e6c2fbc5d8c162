"""Questions of lesson 4.2."""

PREDICTIONS = {
    "centred": {
        "question": "MNIST: one digit, centred, on black. The network has three convolutions. "
        "What will SE blocks add to its test accuracy?",
        "options": [
            {
                "text": "Several points: attention helps the network look at the digit",
                "right": False,
                "why": "There is nothing else to look at. And SE chooses channels, not places.",
            },
            {
                "text": "Nothing that these seeds can measure",
                "right": True,
                "why": "The plain network is nearly perfect already, and the answer calls for no choice between "
                "channels. The interval of the paired difference shows it.",
            },
            {
                "text": "It will clearly lose: SE throws information away",
                "right": False,
                "why": "A gate lies between 0 and 1 and the next layer can undo a constant factor. "
                "The two stay within each other's spread.",
            },
        ],
    },
    "cued": {
        "question": "Cued digits: a red, a green and a blue digit; the colour of the frame says which one to name. "
        "The head is one linear layer on pooled features. Who needs SE?",
        "options": [
            {
                "text": "Nobody: a linear layer sees the frame's colour and all digits' features, and combines them",
                "right": False,
                "why": "It sees both, but it can only add them up. 'If the frame is red, count the red digit' is "
                "a product.",
            },
            {
                "text": "This network: a gate can multiply the digits' channels by what the frame says",
                "right": True,
                "why": "The squeeze sees the frame's colour, and the gate turns channels on and off by it: "
                "the product that a linear head lacks.",
            },
            {
                "text": "Every network that is to solve this task",
                "right": False,
                "why": "A head with a hidden layer can combine cue and digit too; a fair comparison has one.",
            },
        ],
    },
    "opponent": {
        "question": "SE beats the plain network with a pooled linear head. What must be checked before one says "
        "'attention helps'?",
        "options": [
            {
                "text": "Nothing: the only difference is SE",
                "right": False,
                "why": "SE also brought parameters and one more multiplication. "
                "Either may be had in another way, perhaps as well.",
            },
            {
                "text": "A wider plain network and one with a deeper head",
                "right": True,
                "why": "The first answers 'it was the size', the second 'any second layer after the pooling would do'. "
                "A weak opponent makes any method look good.",
            },
            {
                "text": "A longer training of the network with SE",
                "right": False,
                "why": "That helps the side that leads already. If anything is trained longer, then all of them.",
            },
        ],
    },
}

QUIZ = [
    {
        "question": "Over eight seeds the gain from SE is 0.4 points, with a 95 % interval from -0.2 to 1.0. "
        "What may you say?",
        "options": [
            {
                "text": "SE helps by 0.4 points",
                "right": False,
                "why": "That is the middle of the interval. A gain of 0 and a small loss fit these seeds too.",
            },
            {
                "text": "SE makes no difference",
                "right": False,
                "why": "That is not shown either: a gain of a whole point lies inside the interval.",
            },
            {
                "text": "These seeds do not show a gain; if there is one, it is hardly more than a point",
                "right": True,
                "why": "The interval holds 0, so a gain is not shown; its upper end says how large one might still be.",
            },
        ],
    },
    {
        "question": "A colleague tries 20 learning rates with SE and 1 without, and reports each network's best test "
        "accuracy. What is wrong?",
        "options": [
            {
                "text": "Nothing, if the learning rate of the plain network is a good one",
                "right": False,
                "why": "The best of 20 is better than a typical one by luck alone, and only one side had that luck.",
            },
            {
                "text": "The trials are unequal, and the test data did the choosing",
                "right": True,
                "why": "Give both sides equal trials, choose on validation data, and read the test data once.",
            },
            {
                "text": "Accuracy is the wrong measure; it should be the loss",
                "right": False,
                "why": "The loss would be flattered by the same choice.",
            },
        ],
    },
    {
        "question": "The original course put a LogSoftmax before PyTorch's cross entropy, which does a log-softmax "
        "itself. What did that do?",
        "options": [
            {
                "text": "It made the gradients much smaller",
                "right": False,
                "why": "A second Softmax would. The log-softmax of log-probabilities returns them unchanged.",
            },
            {
                "text": "Nothing but some wasted work",
                "right": True,
                "why": "The exponentials of log-probabilities sum to 1 already, so a log-softmax takes off log 1 = 0.",
            },
            {
                "text": "It made the loss negative",
                "right": False,
                "why": "The label's log-probability is at most 0, and the loss is its negative: never below 0.",
            },
        ],
    },
    {
        "question": "Both networks are trained on the same five seeds. Why subtract seed by seed before averaging?",
        "options": [
            {
                "text": "The mean gain comes out larger",
                "right": False,
                "why": "The mean is the same either way. The interval round it changes.",
            },
            {
                "text": "The luck that both share in a seed cancels, and the interval gets narrower",
                "right": True,
                "why": "An easy draw of the data lifts both networks. The difference within a seed is free of it.",
            },
            {
                "text": "Five values are too few for a standard deviation",
                "right": False,
                "why": "There are five differences too; Student's t allows for so small a number.",
            },
        ],
    },
]
