"""Which networks' masks are seen, family by family, and how far they are from a reference.

    python -m experiments.families [WORD ...]

Takes the smallest network of each of timm's files of models and of each family of torchvision's classifiers, and small
vision networks of transformers and open_clip, all with random weights: nothing is downloaded. Each runs plainly and
recorded. With words only the networks run whose name contains one of them. Each row goes into the table in
docs/families.md as soon as it is known. All of it takes about ten minutes on one core.
"""

import copy
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.attention import Layout, find_tokens, record_masks

TABLE = Path(__file__).resolve().parent.parent / "docs" / "families.md"

NOT_SEEN = {
    "timm/efficientvit_mit": "linear attention: keys and values are multiplied first, so there are no weights",
    "timm/mlp_mixer": "gMLP's gate is as large as what it gates, so it is no smaller mask",
}
"""Networks with a kind of attention of which nothing is recorded, and why."""

_NAMES_OF_ATTENTION = ("attention", "attn", "squeeze", "semodule", "effectivese", "eca", "cbam", "spatialgating")


@dataclass
class Row:
    """What was found of one network."""

    family: str
    network: str
    masks: dict[str, Tensor] = field(repr=False)
    exact: bool  # whether the recorded pass gave the plain one's output to the last bit
    distance: float | None  # the largest from the reference, of the masks that have one
    compared: int
    layouts: dict[str, Layout] = field(repr=False)
    unseen: list[str]  # modules that are named as if they had a mask and gave none

    def kinds(self) -> str:
        """How many weights, gates and choices between branches were recorded."""
        counts = Counter(kind_of(mask) for mask in self.masks.values())
        return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"


def kind_of(mask: Tensor) -> str:
    """Whether a mask is made of weights, gates, or a choice between branches, by its shape."""
    if mask.dim() == 5 and mask.shape[-2:] == (1, 1):
        return "branches"
    gate = mask.dim() == 3 or mask.shape[-2:] == (1, 1) or (mask.shape[1] == 1 and not _rows_sum_to_one(mask))
    return "gates" if gate or (1 in mask.shape[2:] and not _rows_sum_to_one(mask)) else "weights"


def _rows_sum_to_one(mask: Tensor) -> bool:
    sums = mask.float().sum(-1)
    return bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-2))


def check(family: str, network: str, model: nn.Module, inputs: Any, reference: Callable[..., dict[str, Tensor]]) -> Row:
    """Run a network plainly and recorded, and compare.

    Args:
        family: such as "timm/swin_transformer".
        network: its name.
        model: in evaluation mode.
        inputs: two pictures, or a dictionary of the model's arguments.
        reference: from the model and the inputs to masks by name, found without the recorder.
    """

    def call(given: Any) -> list[Tensor]:
        output = model(**given) if isinstance(given, dict) else model(given)
        return list(_tensors(output))

    with torch.no_grad():
        expected = call(inputs)
        with record_masks(model) as masks:
            found = call(inputs)
        exact = len(found) == len(expected) and all(map(torch.equal, found, expected))
        known = reference(model, inputs)
        first = {k: v[:1] for k, v in inputs.items()} if isinstance(inputs, dict) else inputs[:1]
        layouts = find_tokens(model, first)
    distances = [_distance(masks[name], known[name]) for name in masks if name in known]
    owners = {name.split("#")[0] for name in masks}
    unseen = [name for name, part in model.named_modules() if _looks_like_attention(part) and not _has(owners, name)]
    return Row(family, network, dict(masks), exact, max(distances, default=None), len(distances), layouts, unseen)


def _looks_like_attention(part: nn.Module) -> bool:
    name = type(part).__name__.lower()
    return any(word in name for word in _NAMES_OF_ATTENTION) and any(True for _ in part.parameters())


def _has(owners: set[str], name: str) -> bool:
    """Whether a module, a part of it, or the module that it is part of made a mask."""
    return any(f"{owner}.".startswith(f"{name}.") or f"{name}.".startswith(f"{owner}.") for owner in owners)


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for part in output.values():
            yield from _tensors(part)
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _tensors(part)


def _distance(mask: Tensor, known: Tensor) -> float:
    """The largest difference; windows and heads may be kept in another order, which is found by their shapes."""
    if mask.numel() != known.numel():
        return math.inf
    orders = [known.reshape(mask.shape)] if mask.dim() > 2 else [known]
    if known.dim() == 5:  # (N, heads, windows, Q, K)
        orders.append(known.transpose(1, 2).reshape(mask.shape))
    if known.dim() == 4 and mask.dim() == 4 and known.shape != mask.shape:  # (N * heads, windows, Q, K)
        orders.append(known.unflatten(0, (-1, mask.shape[1])).transpose(1, 2).reshape(mask.shape))
    return min(float((mask - one).abs().max()) for one in orders)


# timm -----------------------------------------------------------------------------------------------------------------


TIMM = {
    "beit": "beit_base_patch16_224", "byoanet": "halonet_h1", "byobnet": "test_byobnet", "cait": "cait_xxs24_224",
    "coat": "coat_tiny", "convit": "convit_tiny", "convmixer": "convmixer_768_32", "convnext": "test_convnext",
    "cpubone": "cpubone_nano", "crossvit": "crossvit_tiny_240", "csatv2": "csatv2", "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny", "davit": "davit_tiny", "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224", "densenet": "densenet121", "dla": "dla46x_c", "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small", "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0", "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1", "efficientvit_mit": "efficientvit_b0", "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb", "fasternet": "fasternet_t0", "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf", "gcvit": "gcvit_xxtiny", "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050", "hardcorenas": "hardcorenas_b", "hgnet": "hgnetv2_b0", "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny", "hrnet": "hrnet_w18_small", "iformer": "iformer_t",
    "inception_next": "inception_next_atto", "inception_resnet_v2": "ens_adv_inception_resnet_v2",
    "inception_v3": "adv_inception_v3", "inception_v4": "inception_v4", "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s", "lowformer": "lowformer_b0", "mambaout": "test_mambaout", "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12", "mlp_mixer": "gmlp_ti16_224", "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base", "mobilevit": "mobilevit_xxs", "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap", "nasnet": "nasnetalarge", "nest": "jx_nest_tiny",
    "nextvit": "nextvit_small", "nfnet": "test_nfnet", "pit": "pit_ti_224", "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0", "qwen3_vit": "qwen3_vit_88m", "rdnet": "rdnet_tiny", "regnet": "regnetx_002",
    "repghost": "repghostnet_050", "repvit": "repvit_m1", "res2net": "res2next50", "resnest": "resnest14d",
    "resnet": "test_resnet", "resnetv2": "resnetv2_18", "rexnet": "rexnet_100", "selecsls": "selecsls42",
    "senet": "legacy_seresnet18", "sequencer": "sequencer2d_s", "shvit": "shvit_s1", "sknet": "skresnet18",
    "starnet": "starnet_s050", "swiftformer": "swiftformer_xs", "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window16_256", "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224", "tnt": "tnt_s_legacy_patch16_224", "tresnet": "tresnet_m",
    "twins": "twins_svt_small", "vgg": "vgg11", "visformer": "visformer_tiny", "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224", "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224", "vitamin": "vitamin_small_224", "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw", "xception": "legacy_xception", "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}  # fmt: skip
"""Of each of timm's files of models the network with the fewest parameters."""

SMALLER = {"deepseek_vit": 252, "gemma4_vit": 384}
"""Sides of pictures smaller than the network's own, at which its masks need more than 24 GB."""


def timm_row(family: str) -> Row:
    """The smallest network of one of timm's files."""
    import timm

    network = TIMM[family]
    torch.manual_seed(0)
    model = timm.create_model(network).eval()
    channels, *size = model.pretrained_cfg["input_size"]
    pictures = torch.randn(2, channels, *([SMALLER[family]] * 2 if family in SMALLER else size))
    return check(f"timm/{family}", network, model, pictures, timm_reference)


def timm_reference(model: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """As timm's `AttentionExtract`: what enters `attn_drop` without fused attention; what a gate's activation gives.

    Each fused layer runs once more without its kernel, on what it is given in a plain pass: from layer to layer of a
    network with sharp weights a difference of rounding grows.
    """
    model = copy.deepcopy(model)
    known: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def keep(owner: str, tensor: Tensor) -> None:
        calls[owner] += 1
        known[owner if calls[owner] == 1 else f"{owner}#{calls[owner]}"] = tensor

    def unfused(part: nn.Module, given: tuple, options: dict[str, Any]) -> None:
        part.fused_attn = False
        type(part).forward(part, *given, **options)
        part.fused_attn = True

    for name, part in model.named_modules():
        if getattr(part, "fused_attn", False):
            part.register_forward_pre_hook(unfused, with_kwargs=True)
        owner, _, last = name.rpartition(".")
        if last == "attn_drop":
            part.register_forward_pre_hook(lambda part, given, owner=owner: keep(owner, given[0]))
        if last in ("gate", "scale_activation") or (last == "sigmoid" and hasattr(model.get_submodule(owner), "fc2")):
            part.register_forward_hook(lambda part, given, made, owner=owner: keep(owner, made))
    model(inputs)
    return {name: tensor for name, tensor in known.items() if tensor.dim() > 2}


# torchvision ----------------------------------------------------------------------------------------------------------

TORCHVISION = {
    "alexnet": 224, "convnext_tiny": 224, "densenet121": 224, "efficientnet_b0": 224, "efficientnet_v2_s": 224,
    "googlenet": 224, "inception_v3": 299, "maxvit_t": 224, "mnasnet0_5": 224, "mobilenet_v2": 224,
    "mobilenet_v3_small": 224, "regnet_x_400mf": 224, "regnet_y_400mf": 224, "resnet18": 224, "resnext50_32x4d": 224,
    "shufflenet_v2_x0_5": 224, "squeezenet1_1": 224, "swin_t": 224, "swin_v2_t": 256, "vgg11": 224, "vit_b_16": 224,
    "wide_resnet50_2": 224,
}  # fmt: skip


def torchvision_row(network: str) -> Row:
    """The smallest classifier of one of torchvision's families."""
    import torchvision

    torch.manual_seed(0)
    options = {"init_weights": False} if network in ("googlenet", "inception_v3") else {}
    model = getattr(torchvision.models, network)(**options).eval()
    side = TORCHVISION[network]
    return check(f"torchvision/{network}", network, model, torch.randn(2, 3, side, side), torchvision_reference)


def torchvision_reference(model: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """`nn.MultiheadAttention` asked for its weights; what `F.softmax` gave to a windowed layer; SE's activation."""
    known: dict[str, Tensor] = {}
    running: list[str] = []
    handles = []
    for name, part in model.named_modules():
        owner, _, last = name.rpartition(".")
        if last == "scale_activation":
            handles.append(part.register_forward_hook(lambda p, given, made, owner=owner: known.update({owner: made})))
        if isinstance(part, nn.MultiheadAttention):
            handles.append(
                part.register_forward_pre_hook(
                    lambda part, given, name=name: known.update(
                        {name: type(part).forward(part, *given[:3], average_attn_weights=False)[1]}
                    )
                )
            )
        if "Attention" in type(part).__name__:
            handles.append(part.register_forward_pre_hook(lambda part, given, name=name: running.append(name)))
    plain = F.softmax

    def softmax(*given: Any, **options: Any) -> Tensor:
        made = plain(*given, **options)
        known[running[-1]] = made
        return made

    F.softmax = softmax
    try:
        model(**inputs) if isinstance(inputs, dict) else model(inputs)
    finally:
        F.softmax = plain
        for handle in handles:
            handle.remove()
    return known


# transformers and open_clip -------------------------------------------------------------------------------------------

_SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
_WINDOWS = {"image_size": 64, "patch_size": 4, "embed_dim": 16, "depths": [2, 1], "num_heads": [2, 4], "window_size": 4}
TRANSFORMERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ViT": ("ViTModel", "ViTConfig", _SMALL),
    "DeiT": ("DeiTModel", "DeiTConfig", _SMALL),
    "BEiT": ("BeitModel", "BeitConfig", _SMALL | {"use_relative_position_bias": True}),
    "Swin": ("SwinModel", "SwinConfig", _WINDOWS),
    "SwinV2": ("Swinv2Model", "Swinv2Config", _WINDOWS),
    "DINOv2": ("Dinov2Model", "Dinov2Config", _SMALL),
    "DINOv2 with registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", _SMALL),
    "DINOv3": ("DINOv3ViTModel", "DINOv3ViTConfig", _SMALL | {"num_register_tokens": 4}),
    "CLIP": ("CLIPVisionModel", "CLIPVisionConfig", _SMALL),
    "SigLIP": ("SiglipVisionModel", "SiglipVisionConfig", _SMALL),
    "SAM's encoder": (
        "SamVisionModel",
        "SamVisionConfig",
        _SMALL | {"window_size": 3, "global_attn_indexes": [1], "output_channels": 16, "mlp_dim": 64},
    ),
    "MAE's encoder": ("ViTMAEModel", "ViTMAEConfig", _SMALL | {"mask_ratio": 0.25}),
}


def transformers_row(family: str) -> Row:
    """A small network of transformers, with its default (fused) attention, against itself with eager attention."""
    import transformers

    kind, config, options = TRANSFORMERS[family]
    settings = getattr(transformers, config)(**options)
    torch.manual_seed(0)
    model = getattr(transformers, kind)(settings).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    side = options["image_size"]
    inputs: dict[str, Any] = {"pixel_values": torch.randn(2, 3, side, side)}
    if family.startswith("MAE"):
        inputs["noise"] = torch.rand(2, (side // options["patch_size"]) ** 2)  # which patches are dropped

    def reference(model: Any, inputs: Any) -> dict[str, Tensor]:
        eager = type(model)._from_config(copy.deepcopy(settings), attn_implementation="eager").eval()
        eager.load_state_dict(model.state_dict())
        with record_masks(model) as masks:
            model(**inputs)
        given = eager(**inputs, output_attentions=True).attentions
        if not given:  # SAM's encoder does not give them
            return torchvision_reference(eager, inputs)
        names = list(masks)[: len(given)]
        if [masks[name].numel() for name in names] != [
            one.numel() for one in given
        ]:  # Swin gives one layer of each stage
            names = [list(masks)[i] for i in _last_of_each(masks, given)]
        return dict(zip(names, given, strict=True))

    return check(f"transformers/{family}", kind, model, inputs, reference)


def _last_of_each(masks: dict[str, Tensor], given: tuple[Tensor, ...]) -> list[int]:
    sizes = [mask.numel() for mask in masks.values()]
    return [max(i for i, size in enumerate(sizes) if size == one.numel()) for one in given]


def open_clip_row(tower: str) -> Row:
    """A tower of open_clip, with random weights."""
    import open_clip

    torch.manual_seed(0)
    clip = open_clip.create_model("ViT-B-32", pretrained=None).eval()
    if tower == "pictures":
        inputs = torch.randn(2, 3, 224, 224)
        return check("open_clip/pictures", "ViT-B-32", clip.visual, inputs, torchvision_reference_of_all)
    text = open_clip.tokenizer.tokenize(["a photograph of a dog", "two cats"])

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip = clip

        def forward(self, tokens: Tensor) -> Tensor:
            return self.clip.encode_text(tokens)

    return check("open_clip/text", "ViT-B-32", Text(), text, torchvision_reference_of_all)


def torchvision_reference_of_all(model: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """Each `nn.MultiheadAttention` of a model asked for its weights, whatever options it is called with."""
    known: dict[str, Tensor] = {}
    handles = []
    for name, part in model.named_modules():
        if isinstance(part, nn.MultiheadAttention):

            def ask(part: nn.Module, given: tuple, options: dict[str, Any], name: str = name) -> None:
                asked = {**options, "need_weights": True, "average_attn_weights": False}
                known[name] = type(part).forward(part, *given, **asked)[1]

            handles.append(part.register_forward_pre_hook(ask, with_kwargs=True))
    model(inputs)
    for handle in handles:
        handle.remove()
    return known


# The table ------------------------------------------------------------------------------------------------------------


def rows(words: list[str]) -> Iterator[Row]:
    """Every row whose family contains one of the words; all of them without words."""
    makers: dict[str, Callable[[], Row]] = {}
    makers |= {f"timm/{name}": lambda name=name: timm_row(name) for name in TIMM}
    makers |= {f"torchvision/{name}": lambda name=name: torchvision_row(name) for name in TORCHVISION}
    makers |= {f"transformers/{name}": lambda name=name: transformers_row(name) for name in TRANSFORMERS}
    makers |= {f"open_clip/{name}": lambda name=name: open_clip_row(name) for name in ("pictures", "text")}
    for name, make in makers.items():
        if not words or any(word in name for word in words):
            yield make()


def line(row: Row) -> str:
    """A row of the table."""
    distance = "" if row.distance is None else f"{row.distance:.0e} ({row.compared} of {len(row.masks)})"
    note = NOT_SEEN.get(row.family, "")
    if not note and not row.masks:
        note = "no attention"
    known = [one for one in row.layouts.values() if one.keys is not None and one.queries is not None]
    channels = [one for one in row.layouts.values() if "channels" in one.why]
    tokens = f"{len(known)} of {len(row.layouts)}" if row.layouts else ""
    if channels:
        tokens += f", {len(channels)} between channels"
    exact = "yes" if row.exact else "NO"
    return f"| {row.family} | {row.network} | {row.kinds()} | {exact} | {distance} | {tokens} | {note} |"


def main(words: list[str]) -> int:
    """Print the rows and put them into the table, in the place of the earlier ones of the same families."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    order = [f"timm/{name}" for name in TIMM] + [f"torchvision/{name}" for name in TORCHVISION]
    order += [f"transformers/{name}" for name in TRANSFORMERS] + ["open_clip/pictures", "open_clip/text"]
    exact = True
    for row in rows(words):
        exact &= row.exact
        print(line(row), flush=True)
        if row.unseen and row.family not in NOT_SEEN:
            print(f"    named as if it had a mask, and gave none: {row.unseen[:3]}", flush=True)
        lines = TABLE.read_text(encoding="utf-8").splitlines() if TABLE.exists() else []
        table = {one.split("|")[1].strip(): one for one in lines if one.startswith("| ") and "/" in one.split("|")[1]}
        table[row.family] = line(row)
        TABLE.write_text(_page([table[family] for family in order if family in table]), encoding="utf-8")
    return int(not exact)


def _page(lines: list[str]) -> str:
    cells = [[cell.strip() for cell in one.split("|")] for one in lines]
    seen, exact = sum(cell[3] != "nothing" for cell in cells), sum(cell[4] == "yes" for cell in cells)
    distances = [float(cell[5].split()[0]) for cell in cells if cell[5]]
    return f"""# Whose masks are seen

Written by `python -m experiments.families`: the smallest network of each family, with random weights and two pictures.
{len(cells)} networks; masks of {seen} were recorded, {exact} outputs were equal to those of a plain pass to the last
bit, and the masks that have a reference differ from it by {max(distances, default=0):.0e} at most.

- Recorded: *weights* are (N, heads, Q, K), *gates* smaller masks that multiply, *branches* choices between branches.
- Equal: whether the recorded pass gave the same output, to the last bit.
- Reference: the largest difference, and how many masks were compared. In timm it is what enters `attn_drop` when fused
  attention is off, and what a gate's activation gives; in torchvision `nn.MultiheadAttention` with `need_weights=True`,
  the softmax of windowed layers and SE's activation; in transformers eager attention with `output_attentions=True`.
- Tokens: for how many of the weights it is known where queries and keys are (`find_tokens`).

| family | network | recorded | equal | reference | tokens | note |
|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
