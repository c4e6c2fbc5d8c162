"""The maps that lesson 4.5 shows: the networks of its study trained once more, with their maps kept on the way."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save

from course_utils.models import AttentionVGG
from course_utils.training.attention_maps import stage_names
from course_utils.training.pets_comparison import learn_with_maps

from .files import write_whole
from .ledger import read_runs, results_folder
from .plan import chosen_lr
from .small_vgg import small_vgg
from .study_gates import GATES
from .tasks import SCENES

RECORDED_EPOCHS = (1, 5, 8)
RECORDED_IMAGES = 8
RECORDED_SEED = 0
"""Not one of the study's: which maps are shown was decided after they had been seen."""
RECORDED = ("sigmoid", "softmax", "masked", "plain")


def record_maps(out: str | Path | None = None, say: Callable[[str], object] = print) -> Path:
    """Train the study's networks once more with another seed, and keep their maps of a few test images on the way.

    Args:
        out: folder of results, as for `run_study`; the learning rates are those that its trials chose.
        say: called with a line for each network.

    Returns:
        The file, maps.safetensors in the study's folder: images (N, 64, 64, 3) and places (N, 64, 64) in bytes,
        labels (N,); for each network NAME/pool2 and NAME/pool3, (epochs, N, h, w) float16, Grad-CAM for the one
        without gates; and NAME/answers (epochs, N). Its metadata names the epochs and the stages.
    """
    folder = results_folder(GATES, out)
    recorded = read_runs(folder)
    images = SCENES.images("test", RECORDED_SEED).subset(slice(RECORDED_IMAGES))
    assert images.masks is not None
    tensors = {
        "images": (images.images * 255).round().byte().permute(0, 2, 3, 1).contiguous(),
        "places": images.masks.byte(),
        "labels": images.labels,
    }
    for entry in (entry for entry in GATES.entries if entry.name in RECORDED):
        torch.manual_seed(RECORDED_SEED)
        network = entry.build(SCENES)
        assert isinstance(network, AttentionVGG)
        lr = chosen_lr(GATES, SCENES, entry, recorded)
        kept = learn_with_maps(
            network,
            SCENES.images("train", RECORDED_SEED),
            images.images,
            RECORDED_EPOCHS,
            epochs=GATES.epochs,
            batch_size=GATES.batch_size,
            lr=lr,
            seed=RECORDED_SEED,
            precision="float32",
            progress=False,
            objective=entry.objective,
        )
        tensors |= {f"{entry.name}/{part}": one for part, one in kept.items()}
        say(f"{entry.name}: maps after epochs {', '.join(map(str, RECORDED_EPOCHS))}, lr {lr:g}")
    about = {"epochs": json.dumps(RECORDED_EPOCHS), "stages": json.dumps(stage_names(small_vgg(None)))}
    path = folder / "maps.safetensors"
    write_whole(path, save(tensors, about))
    return path
