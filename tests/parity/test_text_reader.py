"""TextReader against what the original network answered to two drawn lines: logits, and the weights of both blocks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from course_utils.attention import MultiHeadAttention, edit_masks, off, record_masks
from course_utils.data.text_lines import TYPEFACES, draw_text
from course_utils.models import CheckpointError, TextReader, load_network
from course_utils.models.text_reader import CHARACTERS, decode
from course_utils.resources import resource, resource_root

REFERENCE = Path(__file__).with_name("text_reference.npz")


@pytest.fixture(scope="module")
def network() -> TextReader:
    return load_network("text_reader")


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    with np.load(REFERENCE) as file:
        characters = file["characters"].tolist()
        order = [0, *(characters.index(letter) for letter in CHARACTERS)]
        return {
            "pictures": torch.stack([torch.from_numpy(file[f"{i}_image"]).permute(2, 0, 1) / 255 for i in range(2)]),
            "logits": torch.stack([torch.from_numpy(file[f"{i}_logits"][:, order]) for i in range(2)]),
            "weights": torch.stack([torch.from_numpy(file[f"{i}_weights"]) for i in range(2)], dim=1),
        }


def test_what_ships_answers_as_the_original_up_to_its_rounding(network, reference):
    with torch.no_grad(), record_masks(network) as masks:
        logits = network(reference["pictures"])
    assert logits.shape == (2, 40, 96)
    assert (logits - reference["logits"]).abs().max() < 0.2
    assert list(masks) == ["backbone.10.gate", "backbone.11.gate", "blocks.0.attention", "blocks.1.attention"]
    for index, expected in enumerate(reference["weights"]):
        mask = masks[f"blocks.{index}.attention"]
        assert mask.shape == (2, 8, 40, 40)
        assert (mask - expected).abs().max() < 0.02
    assert decode(logits) == decode(reference["logits"]) == ["attention", "see the mask"]


def test_what_ships_is_small_and_loses_no_characters():
    assert resource("weights/text_reader.safetensors").stat().st_size < 4_500_000
    found = json.loads((resource_root() / "results" / "text_reader.json").read_text(encoding="utf-8"))
    right = found["characters_read_rightly"]
    assert found["lines"] >= 300
    assert right["full"] - right["shipped"] < 0.005
    assert found["largest_change_of_a_weight"] <= 0.02


@pytest.mark.parametrize("typeface", TYPEFACES)
def test_it_reads_a_drawn_word(network, typeface):
    assert network.read(draw_text("attention", typeface)[None]) == ["attention"]


def test_a_longer_line_is_read_too(network):
    line = "Which letters does a network that reads look at?"
    picture = draw_text(line)
    assert picture.shape[2] > 320
    assert picture.shape[2] % 8 == 0
    assert network.read(picture[None]) == [line]


def test_repeats_are_merged_unless_a_blank_stands_between():
    logits = torch.zeros(1, 6, 96)
    for column, letter in enumerate(["l", "l", None, "l", "o", None]):
        logits[0, column, 0 if letter is None else 1 + CHARACTERS.index(letter)] = 1
    assert decode(logits) == ["llo"]


def test_an_empty_paper_is_read_as_nothing(network):
    assert network.read(torch.full((1, 3, 48, 320), 0.9)) == [""]


def test_a_head_that_is_off_changes_the_logits(network, reference):
    assert all(type(block.attention) is MultiHeadAttention for block in network.blocks)
    with torch.no_grad():
        plain = network(reference["pictures"])
        with edit_masks(network, {"blocks.1.attention": off([0])}):
            changed = network(reference["pictures"])
    assert (plain - changed).abs().max() > 0.01


def test_the_gradient_reaches_the_picture(network, reference):
    pictures = reference["pictures"].clone().requires_grad_()
    network(pictures).max(dim=2).values.sum().backward()
    assert pictures.grad.abs().max() > 0
    network.zero_grad()


def test_bfloat16_reads_the_same(reference):
    assert load_network("text_reader").bfloat16().read(reference["pictures"].bfloat16()) == [
        "attention",
        "see the mask",
    ]


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (torch.rand(1, 3, 32, 320), "height of 48"),
        (torch.rand(1, 3, 48, 321), "a width W that 8 divides, but was given 321"),
        (torch.rand(3, 48, 320), "pictures[None]"),
        (torch.rand(1, 3, 48, 320) * 255, "divide by 255"),
        (torch.rand(1, 3, 48, 0), "at least one"),
    ],
)
def test_pictures_that_do_not_fit_are_refused_in_words(network, pictures, words):
    with pytest.raises(ValueError, match="TextReader needs") as caught:
        network.read(pictures)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), "empty line"),
        (("   ",), "empty line"),
        (("x" * 101,), "at most 100"),
        (("naïve 字",), "'ï', '字'"),
        (("word", "comic"), "There is no typeface 'comic'"),
        (("word", "sans", 60), "size=60"),
    ],
)
def test_a_line_that_cannot_be_drawn_is_refused_in_words(arguments, words):
    with pytest.raises(ValueError) as caught:
        draw_text(*arguments)
    assert words in str(caught.value)


def test_missing_weights_are_named(tmp_path):
    (tmp_path / "mine.json").write_bytes(resource("weights/text_reader.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"mine\.safetensors not found"):
        load_network(tmp_path / "mine")
