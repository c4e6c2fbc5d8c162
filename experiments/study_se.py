"""Lesson 4.2: what squeeze-and-excitation adds to the original course's network; the league has another network."""

from .study import FIRST_UNSEEN_SEED, Study, cnn
from .tasks import CUED, DIGITS

_ORIGINAL = {"layout": "original"}
SE = Study(
    name="4.2",
    title="The original course's network with and without squeeze-and-excitation",
    tasks=(DIGITS, CUED),
    entries=(
        cnn("plain", "plain", **_ORIGINAL),
        cnn("se", "with SE, r = 4", **_ORIGINAL, attention="se", attention_options={"reduction": 4}),
        cnn("wider", "plain, as many parameters as SE", **_ORIGINAL, widths=(12, 25, 32)),
        cnn("deeper", "plain, one more hidden layer", **_ORIGINAL, hidden=(200, 200)),
        cnn("pooled", "plain, pooled linear head", **_ORIGINAL, head="linear"),
        cnn("pooled-hidden", "plain, pooled head with a hidden layer", **_ORIGINAL, head="hidden"),
        cnn(
            "pooled-se",
            "with SE, pooled linear head",
            **_ORIGINAL,
            head="linear",
            attention="se",
            attention_options={"reduction": 4},
        ),
    ),
    pairs=(
        ("se", "plain"),
        ("se", "wider"),
        ("se", "deeper"),
        ("se", "pooled-hidden"),
        ("deeper", "plain"),
        ("pooled-hidden", "pooled"),
        ("pooled-se", "pooled"),
    ),
    learning_rates=(7e-4, 2e-3, 6e-3, 1.8e-2, 5.4e-2),
    trials=3,
    epochs=8,
    batch_size=128,
    first_seed=FIRST_UNSEEN_SEED,
)
