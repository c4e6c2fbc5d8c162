"""The lesson's widget on self-attention: photographs or a trained network joined to `QueryMap`."""

import copy
import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...attention import SelfAttention2d
from ...data import ImageSet, feature_crop, photograph, photograph_features, photograph_names
from ...models import PersonFeatures, PersonSegmenter, load_network
from ...models.page_graph import page_graph
from ...names import check_name
from ..base import both_or_neither, image_bytes
from ..channel_gates.explore import person_input
from ..pictures import inputs_of, on_cued_digits
from .widget import QueryMap

_PHOTOGRAPHS = "photographs"
_FIRST = ("german_shepherd", "cow", "chelsea", "hens", "kitten", "coffee", "astronaut", "owl", "sheep")
_SIDE = 182
_MOST_IMAGES = 9


def explore_query_map(
    network: nn.Module | None = None,
    data: ImageSet | None = None,
    *,
    source: str | None = None,
    picture: str | None = None,
    query: Sequence[int] = (),
) -> QueryMap:
    """Point at a position and see how it weighs all others.

    Args:
        network: a network with `SelfAttention2d` blocks; it is copied to the CPU, yours stays as it is. None: the
            nine photographs with features that ship, and the course's trained network.
        data: images for `network`; the first nine are shown.
        source: which is shown first: "photographs", or a block's name such as "stage2.attention"; by default the
            first of them.
        picture: name of the photograph shown first, such as "cow".
        query: (row, column) of a position to show at the start, counted from 0.

    Raises:
        ValueError: if only one of network and data is given, the network has no such block, or there is no such
            source, photograph or position.

    Example:
        >>> explore_query_map(picture="cow", query=(6, 6))
        >>> explore_query_map(network, cued_digits(9, seed=0))
    """
    both_or_neither("explore_query_map", network=network, data=data)
    if network is not None and data is not None:
        if picture is not None:
            raise ValueError(f"picture={picture!r} chooses among the photographs; leave it out with a network.")
        sources = _network_sources(network, data, "images = data.images  # network, data: what you gave", "yours")
        return QueryMap(sources, source=source or sources[0]["key"], query=query)
    sources = [_photographs()]
    sources += _network_sources(*on_cued_digits("self_attention_cued_digits", _MOST_IMAGES, seed=4), "cued digits")
    if picture is not None:
        check_name("photograph", picture, _names())
    first = _names().index(picture) if picture else 0
    return QueryMap(sources, source=source or _PHOTOGRAPHS, example=first, query=query, network=_own_pictures())


@torch.no_grad()
def picture_features(picture: Tensor) -> Tensor:
    """What the page makes of a learner's picture: 16 numbers at each of 16 x 16 positions of its middle square.

    Args:
        picture: (3, H, W) in [0, 1].

    Returns:
        (256, 16), one row for each position.
    """
    return _encoder()(person_input(picture)[None])[0]


@functools.cache
def _encoder() -> PersonFeatures:
    segmenter = load_network("person_segmenter")
    assert isinstance(segmenter, PersonSegmenter)
    return PersonFeatures(segmenter, torch.stack([person_input(photograph(name)) for name in photograph_names()]))


def _own_pictures() -> dict[str, Any]:
    return {
        **page_graph(_encoder()),
        "title": "your own picture",
        "made": "The features of your picture come from the person segmenter's encoder, which runs in this page.",
        "about": "No weight was trained for attention here either: query, key and value of a position are its 16 "
        "features (identity projections). This page made them of your picture with the encoder of a network that cuts "
        "people out of pictures; the photographs' features are those of another network.",
        "temperature": _encoder().norm.normalized_shape[0] ** 0.5,
        "gamma": 0.0,
        "code": "from course_utils.widgets.query_map.explore import picture_features\n\n"
        "x = picture_features(picture)  # (256, 16)\nquery = key = value = x  # identity projections",
    }


def _names() -> list[str]:
    known = photograph_names()
    return [*(name for name in _FIRST if name in known), *(name for name in known if name not in _FIRST)]


def _photographs() -> dict[str, Any]:
    features = {name: photograph_features(name).permute(1, 2, 0).numpy() for name in _names()}  # each (14, 14, 16)
    examples = [
        {
            "label": name.replace("_", " "),
            "image": image_bytes(F.interpolate(feature_crop(name)[None], size=_SIDE, mode="area")[0].clamp(0, 1)),
            "query": x,
            "value": x[:, :, :3],
            "shown": x[:, :, :3],
            "code": "from course_utils.data import photograph_features\n\n"
            f'x = photograph_features("{name}").flatten(1).T  # (196, 16)\n'
            "query = key = value = x  # identity projections",
        }
        for name, x in features.items()
    ]
    return {
        "key": _PHOTOGRAPHS,
        "title": "photographs",
        "about": "No weight was trained for attention here: query, key and value of a position are its 16 standardised "
        "features (identity projections), made by a network that was trained to name pictures.",
        "examples": examples,
        "temperature": features[_FIRST[0]].shape[2] ** 0.5,
        "gamma": 0.0,
    }


@torch.no_grad()
def _network_sources(network: nn.Module, data: ImageSet, code: str, title: str) -> list[dict[str, Any]]:
    """Each `SelfAttention2d` of a network as a source; `code` makes `network` and `images`, `title` names these."""
    network = copy.deepcopy(network).cpu().eval()
    images = data.images[:_MOST_IMAGES].cpu()
    if not len(images):
        raise ValueError("data holds no picture; give at least one.")
    blocks = {name: part for name, part in network.named_modules() if isinstance(part, SelfAttention2d)}
    if not blocks:
        raise ValueError(
            f"{type(network).__name__} has no SelfAttention2d block to look at; "
            'build it with attention="self_attention".'
        )
    with inputs_of(network, list(blocks)) as inputs:
        network(images)
    return [
        _block_source(name, blocks[name], x, images, data.labels, f"import torch\n{code}", title)
        for name, x in inputs.items()
    ]


def _block_source(
    name: str, block: SelfAttention2d, x: Tensor, images: Tensor, labels: Tensor, code: str, title: str
) -> dict[str, Any]:
    query, key, value = block.query(x), block.key(x), block.value(x)
    if block.pool:
        key, value = F.max_pool2d(key, 2), F.max_pool2d(value, 2)
    value = block.output(value)  # weights sum to 1, so that v may come before the weighted sum
    directions = _principal_directions(x)  # (C, 3)
    shown = _rows(x - x.mean(dim=(0, 2, 3), keepdim=True)) @ directions
    gamma = round(float(block.gamma), 3)
    pool = ("F.max_pool2d(", ", 2)", "\nimport torch.nn.functional as F") if block.pool else ("", "", "")
    examples = [
        {
            "label": f"picture {i + 1}, class {int(labels[i])}",
            "image": image_bytes(images[i].clamp(0, 1)),
            "query": _rows(query)[i],
            "key": _rows(key)[i],
            "value": _rows(value)[i] @ directions,
            "shown": shown[i],
            "code": code.replace("import torch", f"import torch{pool[2]}", 1)
            + f"""
block, seen = network.get_submodule("{name}"), []
block.register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
with torch.no_grad():
    network(images[{i} : {i + 1}])
    maps = [block.query(seen[0]), {pool[0]}block.key(seen[0]){pool[1]}, {pool[0]}block.value(seen[0]){pool[1]}]
    maps[2] = block.output(maps[2])  # v may come first: the weights of a query sum to 1
x, query, key, value = (one[0].flatten(1).T for one in (seen[0], *maps))  # one row for each position""",
        }
        for i in range(len(images))
    ]
    height, width = x.shape[2:]
    return {
        "key": name,
        "title": f"{title}, {name.replace('.attention', '')}: {height} × {width}",
        "about": f"Queries, keys and values by the block's own trained 1×1 convolutions, {key.shape[1]} channels for "
        f"each key; it was trained with temperature 1, and learned γ = {gamma}.",
        "examples": examples,
        "temperature": 1.0,
        "gamma": gamma,
    }


def _principal_directions(x: Tensor) -> Tensor:
    """The three directions in which a feature map (N, C, H, W) varies most, (C, 3); zeros where C is below 3."""
    _, directions = torch.linalg.eigh(_rows(x).flatten(0, 2).T.cov())
    directions = directions.flip(1)[:, :3]
    largest = directions.abs().argmax(dim=0, keepdim=True)
    directions = directions * directions.gather(0, largest).sign()
    return F.pad(directions, (0, 3 - directions.shape[1]))


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
