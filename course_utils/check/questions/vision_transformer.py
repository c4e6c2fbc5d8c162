"""Questions of lesson 4.1.5."""

from ...widgets.quiz.widget import Question

PREDICTIONS = {
    "class": Question(
        "The class token enters the first block in front of the patches. What does it hold about the picture then?",
        {
            "The mean of all patches": "Nothing has been averaged yet. Some networks do that instead of a class token.",
            "Nothing: it is the same vector for every picture": (
                "It is a learned parameter, and so is its position. All it knows at the end it has gathered by "
                "attention, from the first block on."
            ),
            "The patch in the middle of the picture": "It stands for no patch at all.",
        },
        right="Nothing: it is the same vector for every picture",
    ),
    "order": Question(
        "The trained network is right in 96 % of pictures. Now its position embeddings are set to zero, all else "
        "stays. How often is it right?",
        {
            "Still in about 96 %: patches carry the colours": (
                "It was trained with positions, and a digit's shape lies in how its patches stand to one another."
            ),
            "In about 43 %, as somebody who does not read the border": (
                "Such a one still reads digits. Here even a digit is only a heap of pieces."
            ),
            "In about 10 %, as by chance": (
                "Without positions the patches are a set: which piece stands above which is lost, and so is the digit."
            ),
        },
        right="In about 10 %, as by chance",
    ),
    "border": Question(
        "The colour of the border says which digit to name. One patch of the border is blanked. How far does the "
        "probability of the right digit fall?",
        {
            "To about a third: the cue is gone": "The cue stands in 28 patches. One of them is blanked.",
            "To 0": "The network would have to read the cue at that one place.",
            "Hardly at all": (
                "The other 27 patches of the border say the same. A patch may matter much together with others, and "
                "nothing alone."
            ),
        },
        right="Hardly at all",
    ),
    "data": Question(
        "ViT-L/16 has 3.5 times the parameters of ViT-B/16. In the paper both were also trained on ImageNet's 1.3 "
        "million pictures alone. Which of them was then better on ImageNet?",
        {
            "The large one, by several points": "With enough pictures it is. These were too few for it.",
            "Both alike": "They differ, and the sign turns round with the amount of data.",
            "The small one": (
                "77.9 % against 76.5 % (table 5). With ImageNet-21k or JFT-300M behind them it is the other way round."
            ),
        },
        right="The small one",
    ),
}

QUIZ = (
    Question(
        "A picture of 224 × 224 pixels is cut into patches of 32 × 32. How many tokens enter the first block?",
        {
            "49": "7 × 7 patches; the class token comes on top.",
            "50": "7 × 7 patches and the class token.",
            "197": "That is for patches of 16 × 16.",
            "1024": "That is the number of pixels in a patch.",
        },
        right="50",
    ),
    Question(
        "What does the head of a vision transformer read?",
        {
            "The class token after the last block, normalised": (
                "Its vector alone, of shape (E,). What it knows of the picture it has gathered by attention."
            ),
            "The mean of all tokens": "Some ports do that, and can be trained so. The paper's network reads one token.",
            "All tokens, one after the other": "The linear layer would need (P + 1) · E inputs.",
        },
        right="The class token after the last block, normalised",
    ),
    Question(
        "A rollout map is bright on one patch. What does that show?",
        {
            "That the answer would change without this patch": "Only blanking it, or another test, shows that.",
            "That much attention leads from the class token to this patch, through all layers": (
                "That is what is multiplied. The values, the MLPs and the class that is asked do not enter."
            ),
            "That the network's answer is right": "Wrong answers have maps too.",
        },
        right="That much attention leads from the class token to this patch, through all layers",
    ),
    Question(
        "Blanking any single patch of the border changes nothing. May one say that the network does not use it?",
        {
            "Yes: each patch was tested": "Each alone. What many carry together was never taken away.",
            "No: blanked together they may change everything": (
                "They do: with the whole border blank 0.97 for the right digit falls to 0.32, in section 6."
            ),
            "Yes, if the attention on the border is small too": "Two weak signs do not make a proof: test it.",
        },
        right="No: blanked together they may change everything",
    ),
    Question(
        "Why does a vision transformer need more pictures than a network of convolutions?",
        {
            "It always has more parameters": "The small one of the league has fewer than its wider rival.",
            "Its attention costs more with the square of the tokens": "That is time and memory, not pictures.",
            "What is near, and that a shape is the same anywhere, is built into a convolution; it must learn both": (
                "That is called inductive bias. With few pictures what is built in wins, with many it may not."
            ),
        },
        right="What is near, and that a shape is the same anywhere, is built into a convolution; it must learn both",
    ),
)
