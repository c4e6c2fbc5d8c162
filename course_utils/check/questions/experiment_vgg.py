"""Questions of lesson 4.5."""

from ...widgets.quiz.widget import Question

PREDICTIONS: dict[str, Question] = {
    "spot": Question(
        "Two gates see an object of ten positions, all of the same score, on a background of very low scores. Then one "
        "of the ten gets a score that is 5 larger. What happens to the weights of the other nine?",
        {
            "They stay as they are, with sigmoid and with softmax": (
                "A softmax shares out a weight of 1: what one position gains, the others lose."
            ),
            "With softmax they fall to nearly nothing, with sigmoid they stay": (
                "Sigmoid judges each position alone. With softmax the one has e^5 = 148 times the weight of each "
                "other, 94 % of all. So a softmax map tends to a spot, a sigmoid map can cover the object."
            ),
            "They fall with both": "With sigmoid no position knows of the others.",
        },
        right="With softmax they fall to nearly nothing, with sigmoid they stay",
    ),
    "place": Question(
        "A network with sigmoid gates learned to name the right digit, from the label alone. Where are its gates open?",
        {
            "On the digit that the border asks for: that is what the answer hangs on": (
                "Nothing in the loss says so. The loss asks for the right label, and a gate may serve it in many ways."
            ),
            "Evenly, since the last map can name the digit by itself": (
                "It could stay even, but its scores get a gradient like any weight, and they learn something."
            ),
            "The label does not say: it must be measured": (
                "The pooled vector is only an input of the last layer. A gate that shuts where the answer stands tells "
                "that layer as much as one that opens there. See what these networks chose."
            ),
        },
        right="The label does not say: it must be measured",
    ),
    "shown": Question(
        "Now the gates are shown the true place while they learn. What will that change on new scenes?",
        {
            "Where the gates look, since the loss asks for it; the accuracy, perhaps": (
                "The loss asks for the place directly. Whether a map on the object helps to name it is another "
                "question, put to the paired differences of section 5."
            ),
            "The accuracy, since looking at the right place is what was missing": (
                "The last map sees the whole scene as it is. Nothing says that it missed the place."
            ),
            "Nothing: new scenes come without the place": (
                "The gates learn to find the place from the picture, not from the mask; section 5 measures them on new "
                "scenes."
            ),
        },
        right="Where the gates look, since the loss asks for it; the accuracy, perhaps",
    ),
}

QUIZ: tuple[Question, ...] = (
    Question(
        "A map has a single bright position, and it lies on the object; the object covers forty positions. What are "
        "the map's share and IoU?",
        {
            "Both near 1": "One of forty positions is covered: intersection 1, union 40.",
            "Share near 1, IoU near 0": (
                "All of the map's sum lies on the object, but next to nothing of the object is covered."
            ),
            "Share near 0, IoU near 1": "The other way round: the share asks where the map's sum lies.",
        },
        right="Share near 1, IoU near 0",
    ),
    Question(
        "After the sigmoid the gated features are averaged, after the softmax they are summed. Why?",
        {
            "The weights of a softmax sum to 1 already, so their sum is an average": (
                "An average again would make the vector H * W times smaller, and more so in larger pictures."
            ),
            "A sum is faster, and softmax maps are the larger ones": (
                "Both read every position once, and both maps have the same size."
            ),
            "It is an accident of the published code; either would do": (
                "Change it, and the vector shrinks or grows with the picture."
            ),
        },
        right="The weights of a softmax sum to 1 already, so their sum is an average",
    ),
    Question(
        "A gate is shut (weight near 0) exactly on the object and open on the rest. Can the network still be right?",
        {
            "No: it never sees the object that it has to name": (
                "The gated vector does not, but the guide has seen the whole picture."
            ),
            "Yes, but only by chance, in a share of the pictures": (
                "The share of such maps and the accuracy are both measured in section 5."
            ),
            "Yes: the guide sees all, and what is left out tells something too": (
                "So a map cannot be read as an explanation by itself. Held against the true place, it can be measured."
            ),
        },
        right="Yes: the guide sees all, and what is left out tells something too",
    ),
    Question(
        "On ISIC 2017 the paper reports an AUC of 0.872 with gates and 0.883 with gates that were shown the lesion. "
        "What may be said?",
        {
            "Showing the lesion raises the AUC, if only by 0.011": (
                "Two single numbers without an interval: another seed could turn them round."
            ),
            "The difference is reported; whether it would stay with other seeds is not": (
                "The IoU of the maps, 0.319 and 0.656, lies further apart, and comes without an interval too."
            ),
            "Showing the lesion does nothing: 0.011 is too little to count": "That is not shown either.",
        },
        right="The difference is reported; whether it would stay with other seeds is not",
    ),
)
