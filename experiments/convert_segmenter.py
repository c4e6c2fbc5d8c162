"""Convert MediaPipe's selfie segmentation to the course's PersonSegmenter.

`python -m experiments.convert_segmenter PATH/selfie_segmentation.tflite` writes resource/weights/person_segmenter.
The file lies in the package mediapipe 0.10.14, in modules/selfie_segmentation.
`pip install -e '.[experiments]'` brings the package tflite, which reads it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from course_utils.models import PersonSegmenter
from course_utils.training.checkpoints import save_network

CARD = {
    "name": "person_segmenter",
    "data": "trained by Google on pictures of people that are not public",
    "source": "selfie_segmentation.tflite of mediapipe 0.10.14: MediaPipe Selfie Segmentation, the general model",
    "command": "python -m experiments.convert_segmenter PATH/selfie_segmentation.tflite",
    "precision": "float16, as in the original file",
    "limits": "Made for people close to a camera. It also cuts out animals, and is often wrong on things and drawings.",
    "licence": "Apache-2.0; Copyright The MediaPipe Authors; changed: read into PyTorch, layout of the weights",
}
LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CUSTOM")  # the one custom operator is the transposed convolution


def read_layers(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of every convolution, in the order in which the network runs them.

    Raises:
        SystemExit: if tflite is not installed, or the file is missing or is not a network of TensorFlow Lite.
    """
    try:
        import tflite
    except ImportError as error:
        raise SystemExit(f"{error.name} is missing; install it with: pip install -e '.[experiments]'") from error

    try:
        content = path.read_bytes()
    except OSError as error:
        raise SystemExit(
            f"{path} cannot be read ({error.strerror}); give that of selfie_segmentation.tflite."
        ) from error
    if content[4:8] != b"TFL3":
        raise SystemExit(f"{path} is not a network of TensorFlow Lite; give the path of selfie_segmentation.tflite.")
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    kinds = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    stored = {}  # where the half-precision tensor behind each full-precision one lies
    layers = []

    def tensor(index: int) -> np.ndarray:
        described = graph.Tensors(stored.get(index, index))
        kind = np.float16 if described.Type() == tflite.TensorType.FLOAT16 else np.float32
        return model.Buffers(described.Buffer()).DataAsNumpy().view(kind).reshape(described.ShapeAsNumpy())

    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = operator.InputsAsNumpy().tolist()
        if kind == "DEQUANTIZE":
            stored[operator.OutputsAsNumpy().tolist()[0]] = inputs[0]
        elif kind in LAYERS:
            weight, bias = tensor(inputs[1]), tensor(inputs[2])
            # (out, height, width, in), or (1, height, width, channels) where each channel has its own kernel
            axes = (3, 0, 1, 2) if kind != "CONV_2D" else (0, 3, 1, 2)
            layers.append((weight.transpose(axes), bias))
    return layers


def convert(path: Path) -> PersonSegmenter:
    """The network with the weights of a .tflite file.

    Raises:
        SystemExit: if the file cannot be read or holds another network.
    """
    network = PersonSegmenter()
    layers = [tensor for layer in read_layers(path) for tensor in layer]
    state = network.state_dict()  # its layers are made in the order in which the original runs them
    if len(layers) != len(state) or any(a.size != b.numel() for a, b in zip(layers, state.values(), strict=True)):
        raise SystemExit(f"{path} holds another network than MediaPipe's selfie segmentation, the general model.")
    for tensor, (name, ours) in zip(layers, state.items(), strict=True):
        state[name] = torch.from_numpy(tensor.copy()).reshape(ours.shape)
    network.load_state_dict(state)
    return network.eval()


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, help="selfie_segmentation.tflite")
    parser.add_argument("--out", type=Path, default=Path("resource/weights/person_segmenter"))
    given = parser.parse_args()
    print(save_network(convert(given.path).half(), given.out, CARD))


if __name__ == "__main__":
    main()
