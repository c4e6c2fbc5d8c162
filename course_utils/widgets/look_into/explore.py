"""`look`: any network and its pictures joined to `Look`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...attention import Layout, edit_masks, find_tokens, off, record_masks, scale
from ...attention.editing import answer_of
from ...attention.recording import Edit, contents, evaluating
from ...data.images import decode_base64, decode_image
from ...models import PersonSegmenter, TextReader, VisionTransformer
from ..base import as_array, encode
from ..pictures import as_input, square_input
from .widget import Look

Prepare = Callable[[Any], Any]

_SENT_AT_ONCE = 3_500_000  # numbers, of the layer shown first and of the others while they fit
_MOST_PICTURES = 24
_SHOWN_CLASSES = 5
_LARGEST_SIDE = 448


def look(model: nn.Module, pictures: Any, prepare: Any = None, classes: Sequence[str] | None = None) -> Look:
    """See every mask of any network over the picture, switch heads and gates off, and watch the answer.

    The model is used as it is, in evaluation mode and without gradient, and answers the widget for as long as it is
    open; its modes and weights stay as they were.

    Args:
        model: any network that `record_masks` can record.
        pictures: one or a list of: file names, PIL images, arrays (H, W) or (H, W, 3) of uint8, or tensors (C, H, W),
            which the model gets as they are unless you give `prepare`; or one tensor (N, C, H, W).
        prepare: what turns a PIL image into the model's input: torchvision transforms, torchvision weights, which bring
            the classes along, or an image processor of transformers. None: the model's own, where timm or transformers
            stored it, or where it is one of the course's networks.
        classes: the names of the classes; None: the model's own, else numbers.

    Raises:
        TypeError: if the model is no module, or a picture is none.
        ValueError: if the network has no attention, `prepare` is needed, the model refuses the pictures, a mask is
            not finite, or there are too many or too few classes.

    Example:
        >>> look(timm.create_model("vit_small_patch16_224", pretrained=True), "cat.jpg")
        >>> look(vit_b_16(weights=weights), ["cat.jpg", "dog.jpg"], prepare=weights)
    """
    return _Looked(model, prepare, classes).widget(pictures)


class _Looked:
    """A network with what it needs to read pictures, and the widget that it answers."""

    def __init__(self, model: nn.Module, prepare: Any, classes: Sequence[str] | None) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"look needs a torch.nn.Module, but was given {type(model).__name__}.")
        if hasattr(prepare, "meta") and hasattr(prepare, "transforms"):  # torchvision's weights
            classes = classes or prepare.meta.get("categories")
            prepare = prepare.transforms()
        self.model = model
        self.given = prepare is not None
        self.prepare: Prepare | None = prepare or _own_prepare(model)
        self.normal = _normal(model, self.prepare)
        self.classes = list(classes) if classes is not None else _own_classes(model)
        self.chosen = classes is not None
        self.inputs: list[Tensor] = []

    def widget(self, pictures: Any) -> Look:
        shown = []
        for i, (name, picture) in enumerate(_listed(pictures)):
            self.inputs.append(self.input(picture))
            if self.inputs[i].shape != self.inputs[0].shape:
                raise ValueError(
                    f"Picture {i + 1} has shape {tuple(self.inputs[i].shape[1:])}, the first has "
                    f"{tuple(self.inputs[0].shape[1:])}; pass prepare=..., which brings all to one size."
                )
            shown.append(name or f"Picture {i + 1}")
        masks, answer = self.run(self.inputs[0])
        if not masks:
            raise ValueError(contents(self.model))
        layouts = self.quietly(lambda: find_tokens(self.model, self.inputs[0]))
        self.layers = [_layer(name, mask, layouts.get(name)) for name, mask in masks.items()]
        answers = [answer, *(self.run(x, record=False)[1] for x in self.inputs[1:])]
        found = [
            {"label": name, "image": self.seen(x[0]), "answer": self.pairs(answer)}
            for name, x, answer in zip(shown, self.inputs, answers, strict=True)
        ]
        drawn = [i for i, layer in enumerate(self.layers) if layer["kind"]] or [0]
        weights = [i for i in drawn if self.layers[i]["kind"] == "weights"]
        tokens = self.layers[weights[-1]]["tokens"] if weights else {}
        first = (weights or drawn)[-1]
        sent: dict[str, dict[str, Any]] = {}
        size, numbers = 0, list(masks.values())
        for i in sorted(range(len(numbers)), key=lambda i: (i != first, i)):
            size += numbers[i].numel()
            if size <= _SENT_AT_ONCE or not sent:
                sent[f"0/{i}"] = _packed(self.layers[i], numbers[i])
        self.look = Look(
            layers=self.layers,
            pictures=found,
            masks=sent,
            rollout=_may_roll_out(self.layers),
            uploads=self.prepare is not None,
            layer=first,
            token=next(iter(tokens), ""),
            label=f"Look: the masks of {type(self.model).__name__} over the picture",
            caption="The maps are those of the untouched network. A map shows where a layer takes its values from; "
            "only switching it off shows whether the answer needs it.",
        )
        self.look.answer_with(self.reply)
        return self.look

    def input(self, picture: Any) -> Tensor:
        """A picture as the model takes it, (1, C, H, W), on its device and in its number format."""
        if not isinstance(picture, Tensor) or self.given:
            if self.prepare is None:
                raise ValueError(
                    f"{type(self.model).__name__} does not say how a picture becomes its input; pass prepare=... "
                    "(torchvision: prepare=weights; transformers: prepare=AutoImageProcessor.from_pretrained(...)), or "
                    "pass tensors (N, C, H, W) that are ready."
                )
            picture = self.prepare(picture)
            if isinstance(picture, Mapping):
                picture = picture["pixel_values"]
            picture = torch.as_tensor(np.asarray(picture[0])) if isinstance(picture, list) else picture
        if not isinstance(picture, Tensor) or picture.dim() not in (3, 4):
            what = tuple(picture.shape) if isinstance(picture, Tensor) else type(picture).__name__
            raise ValueError(f"The model needs a picture as a tensor (C, H, W), but prepare gave {what}.")
        like = next((p for p in self.model.parameters() if p.is_floating_point()), torch.empty(0))
        return (picture if picture.dim() == 4 else picture[None]).to(like)

    def quietly(self, act: Callable[[], Any]) -> Any:
        """Call `act` in evaluation mode and without gradient; the model's own error says what it was given as well."""
        with evaluating(self.model), torch.no_grad():
            try:
                return act()
            except (RuntimeError, AssertionError, ValueError, IndexError) as error:
                notes = " ".join(getattr(error, "__notes__", ()))
                shape = tuple(self.inputs[-1].shape) if self.inputs else ()
                raise ValueError(
                    f"{type(self.model).__name__} could not run on pictures {shape}: {error} {notes} "
                    "If the size is wrong, pass prepare=..., or tensors of the size that it was built for."
                ) from error

    def run(
        self, x: Tensor, layers: Any = None, edits: Mapping[str, Edit] | None = None, record: bool = True
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        def act() -> tuple[dict[str, Tensor], Any]:
            if edits:
                with edit_masks(self.model, edits):
                    return {}, self.model(x)
            if not record:
                return {}, self.model(x)
            with record_masks(self.model, layers=layers) as masks:
                output = self.model(x)
            return dict(masks), output

        masks, output = self.quietly(act)
        for name, mask in masks.items():
            if not mask.isfinite().all():
                raise ValueError(
                    f"The mask {name!r} holds NaN or infinite numbers; look for NaN in pictures and weights, "
                    "or use model.float()."
                )
        return masks, self.probabilities(output)

    def probabilities(self, output: Any) -> Tensor | None:
        """(K,) for a network that classifies one picture, else None."""
        if hasattr(output, "last_hidden_state") or getattr(self.model, "num_classes", None) == 0:
            return None
        try:
            found = answer_of(output)
        except TypeError:
            return None
        if found.dim() != 2 or found.shape[1] < 2:
            return None
        if self.chosen and len(self.classes) != found.shape[1]:
            raise ValueError(
                f"classes holds {len(self.classes)} names, but the model answers {found.shape[1]} classes."
            )
        return found[0].float().softmax(0).cpu()

    def pairs(self, probabilities: Tensor | None, also: Sequence[int] = ()) -> list[list[Any]]:
        """[index, name, probability] of the likeliest classes and of some others."""
        if probabilities is None:
            return []
        best = probabilities.topk(min(_SHOWN_CLASSES, len(probabilities))).indices.tolist()
        named = self.classes if len(self.classes) == len(probabilities) else []
        return [
            [k, str(named[k]) if named else f"class {k}", float(probabilities[k])]
            for k in dict.fromkeys([*also, *best])
        ]

    def seen(self, x: Tensor) -> np.ndarray:
        """What the model sees, (H, W, 3) bytes: the normalisation undone where it is known, else stretched."""
        array = as_array(x.float()).astype(np.float64)
        if self.normal is not None and len(self.normal[0]) == len(array) and (self.given or array.min() < 0):
            mean, deviation = (np.asarray(one, np.float64)[:, None, None] for one in self.normal)
            array = array * deviation + mean
        elif array.min() < 0 or array.max() > 1:
            array = (array - array.min()) / max(float(np.ptp(array)), 1e-12)
        array = array[:3] if len(array) >= 3 else np.repeat(array[:1], 3, axis=0)
        shown = Image.fromarray((array.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0))
        shown.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
        return np.asarray(shown)

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the page: a mask that it lacks, the answer under edits, or a picture that was uploaded."""
        if "upload" in request:
            name = str(request["name"])[:80] or "your picture"
            picture = Image.fromarray(decode_base64(str(request["upload"]), name))
            x = self.input(picture)
            answer = self.pairs(self.run(x, record=False)[1])
            if x.shape != self.inputs[0].shape:
                raise ValueError(f"The upload became {tuple(x.shape)}, the others are {tuple(self.inputs[0].shape)}.")
            self.inputs.append(x)
            entry = {"label": name, "image": encode(self.seen(x[0])), "answer": answer}
            self.look.pictures = [*self.look.pictures, entry]
            return {"uploaded": len(self.inputs) - 1}
        i = int(request["picture"])
        if "layer" in request:
            k = int(request["layer"])
            name = self.layers[k]["name"]
            masks, _ = self.run(self.inputs[i], layers=[name])
            key = f"{i}/{k}"
            return {"name": key, "mask": self.look.keep(key, _packed(self.layers[k], masks[name]))}
        edits: dict[str, Edit] = {}
        for k in {int(one[0]) for one in request["off"]}:
            edits[self.layers[k]["name"]] = off([int(h) for layer, h in request["off"] if layer == k])
        for k in {int(one[0]) for one in request["gates"]}:
            moved = [scale(int(c), float(by)) for layer, c, by in request["gates"] if layer == k]
            edits[self.layers[k]["name"]] = _all_of(moved)
        shown = [pair[0] for pair in self.look.pictures[i]["answer"]]
        return {"edited": self.pairs(self.run(self.inputs[i], edits=edits)[1], also=shown)}


def _all_of(edits: Sequence[Edit]) -> Edit:
    def edit(mask: Tensor) -> Tensor:
        for one in edits:
            mask = one(mask)
        return mask

    return edit


def _own_prepare(model: nn.Module) -> Prepare | None:
    """The preparation that timm or transformers stored with the model, or that ours need; nothing is fetched for it."""
    if isinstance(model, TextReader):
        return _line
    if isinstance(model, PersonSegmenter | VisionTransformer):
        side = model.image_size if isinstance(model, VisionTransformer) else 256
        return lambda picture: square_input(np.asarray(picture), side, getattr(model, "in_channels", 3))
    if getattr(model, "pretrained_cfg", None):
        from timm.data import create_transform, resolve_data_config

        return create_transform(**resolve_data_config({}, model=model), is_training=False)
    name = getattr(getattr(model, "config", None), "_name_or_path", "")
    if name:
        from transformers import AutoImageProcessor

        try:
            return AutoImageProcessor.from_pretrained(name, local_files_only=True)
        except (OSError, ValueError):
            pass
    return None


def _line(picture: Image.Image) -> Tensor:
    """A line of text as `TextReader` takes it: 48 pixels high, continued on the right to a width that 8 divides."""
    width = max(1, round(picture.width * 48 / picture.height))
    line = np.asarray(picture.resize((width, 48)))
    return as_input(np.pad(line, ((0, 0), (0, max(320 - width, -width % 8)), (0, 0)), mode="edge"))


def _normal(model: nn.Module, prepare: Any) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and standard deviation by which pictures are normalised, per channel; None where they are not known."""
    settings = getattr(model, "pretrained_cfg", None) or {}
    steps = [prepare, *getattr(prepare, "transforms", ())]
    for holder in steps:
        for names in (("image_mean", "image_std"), ("mean", "std")):
            mean, deviation = (getattr(holder, name, None) for name in names)
            if mean is not None and deviation is not None:
                return as_array(mean).reshape(-1).tolist(), as_array(deviation).reshape(-1).tolist()
    return (settings["mean"], settings["std"]) if "mean" in settings else None


def _own_classes(model: nn.Module) -> list[str]:
    labels = getattr(getattr(model, "config", None), "id2label", None)
    if labels:
        return [str(labels[k]) for k in sorted(labels)]
    settings = getattr(model, "pretrained_cfg", None) or {}
    if settings.get("label_names"):
        return list(settings["label_names"])
    if settings and getattr(model, "num_classes", 0) == 1000 == settings.get("num_classes"):
        from timm.data import ImageNetInfo

        names = ImageNetInfo()  # made once: making it reads all its tables
        return [names.index_to_description(k) for k in range(1000)]
    return []


def _listed(pictures: Any) -> list[tuple[str, Any]]:
    """(name, PIL image or tensor) of each picture."""
    if isinstance(pictures, Iterator):
        raise TypeError(
            f"look shows pictures again and again, but a {type(pictures).__name__} gives them once; pass a list."
        )
    if isinstance(pictures, (Tensor, np.ndarray)) and pictures.ndim == 4:
        pictures = list(pictures)
    elif not isinstance(pictures, (list, tuple)):
        pictures = [pictures]
    if not 1 <= len(pictures) <= _MOST_PICTURES:
        raise ValueError(f"look takes 1 to {_MOST_PICTURES} pictures, but was given {len(pictures)}.")
    return [_opened(one) for one in pictures]


def _opened(picture: Any) -> tuple[str, Any]:
    if isinstance(picture, (str, Path)):
        return Path(picture).name, Image.fromarray(decode_image(Path(picture).read_bytes(), Path(picture).name))
    if isinstance(picture, Image.Image):
        return "", picture.convert("RGB")
    if isinstance(picture, Tensor):
        if picture.dim() == 3:
            return "", picture
        raise ValueError(f"A tensor must be (C, H, W) or (N, C, H, W), but has shape {tuple(picture.shape)}.")
    if isinstance(picture, np.ndarray):
        if picture.dtype == np.uint8 and (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
            return "", Image.fromarray(picture).convert("RGB")
        raise ValueError(
            f"An array must be (H, W) or (H, W, 3) of uint8, but is {picture.shape} of {picture.dtype}; numbers "
            "that are ready for the model go in as a tensor, torch.from_numpy(...)."
        )
    raise TypeError(f"A picture is a file name, a PIL image, an array or a tensor, not {type(picture).__name__}.")


def _layer(name: str, mask: Tensor, layout: Layout | None) -> dict[str, Any]:
    """What the page must know of a mask before it has its numbers; see `Look`."""
    shape = tuple(mask.shape)
    made = {"name": name, "kind": "", "why": "", "editable": False}
    if layout is not None:
        windows, heads = shape[0], shape[1] if mask.dim() == 4 else 1
        words = f"{heads} {'heads' if heads > 1 else 'head'}, {shape[-2]} × {shape[-1]}"
        made |= {"heads": heads, "words": words + (f", {windows} windows" if windows > 1 else "")}
        made["editable"] = mask.dim() == 4
        queries, keys = layout.queries, layout.keys
        if queries is None or keys is None or keys.grid is None or len(keys.cells) != windows:
            why = layout.why or "No key of this mask is a patch, so nothing lies on the picture."
            return made | {"why": why}
        rows, columns = queries.grid or (0, 0)
        places = np.full(rows * columns, -1, np.int64)
        cells = queries.cells.flatten().tolist()
        counted = Counter(cells)
        for index, cell in enumerate(cells):
            if cell >= 0 and counted[cell] == 1:
                places[cell] = index
        named = [one for window in queries.names for one in window]
        tokens = {one: named.index(one) for one in queries.extra if named.count(one) == 1}
        return made | {
            "kind": "weights",
            "grid": [rows, columns],
            "key_grid": list(keys.grid),
            "queries": places,
            "tokens": tokens,
            "cells": keys.cells.numpy(),
        }
    if mask.dim() in (4, 5) and shape[-2:] == (1, 1):
        branches = f"{shape[1]} branches of {shape[2]} gates" if mask.dim() == 5 else f"{shape[1]} gates"
        return made | {"kind": "channels", "words": branches, "editable": mask.dim() == 4}
    if mask.dim() == 3 and shape[1] == 1:
        return made | {"kind": "channels", "words": f"{shape[2]} gates"}
    if mask.dim() == 4 and shape[1] == 1:
        words = f"a gate for each of {shape[2]} × {shape[3]} places"
        return made | {"kind": "map", "words": words, "grid": list(shape[2:])}
    why = f"A mask of shape {shape} is neither weights nor gates of channels or places."
    return made | {"words": f"shape {shape[1:]}", "why": why}


def _packed(layer: Mapping[str, Any], mask: Tensor) -> dict[str, Any]:
    """A mask as the page reads it: weights as bytes (windows, heads, Q, K), and what 255 means in each row."""
    values = as_array(mask.float())
    if layer["kind"] != "weights":
        return {"values": values[0].astype(np.float32).reshape(-1)} if layer["kind"] else {}
    values = values[:, None] if values.ndim == 3 else values
    high = values.max(axis=-1)
    scaled = values / np.where(high > 0, high, 1.0)[..., None]
    return {"values": (scaled.clip(0, 1) * 255).round().astype(np.uint8), "high": high.astype(np.float32)}


def _may_roll_out(layers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all weights are square and of the same tokens, so that they can be multiplied layer by layer."""
    weights = [layer for layer in layers if "heads" in layer]
    return len(weights) > 1 and all(
        layer["kind"] == "weights"
        and layer["cells"].shape[0] == 1
        and np.array_equal(layer["cells"], weights[0]["cells"])
        and layer["tokens"] == weights[0]["tokens"]
        and (layer["queries"] >= 0).sum() + len(layer["tokens"]) == layer["cells"].shape[1]
        for layer in weights
    )
