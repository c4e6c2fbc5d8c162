"""Questions of lesson 4.1.1."""

PREDICTIONS = {
    "shuffled": {
        "question": "Take one channel's map and shuffle its pixels: every value stays, its place changes. "
        "What happens to the gates?",
        "options": [
            {
                "text": "Only that channel's gate changes",
                "right": False,
                "why": "The gate is made from the map's mean, and shuffling leaves a mean as it is.",
            },
            {
                "text": "All gates change",
                "right": False,
                "why": "Every gate does depend on every channel, but only through the means, and none of them changed.",
            },
            {
                "text": "No gate changes",
                "right": True,
                "why": "SE sees one mean for each channel. Where in the map a value stands is gone after the squeeze.",
            },
        ],
    },
    "brighter": {
        "question": "Add 1 to every value of one channel's map. Which gates may change?",
        "options": [
            {
                "text": "Only the gate of that channel",
                "right": False,
                "why": "The mean of that channel passes through two layers that mix all channels.",
            },
            {
                "text": "The gates of all channels",
                "right": True,
                "why": "One mean changed, and each gate is a function of all means. "
                "That is how one channel can open or close another.",
            },
            {
                "text": "None",
                "right": False,
                "why": "The mean of that channel has grown by 1, so what enters the excitation is another vector.",
            },
        ],
    },
    "narrow": {
        "question": "An SE block without biases gets 12 channels and a reduction of r = 16. What does it learn?",
        "options": [
            {
                "text": "12 gates, from a single unit in the middle",
                "right": False,
                "why": "12 // 16 is 0, not 1: the middle has no unit at all.",
            },
            {
                "text": "Nothing: every gate is 0.5 for every image",
                "right": True,
                "why": "With 0 units in the middle nothing but 0 arrives at the sigmoid. No error tells you.",
            },
            {
                "text": "Nothing: PyTorch refuses to build such a layer",
                "right": False,
                "why": "PyTorch builds a layer of width 0 with no more than a warning. The course's own `SEBlock` "
                "refuses it and says why.",
            },
        ],
    },
    "equal_means": {
        "question": "Two images give feature maps with equal means in every channel; in one, two channels fire at the "
        "same places, in the other at different places. Can SE tell the images apart?",
        "options": [
            {
                "text": "Yes: its two layers compare channels with each other",
                "right": False,
                "why": "They compare the channels' means. Whether channels fire together is not in the means.",
            },
            {
                "text": "No: both get the same gates",
                "right": True,
                "why": "Equal means go in, so equal gates come out. The next lesson pools covariances; they differ.",
            },
            {
                "text": "Only if r is small enough",
                "right": False,
                "why": "A wider middle makes a richer function of the means; it adds nothing to what the means say.",
            },
        ],
    },
}

QUIZ = [
    {
        "question": "SE is f(g(x), x). What are g and f?",
        "options": [
            {
                "text": "g: squeeze and excitation; f: multiplication by the gates",
                "right": True,
                "why": "g makes the mask, one gate for each channel, and f applies it to the maps.",
            },
            {
                "text": "g: the squeeze; f: the excitation",
                "right": False,
                "why": "Squeeze and excitation together make the mask: both are g. Nothing is applied to x yet.",
            },
            {
                "text": "g: the convolution before the block; f: the whole SE block",
                "right": False,
                "why": "The convolution makes x. Both g and f are inside the block.",
            },
        ],
    },
    {
        "question": "Why does the excitation end with a sigmoid and not with a softmax over the channels?",
        "options": [
            {
                "text": "A softmax has no gradient",
                "right": False,
                "why": "It has one; most attention over positions is trained through it.",
            },
            {
                "text": "Several channels may matter at once; under a softmax they compete for a sum of 1",
                "right": True,
                "why": "Each sigmoid opens its gate without closing another. With a softmax over 256 channels the "
                "gates would be about 1/256 each.",
            },
            {
                "text": "A sigmoid makes the gates depend on all channels",
                "right": False,
                "why": "The two linear layers do that. The sigmoid works on each gate alone.",
            },
        ],
    },
    {
        "question": "You halve r from 16 to 8 in every SE block. About how do the blocks' parameters change?",
        "options": [
            {
                "text": "They double",
                "right": True,
                "why": "A block has about 2 C² / r weights: half the r, twice the weights.",
            },
            {
                "text": "They halve",
                "right": False,
                "why": "r is a reduction: a smaller r leaves more units in the middle.",
            },
            {
                "text": "They grow fourfold",
                "right": False,
                "why": "That would hold for doubling C. The middle width enters each of the two layers once.",
            },
        ],
    },
    {
        "question": "Which of these can an SE block NOT do?",
        "options": [
            {
                "text": "Mute a channel for one image and let it pass for another",
                "right": False,
                "why": "It can: the gates are computed from each image.",
            },
            {
                "text": "Mute a channel in one corner of the image and let it pass elsewhere",
                "right": True,
                "why": "One gate stands for the whole map. For a mask over positions, see self-attention or CBAM.",
            },
            {
                "text": "Open one channel because another is strong",
                "right": False,
                "why": "It can: each gate depends on the means of all channels.",
            },
        ],
    },
]
