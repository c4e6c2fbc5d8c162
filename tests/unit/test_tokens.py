"""What is said of tokens: their names, their places, and what is not known."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from course_utils.attention import Tokens, edit_masks, find_tokens, record_masks
from course_utils.data import draw_text
from course_utils.models import VisionTransformer, load_network


def vit(**options) -> nn.Module:
    options = {"img_size": (16, 24), "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2} | options
    return timm.models.vision_transformer.VisionTransformer(**options).eval()


@pytest.fixture
def picture() -> Tensor:
    return torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_the_row_of_a_query_is_laid_on_the_picture(picture):
    model = vit(reg_tokens=2)
    layout = find_tokens(model, picture)["blocks.1.attn"]
    with torch.no_grad(), record_masks(model) as masks:
        model(picture.repeat(3, 1, 1, 1))
    weights = masks["blocks.1.attn"]
    assert layout.queries.grid == (4, 6)
    assert layout.queries.extra == ["class", "register", "register#2"]
    assert_close(layout.look(weights, "class"), weights[:, :, 0, 3:].unflatten(2, (4, 6)))
    assert_close(layout.look(weights, "register#2"), weights[:, :, 2, 3:].unflatten(2, (4, 6)))
    assert_close(layout.look(weights, (1, 2)), weights[:, :, 3 + 8, 3:].unflatten(2, (4, 6)))


def test_windows_and_their_shift_are_undone_for_each_picture():
    model = timm.models.swin_transformer.SwinTransformer(
        img_size=32, window_size=4, embed_dim=8, depths=(2,), num_heads=(2,)
    ).eval()
    pictures = torch.rand(2, 3, 32, 32)
    layout = find_tokens(model, pictures[:1])["layers.0.blocks.1.attn"]
    with torch.no_grad(), record_masks(model) as masks:
        model(pictures)
    weights = masks["layers.0.blocks.1.attn"].unflatten(0, (2, 4))  # (N, windows, heads, 16, 16)
    map_ = layout.look(weights.flatten(0, 1), (3, 3))
    assert map_.shape == (2, 2, 8, 8)
    assert_close(map_[:, :, 2:6, 2:6].flatten(2), weights[:, 0, :, 5])  # shifted by 2
    assert_close(map_.sum((2, 3)), torch.ones(2, 2))


def test_attention_between_channels_is_refused_as_a_map():
    model = timm.models.xcit.Xcit(
        img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2, cls_attn_layers=1
    ).eval()
    picture = torch.rand(1, 3, 32, 32)
    layout = find_tokens(model, picture)["blocks.0.attn"]
    with torch.no_grad(), record_masks(model) as masks:
        model(picture)
    assert layout.keys is layout.queries is None
    with pytest.raises(ValueError, match=r"keys of this mask are channels.*has no map"):
        layout.look(masks["blocks.0.attn"], (0, 0))


class Scrambled(nn.Module):
    """Patches go through a function that torch does not see, so that their places are lost."""

    def __init__(self):
        super().__init__()
        self.conv, self.qkv = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        tokens = torch.from_numpy(tokens.detach().numpy()[:, ::-1].copy())
        query, key, value = self.qkv(tokens).chunk(3, -1)
        return F.scaled_dot_product_attention(query, key, value)


def test_lost_places_are_never_guessed_and_can_be_named(picture):
    model = Scrambled().eval()
    layout = find_tokens(model, picture)[""]
    with torch.no_grad(), record_masks(model) as masks:
        model(picture)
    with pytest.raises(ValueError, match=r"queries of this mask lie was lost.*tokens=\{"):
        layout.look(masks[""], (0, 0))
    own = find_tokens(model, picture, tokens={"": Tokens.named((4, 6))})[""]
    assert_close(own.look(masks[""], (1, 0)), masks[""][:, :, 6].unflatten(2, (4, 6)))
    with pytest.raises(ValueError, match="no weights 'attn'"):
        find_tokens(model, picture, tokens={"attn": Tokens.named((4, 6))})


def test_tokens_sorted_by_what_they_hold_are_lost(picture):
    class Sorted(Scrambled):
        def forward(self, x: Tensor) -> Tensor:
            tokens = self.conv(x).flatten(2).transpose(1, 2).sort(dim=1).values
            query, key, value = self.qkv(tokens).chunk(3, -1)
            return F.scaled_dot_product_attention(query, key, value)

    layout = find_tokens(Sorted(), picture)[""]
    assert layout.queries is layout.keys is None


def test_a_gate_before_the_attention_loses_no_place():
    reader = load_network("text_reader")
    line = draw_text("maps")[None]
    layout = find_tokens(reader, line)["blocks.1.attention"]
    with torch.no_grad(), record_masks(reader) as masks:
        reader(line)
    assert layout.keys.grid == layout.queries.grid == (1, 40)
    assert_close(layout.look(masks["blocks.1.attention"], (0, 7)), masks["blocks.1.attention"][:, :, 7, None])


def test_one_lost_token_among_patches_is_not_taken_for_padding(picture):
    class Summary(Scrambled):
        def forward(self, x: Tensor) -> Tensor:
            tokens = self.conv(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([tokens.sort(dim=1).values[:, :1], tokens], 1)
            query, key, value = self.qkv(tokens).chunk(3, -1)
            return F.scaled_dot_product_attention(query, key, value)

    layout = find_tokens(Summary(), picture)[""]
    assert layout.queries is layout.keys is None


def test_the_class_token_that_asks_alone(picture):
    model = timm.models.cait.Cait(img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2).eval()
    layout = find_tokens(model, torch.rand(1, 3, 32, 32))["blocks_token_only.0.attn"]
    assert layout.queries.names == (("class",),)
    assert layout.keys.names == (("class", *["patch"] * 16),)


def test_a_query_that_is_a_parameter_has_its_name(picture):
    model = vit(global_pool="map", class_token=False)
    layout = find_tokens(model, picture)["attn_pool"]
    assert layout.queries.names == (("latent",),)
    assert layout.keys.grid == (4, 6)


def test_padding_is_no_place():
    model = timm.models.swin_transformer.SwinTransformer(
        img_size=(20, 32), window_size=4, embed_dim=8, depths=(1,), num_heads=(2,)
    ).eval()
    keys = find_tokens(model, torch.rand(1, 3, 20, 32))["layers.0.blocks.0.attn"].keys
    assert keys.grid == (5, 8)
    assert sum(window.count("padding") for window in keys.names) == 3 * 8
    assert sorted(keys.cells[keys.cells >= 0].tolist()) == list(range(40))


def test_our_own_network_is_followed_like_any_other():
    model = VisionTransformer(16, 4, 2, 16, 2, 32, 5).eval()
    x = torch.rand(1, 3, 16, 16)
    layouts = find_tokens(model, x)
    assert list(layouts) == ["blocks.0.attention", "blocks.1.attention"]
    with torch.no_grad(), record_masks(model) as masks:
        model(x)
    for name, layout in layouts.items():  # the last block answers for the class token alone, but has the other rows too
        assert layout.keys.extra == layout.queries.extra == ["class"]
        assert_close(layout.look(masks[name], (2, 1)), masks[name][:, :, 10, 1:].unflatten(2, (4, 4)))


def test_a_recording_that_is_open_keeps_its_masks(picture):
    model = nn.Sequential(VisionTransformer(16, 4, 2, 16, 2, 32, 5)).eval()
    x = torch.rand(3, 3, 16, 16)
    with record_masks(model) as masks, edit_masks(model, {"0.blocks.1.attention": torch.zeros_like}):
        model(x)
        before = dict(masks)
        layouts = find_tokens(model, x[:1])
        assert list(layouts) == list(masks) and all(masks[name] is before[name] for name in masks)
        assert layouts["0.blocks.1.attention"].keys.extra == ["class"]


def test_the_model_is_left_as_it_was(picture):
    model = nn.Sequential(nn.BatchNorm2d(3), vit()).train()
    model[1].eval()
    before = model[0].running_mean.clone()
    find_tokens(model, picture)
    assert model[0].training
    assert not model[1].training
    assert torch.equal(model[0].running_mean, before)


def test_gates_have_no_tokens(picture):
    assert find_tokens(timm.layers.SEModule(3, rd_channels=2), picture) == {}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ((4, 0), r"no patch \(4, 0\): the patches make 4 rows and 6 columns"),
        ("clas", r"no token 'clas'.*'class'"),
    ],
)
def test_a_query_that_does_not_exist(query, words, picture):
    layout = find_tokens(vit(), picture)["blocks.0.attn"]
    with pytest.raises(ValueError, match=words):
        layout.look(torch.rand(1, 2, 25, 25), query)


def test_weights_of_another_size_and_several_pictures_are_refused(picture):
    layout = find_tokens(vit(), picture)["blocks.0.attn"]
    with pytest.raises(ValueError, match=r"weights \(N \* 1, heads, 25, 25\), but was given \(1, 2, 17, 17\)"):
        layout.look(torch.rand(1, 2, 17, 17), "class")
    with pytest.raises(ValueError, match=r"one picture.*pictures\[:1\]"):
        find_tokens(vit(), picture.repeat(2, 1, 1, 1))
