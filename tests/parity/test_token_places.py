"""Where a token lies, against the picture itself: one bright patch must light up at its true place in every layout."""

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from course_utils.attention import SelfAttention2d, find_tokens, record_masks
from course_utils.attention.tokens import Layout
from course_utils.models import VisionTransformer


def vit(**options) -> nn.Module:
    options = {"img_size": (48, 80), "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2} | options
    return timm.models.vision_transformer.VisionTransformer(**options)


def swin(**options) -> nn.Module:
    options = {"img_size": (64, 96), "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 2)} | options
    return timm.models.swin_transformer.SwinTransformer(**options)


def torchvision_swin() -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 2], [4, 4])


def torchvision_maxvit() -> nn.Module:
    return torchvision.models.MaxVit((64, 64), 8, 4, [8], [2], 4, 0.0)


class Map(nn.Module):
    """A feature map whose positions attend to one another by our own block."""

    def __init__(self, pool: bool):
        super().__init__()
        self.conv, self.attention = nn.Conv2d(3, 16, 4, stride=4), SelfAttention2d(16, pool=pool)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.conv(x))


class Encoder(nn.Module):
    """Patches in torch's own encoder, with one token in front."""

    def __init__(self):
        super().__init__()
        self.conv, self.cls_token = nn.Conv2d(3, 16, 8, stride=8), nn.Parameter(torch.randn(1, 1, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        return self.encoder(torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1))


class Patchify(nn.Module):
    """Patches cut by reshaping, without a class token; the middle two are dropped, as masked autoencoders do."""

    def __init__(self):
        super().__init__()
        self.embed, self.attention = nn.Linear(192, 16), nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        patches = x.reshape(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(n, -1, 64 * c)
        kept = torch.tensor([i for i in range(patches.shape[1]) if i not in (20, 30)]).flip(0)
        tokens = self.embed(torch.gather(patches, 1, kept[None, :, None].expand(n, -1, 64 * c)))
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


def named(name: str, **options) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, **options)


REGISTERS = ["register", "register#2", "register#3", "register#4"]
# model, size of the picture, what stands before the patches (of the first layer)
LAYOUTS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int], list[str]]] = {
    "class token, not square": (vit, (48, 80), ["class"]),
    "no class token": (lambda: vit(class_token=False, global_pool="avg"), (48, 80), []),
    "registers": (lambda: vit(reg_tokens=4), (48, 80), ["class", *REGISTERS]),
    "registers alone": (lambda: vit(class_token=False, reg_tokens=4, global_pool="avg"), (48, 80), REGISTERS),
    "distilled": (lambda: timm.models.deit.VisionTransformerDistilled(
        img_size=(48, 80), patch_size=8, embed_dim=32, depth=2, num_heads=2), (48, 80), ["class", "distilled"]),
    "patches that leave pixels over": (lambda: vit(img_size=(52, 84)), (52, 84), ["class"]),
    "windows and shifted windows": (swin, (64, 96), []),
    "windows with padding": (lambda: swin(img_size=(56, 88)), (56, 88), []),
    "torchvision's windows": (torchvision_swin, (48, 80), []),
    "blocks and grids": (torchvision_maxvit, (64, 64), []),
    "our vision transformer": (lambda: VisionTransformer(48, 8, 2, 16, 2, 32, 5), (48, 48), ["class"]),
    "our self-attention": (lambda: Map(False), (32, 48), []),
    "our self-attention, pooled keys": (lambda: Map(True), (32, 48), []),
    "torch's encoder": (Encoder, (48, 80), ["class"]),
    "reshaped, reversed and dropped patches": (Patchify, (48, 80), []),
    "torchvision's vision transformer": (
        lambda: torchvision.models.VisionTransformer(48, 8, 2, 2, 16, 32), (48, 48), ["class"]),
    "rotary": (lambda: timm.models.eva.Eva(img_size=(48, 80), patch_size=8, embed_dim=32, depth=2, num_heads=2,
        use_rot_pos_emb=True, num_reg_tokens=4), (48, 80), ["class", *REGISTERS]),
    "relative bias": (lambda: timm.models.beit.Beit(img_size=(48, 80), patch_size=8, embed_dim=32, depth=2,
        num_heads=2, use_rel_pos_bias=True), (48, 80), ["class"]),
    "talking heads": (lambda: timm.models.cait.Cait(img_size=64, patch_size=8, embed_dim=32, depth=2, num_heads=2),
        (64, 64), []),
    "pooled keys (PVT)": (named("pvt_v2_b0"), (96, 160), []),
    "windows and pooled keys (Twins)": (lambda: timm.models.twins.Twins(img_size=(64, 96), patch_size=4,
        embed_dims=(16, 32), num_heads=(2, 2), mlp_ratios=(2, 2), depths=(2, 2), sr_ratios=(4, 2), wss=(4, 4),
        block_cls=timm.models.twins.Block), (64, 96), []),
    "pooled queries (MViT)": (named("mvitv2_tiny"), (128, 128), []),
    "mask units (Hiera)": (named("hiera_tiny_224", img_size=(96, 96)), (96, 96), []),
    "halos": (named("halonet26t"), (256, 256), []),
    "nested blocks": (named("nest_tiny", img_size=112), (112, 112), []),
    "unfolded patches (MobileViT)": (named("mobilevit_xxs"), (128, 192), []),
    "subsampled queries (LeViT)": (named("levit_128s"), (224, 224), []),
    "windows beside channels (DaViT)": (named("davit_tiny"), (112, 112), []),
    "SAM's windows with padding": (lambda: timm.models.vision_transformer_sam.VisionTransformerSAM(img_size=80,
        patch_size=8, embed_dim=32, depth=2, num_heads=2, window_size=4, use_rel_pos=True, global_attn_indexes=(1,)),
        (80, 80), []),
}  # fmt: skip


# Their convolutions overlap, so that a patch is seen by its neighbours too, and random weights may like these better.
OVERLAPPING = {
    *("blocks and grids", "pooled keys (PVT)", "pooled queries (MViT)", "mask units (Hiera)", "halos", "nested blocks"),
    *("unfolded patches (MobileViT)", "subsampled queries (LeViT)", "windows beside channels (DaViT)"),
}


def masks_of(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    with torch.no_grad(), record_masks(model) as masks:
        model(x)
    return dict(masks)


def queries_beside(layout: Layout, cell: tuple[int, int]) -> list[tuple[int, int]]:
    """Patches that share a window with a cell of the keys, other than the cell itself."""
    rows, columns = layout.keys.grid
    window = (layout.keys.cells == cell[0] * columns + cell[1]).any(1).nonzero()[0]
    own = [int(i) for i in layout.queries.cells[window].flatten() if i >= 0]
    places = [divmod(i, layout.queries.grid[1]) for i in own]
    scale = (rows / layout.queries.grid[0], columns / layout.queries.grid[1])
    return [p for p in places if (int(p[0] * scale[0]), int(p[1] * scale[1])) != cell][:3]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_bright_patch_lights_up_at_its_true_place(name):
    build, size, first = LAYOUTS[name]
    torch.manual_seed(0)
    model = build().eval()
    for parameter in model.parameters():  # some start at 0
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    plain = 0.1 * torch.randn(1, 3, *size)
    layouts = find_tokens(model, plain)
    before = masks_of(model, plain)
    assert (
        list(layouts)
        == [key for key, mask in before.items() if mask.shape[-1] > 1 and mask.shape[1:3] != (1, 1)][: len(layouts)]
    )
    checked = 0
    for key, layout in layouts.items():
        if layout.keys is None or layout.queries is None or layout.queries.grid is None or before[key].shape[-1] < 6:
            continue
        if not checked:
            assert layout.keys.extra == first
        rows, columns = layout.keys.grid
        cell = (rows // 3, 2 * columns // 3)
        if not (layout.keys.cells == cell[0] * columns + cell[1]).any():
            cell = (cell[0] + 1, cell[1])
        height, width = size[0] // rows, size[1] // columns
        bright = plain.repeat(8, 1, 1, 1)
        colours = 3 * torch.randn(8, 3, 1, 1)
        bright[..., cell[0] * height : (cell[0] + 1) * height, cell[1] * width : (cell[1] + 1) * width] += colours
        change = masks_of(model, bright)[key] - before[key].repeat(8, *[1] * (before[key].dim() - 1))
        for query in queries_beside(layout, cell):
            map_ = layout.look(change, query).abs().sum((0, 1))
            found = divmod(int(map_.argmax()), columns)
            apart = max(abs(found[0] - cell[0]), abs(found[1] - cell[1]))
            # MobileViT's windows take every second patch, so that a neighbour is two patches away.
            allowed = (name in OVERLAPPING) * (1 + ("MobileViT" in name))
            assert apart <= allowed, f"{key}: {cell} of {rows} x {columns} lights up at {found}"
            checked += 1
        if checked >= 9 or rows < 4:
            break
    assert checked
