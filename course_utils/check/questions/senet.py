"""Questions of lesson 4.1.1."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "shuffled": Question(
        "Take one channel's map and shuffle its pixels: every value stays, its place changes. What happens "
        "to the gates of this block?",
        {
            "Only that channel's gate changes": (
                "The gate is made from the map's mean, and shuffling leaves a mean as it is."
            ),
            "All gates change": (
                "Every gate does depend on every channel, but only through the means, and none of them changed."
            ),
            "No gate changes": (
                "SE sees one mean for each channel. Where in the map a value stands is gone after the squeeze."
            ),
        },
        right="No gate changes",
    ),
    "brighter": Question(
        "Add 1 to every value of one channel's map. Which gates may change?",
        {
            "The gates of all channels": (
                "One mean changed, and each gate is a function of all means. That is how one channel can open "
                "or close another."
            ),
            "Only the gate of that channel": (
                "The mean of that channel passes through two layers that mix all channels."
            ),
            "None": "The mean of that channel has grown by 1, so what enters the excitation is another vector.",
        },
        right="The gates of all channels",
    ),
    "narrow": Question(
        "An SE block without biases gets 12 channels and a reduction of r = 16. What does it learn?",
        {
            "12 gates, from a single unit in the middle": "12 // 16 is 0, not 1: the middle has no unit at all.",
            "Nothing: every gate is 0.5 for every picture": (
                "With 0 units in the middle layer nothing but 0 arrives at the sigmoid. No error tells you."
            ),
            "Nothing: PyTorch refuses to build such a layer": (
                "PyTorch builds a layer of width 0 with no more than a warning. The course's own `SEBlock` "
                "refuses it and says why."
            ),
        },
        right="Nothing: every gate is 0.5 for every picture",
    ),
    "equal_means": Question(
        "Two pictures give feature maps with equal means in every channel; in one, two channels are large at the "
        "same positions, in the other at different ones. Can the gates of SE differ between the two?",
        {
            "Yes: its two layers compare channels with each other": (
                "They compare the channels' means. Whether channels are large together is not in the means."
            ),
            "Only if r is small enough": (
                "A wider middle makes a richer function of the means; it adds nothing to what the means say."
            ),
            "No: both get the same gates": (
                "Equal means go in, so equal gates come out. Lesson 4.1.2 pools covariances; they differ."
            ),
        },
        right="No: both get the same gates",
    ),
}

QUIZ = (
    Question(
        "SE is f(g(x), x). What are g and f?",
        {
            "g: squeeze and excitation; f: multiplication by the gates": (
                "g makes the mask, one gate for each channel, and f applies it to the maps."
            ),
            "g: the squeeze; f: the excitation": (
                "Squeeze and excitation together make the mask: both are g. Nothing is applied to x yet."
            ),
            "g: the convolution before the block; f: the whole SE block": (
                "The convolution makes x. Both g and f are inside the block."
            ),
        },
        right="g: squeeze and excitation; f: multiplication by the gates",
    ),
    Question(
        "Why does the excitation end with a sigmoid and not with a softmax over the channels?",
        {
            "A softmax has no gradient, so the two layers could not learn": (
                "It has one, and is trained through it every day."
            ),
            "Several channels may matter at once, and a softmax makes them compete": (
                "Each sigmoid opens its gate without closing another. With a softmax the gates would share out a sum "
                "of 1: over 256 channels they would be 1/256 on average."
            ),
            "A sigmoid makes each gate depend on all channels, a softmax does not": (
                "The two linear layers do that. The sigmoid works on each gate alone."
            ),
        },
        right="Several channels may matter at once, and a softmax makes them compete",
    ),
    Question(
        "You halve r from 16 to 8 in every SE block. About how do the blocks' parameters change?",
        {
            "They halve": "r is a reduction: a smaller r leaves more units in the middle.",
            "They grow fourfold": (
                "That would hold for doubling C. The middle width enters each of the two layers once."
            ),
            "They double": "A block has about 2 C² / r weights: half the r, twice the weights.",
        },
        right="They double",
    ),
    Question(
        "Which of these can an SE block NOT do?",
        {
            "Almost mute a channel for one picture and let it pass for another": (
                "It can: the gates are computed from each picture."
            ),
            "Mute a channel in one corner of the picture and let it pass elsewhere": (
                "One gate stands for the whole map. A mask over positions is the subject of lesson 4.1.3."
            ),
            "Open one channel because another is strong": "It can: each gate depends on the means of all channels.",
        },
        right="Mute a channel in one corner of the picture and let it pass elsewhere",
    ),
)
