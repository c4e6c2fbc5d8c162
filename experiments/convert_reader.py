"""Convert PP-OCRv4's mobile text recogniser to the course's TextReader.

`python -m experiments.convert_reader PATH/text_recognition.onnx` writes resource/weights/text_reader.
The file is ch_PP-OCRv4_rec_infer.onnx of the package rapidocr-onnxruntime 1.4.4;
`pip install -e '.[experiments]'` brings the package onnx, which reads it.
`--compare` draws 300 words in six typefaces, and records in resource/results/text_reader.json what rounding changes.
"""

import argparse
import copy
import json
import random
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.attention import record_masks
from course_utils.data.text_lines import TYPEFACES, draw_text
from course_utils.models import TextReader, load_network
from course_utils.models.text_reader import CHARACTERS, decode
from course_utils.training.checkpoints import save_network

from .files import write_whole

CARD = {
    "name": "text_reader",
    "data": "trained by the PaddlePaddle authors on lines of Chinese and English text that are not public",
    "source": "ch_PP-OCRv4_rec_infer.onnx of rapidocr-onnxruntime 1.4.4: PP-OCRv4's mobile recogniser",
    "command": "python -m experiments.convert_reader PATH/text_recognition.onnx",
    "precision": "float16; what is small or sensitive is float32",
    "limits": "Reads one line of printable ASCII from left to right; the other characters of the original are cut off.",
    "licence": "Apache-2.0; Copyright PaddlePaddle Authors and RapidAI; changed: batch norms "
    "and scales joined with the convolutions before them, 96 of 6,625 characters kept, most weights rounded",
}
RESULTS = Path("resource/results/text_reader.json")
SMALL = 4_800  # tensors of fewer numbers stay in float32
# Rounding one of these alone moves an attention weight most, for the bytes it saves.
SENSITIVE = re.compile(
    r"backbone\.[0-5]\.|backbone\.[689]\.pointwise|backbone\.6\.depthwise|backbone\.1[01]\.gate\.expand|embed"
)


def read_steps(path: Path) -> tuple[list, dict[str, np.ndarray], list[str]]:
    """The operators, the stored arrays and the characters of an ONNX file.

    Raises:
        SystemExit: if onnx is not installed, or the file is missing or is not a network.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnx import numpy_helper
    except ImportError as error:
        raise SystemExit(f"{error.name} is missing; install it with: pip install -e '.[experiments]'") from error

    try:
        model = onnx.load(str(path))
    except (OSError, DecodeError) as error:
        raise SystemExit(f"{path} cannot be read as an ONNX file ({error}); give that of PP-OCRv4.") from error
    graph = model.graph
    arrays = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in graph.node if node.op_type == "Constant"
    }
    characters = {item.key: item.value for item in model.metadata_props}.get("character", "").split("\n")
    return [node for node in graph.node if node.op_type != "Constant"], arrays, characters


def convert(path: Path) -> TextReader:
    """The network in full precision, with the weights of the original file.

    Raises:
        SystemExit: if the file cannot be read or holds another network.
    """
    steps, arrays, characters = read_steps(path)
    network = TextReader().eval()
    convolutions, linears, norms, scales = [], [], [], []
    for step in steps:
        values = [arrays[name] for name in step.input if name in arrays]
        if step.op_type == "Conv":
            weight, *bias = (value.astype(np.float64) for value in values)
            convolutions.append([weight, bias[0] if bias else np.zeros(len(weight))])
        elif step.op_type == "BatchNormalization":
            gain, shift, mean, variance = (value.astype(np.float64) for value in values)
            gain = gain / np.sqrt(variance + 1e-5)
            weight, bias = convolutions[-1]
            convolutions[-1] = [weight * gain[:, None, None, None], (bias - mean) * gain + shift]
        elif step.op_type == "Mul" and any("mobile_one_block" in name for name in step.input):
            convolutions[-1] = [part * values[0] for part in convolutions[-1]]
        elif step.op_type == "Add" and any("mobile_one_block" in name for name in step.input):
            convolutions[-1][1] = convolutions[-1][1] + values[0]
        elif any(name.startswith("whswish") for name in step.input):
            scales.append(values[0])
        elif any(name.startswith("layer_norm") for name in step.input):
            norms.append(values[0])
        elif any(name.startswith("linear") for name in step.input):
            linears.append(values[0].T if step.op_type == "MatMul" else values[0])
    weight, bias = convolutions[0]
    convolutions[0] = [weight[:, ::-1].copy(), bias]  # the original reads blue first

    # the original's logits: the blank, its characters, the space
    kept = [0, *(characters.index(letter) + 1 if letter != " " else len(characters) + 1 for letter in CHARACTERS)]
    linears[-2:] = [linears[-2][kept], linears[-1][kept]]
    tensors: dict[str, np.ndarray] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.Linear) and ".gate." in name):
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = convolutions.pop(0)
        elif isinstance(module, nn.LayerNorm):
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = norms.pop(0), norms.pop(0)
        elif name.endswith(".query"):
            weights, biases = (np.split(linears.pop(0), 3) for _ in range(2))
            for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
                owner = name.removesuffix("query") + part
                tensors[f"{owner}.weight"], tensors[f"{owner}.bias"] = weight, bias
        elif isinstance(module, nn.Linear) and not name.endswith((".key", ".value")):
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = linears.pop(0), linears.pop(0)
        elif name.endswith("_scale"):
            tensors[f"{name}.scale"], tensors[f"{name}.shift"] = scales.pop(0), scales.pop(0)
    if convolutions or linears or norms or scales:
        raise SystemExit(f"{path} holds another network than PP-OCRv4's mobile recogniser.")
    state = {name: torch.tensor(np.ascontiguousarray(tensors[name])) for name in network.state_dict()}
    network.load_state_dict({name: value.reshape(network.state_dict()[name].shape) for name, value in state.items()})
    return network


def rounded(network: TextReader) -> TextReader:
    """A copy with most weights in half precision; what is small or sensitive keeps its own."""
    copied = copy.deepcopy(network)
    for name, parameter in copied.named_parameters():
        if parameter.numel() >= SMALL and not SENSITIVE.match(name):
            parameter.data = parameter.data.half()
    return copied


def drawn_words() -> list[tuple[str, str]]:
    """Words and typefaces, the same at each call: words of this course, and letters, digits and signs at random."""
    generator = random.Random(0)
    course = ("attention", "query", "key", "value", "head", "mask", "gate", "score", "weight", "softmax", "token")
    lines = []
    for number in range(300):
        if number % 3 == 0:
            text = " ".join(generator.sample(course, generator.randint(1, 3)))
        elif number % 3 == 1:
            text = "".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=generator.randint(3, 12))).capitalize()
        else:
            text = "".join(generator.choices("ABCDEFGHKLMNPRSTUVWXYZ23456789.,:;!?+-=()%&", k=generator.randint(3, 10)))
        lines.append((text, list(TYPEFACES)[number % len(TYPEFACES)]))
    return lines


def distance(read: str, drawn: str) -> int:
    """Levenshtein's: the fewest characters to insert, delete or replace."""
    row = list(range(len(drawn) + 1))
    for i, a in enumerate(read, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(drawn, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def answers(network: TextReader, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (1, T, 96) and the weights of both blocks (2, 8, T, T) for one picture (3, 48, W)."""
    with torch.no_grad(), record_masks(network) as masks:
        logits = network(picture[None])
    return logits, torch.cat([masks[f"blocks.{index}.attention"] for index in range(2)])


def compare(full: TextReader, shipped: TextReader, lines: list[tuple[str, str]]) -> dict[str, object]:
    """What rounding changes, over drawn lines: characters read rightly, and the largest change of a weight."""
    wrong, characters, differ, moved = {"full": 0, "shipped": 0}, 0, 0, 0.0
    for text, typeface in lines:
        picture = draw_text(text, typeface)
        found = {name: answers(network, picture) for name, network in (("full", full), ("shipped", shipped))}
        read = {name: decode(logits)[0] for name, (logits, _) in found.items()}
        for name, line in read.items():
            wrong[name] += distance(line, text)
        characters += len(text)
        differ += read["full"] != read["shipped"]
        moved = max(moved, float((found["full"][1] - found["shipped"][1]).abs().max()))
    right = {name: round(1 - count / characters, 5) for name, count in wrong.items()}
    return {
        "lines": len(lines),
        "typefaces": list(TYPEFACES),
        "characters": characters,
        "characters_read_rightly": right,
        "lines_read_otherwise": differ,
        "largest_change_of_a_weight": round(moved, 5),
        "torch": torch.__version__,
    }


def main() -> None:
    """Convert the file named on the command line, and compare what ships with it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, help="the ONNX file")
    parser.add_argument("--compare", action="store_true", help="record what rounding changes; writes no weights")
    given = parser.parse_args()
    full = convert(given.path)
    if given.compare:
        found = compare(full, load_network("text_reader"), drawn_words())
        write_whole(RESULTS, (json.dumps(found, indent=2) + "\n").encode())
        print(json.dumps(found, indent=2))
    else:
        print(save_network(rounded(full), "resource/weights/text_reader", CARD))


if __name__ == "__main__":
    main()
