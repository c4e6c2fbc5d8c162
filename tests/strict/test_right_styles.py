"""Right answers in other styles than the official one are taken: einsum, loops, fused kernels, NumPy, float64."""

import copy
import math
from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, einsum, nn

from course_utils import check
from course_utils.attention import GSoPBlock

pytestmark = [pytest.mark.usefixtures("fresh_session"), pytest.mark.filterwarnings("ignore")]
sdpa = F.scaled_dot_product_attention


def tensor(array: np.ndarray) -> Tensor:
    """A result of NumPy as float32."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


def put(x: Tensor, channel: int, values: Tensor) -> Tensor:
    y = x.clone()
    y[:, channel] = values
    return y


def masks_by_loops(x, channel_mask, spatial_mask):
    y = torch.empty_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[n, c] = x[n, c] * channel_mask[n, c] * spatial_mask[n]
    return y


def context_by_loop(query, keys, values):
    powers = [math.exp(float(query @ key) / math.sqrt(len(query))) for key in keys]
    return sum(power * value for power, value in zip(powers, values, strict=True)) / sum(powers)


def fixed_by_loop(masks):
    found = []
    for i, mask in enumerate(masks):
        if all(float((one - mask[0]).abs().max()) < 1e-4 for one in mask[1:]):
            found.append(i)
    return found


def fused_attention(query, key, value):
    return sdpa(query.mT, key.mT, value.mT, scale=1.0).mT


def excite_by_products(s, w, b, v, c):
    hidden = (s @ w.T + b).clamp(min=0)
    return 1 / (1 + torch.exp(-(hidden @ v.T + c)))


def excite_by_modules(s, w, b, v, c):
    first, second = nn.Linear(w.shape[1], w.shape[0]), nn.Linear(v.shape[1], v.shape[0])
    with torch.no_grad():
        for layer, weight, bias in ((first, w, b), (second, v, c)):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        return nn.Sequential(first, nn.ReLU(), second, nn.Sigmoid())(s)


def numbers(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def dead_by_loop(blocks):
    places = []
    for i in range(len(blocks)):
        if blocks[i][0] < blocks[i][1]:
            places.append(i)
    return tuple(places)


def covariance_by_numpy(x):
    return tensor([np.cov(one.reshape(len(one), -1).numpy().astype(float), bias=True) for one in x])


def row_by_row(rows, weight, bias):
    d = rows.shape[1]
    parts = []
    for i, (own, shift) in enumerate(zip(weight.chunk(d), bias.chunk(d), strict=True)):
        parts.append(F.linear(rows[:, i], own[:, 0, :, 0], shift))
    return torch.cat(parts, dim=1)


def root_by_numpy(cov, iterations):
    roots = []
    for matrix in cov.double().numpy():
        y, z, eye = matrix / np.trace(matrix), np.eye(len(matrix)), np.eye(len(matrix))
        for _ in range(iterations):
            t = 0.5 * (3 * eye - z @ y)
            y, z = y @ t, t @ z
        roots.append(y * np.sqrt(np.trace(matrix)))
    return tensor(roots)


def root_in_double(cov, iterations):
    cov = cov.double()
    size = cov.diagonal(dim1=-2, dim2=-1).sum(-1).view(-1, 1, 1)
    eye = torch.eye(cov.shape[-1], dtype=cov.dtype).expand_as(cov)
    y, z = cov / size, eye
    for _ in range(iterations):
        t = 1.5 * eye - 0.5 * torch.bmm(z, y)
        y, z = torch.bmm(y, t), torch.bmm(t, z)
    return y * size**0.5  # float64


def side_backwards(kernels, strides):
    side = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        side = (side - 1) * stride + kernel
    return side


def slope_by_autograd(scores):
    rows = []
    for row in scores:
        jacobian = torch.autograd.functional.jacobian(lambda s: s.softmax(0), row)
        rows.append(jacobian.diagonal())
    return torch.stack(rows)


def sagan_by_einsum(x, f, g, h, v, gamma):
    n, c, height, width = x.shape
    flat = x.reshape(n, c, -1)
    key, query, value = (einsum("ncm,dc->nmd", flat, w.flatten(1)) for w in (f, g, h))
    weights = torch.softmax(einsum("nqd,nkd->nqk", query, key), -1)
    context = einsum("nqk,nkd->nqd", weights, value)
    return x + gamma * einsum("nqd,cd->ncq", context, v.flatten(1)).reshape(n, c, height, width)


def sagan_fused(x, f, g, h, v, gamma):
    key, query, value = (F.conv2d(x, w).flatten(2).mT for w in (f, g, h))
    context = sdpa(query, key, value, scale=1.0)
    return torch.add(x, gamma * F.conv2d(context.mT.reshape(len(x), -1, *x.shape[2:]), v))


def heads_mixed_one_by_one(context, weight):
    width = context.shape[3]
    parts = [context[:, h] @ weight[:, h * width : (h + 1) * width].T for h in range(context.shape[1])]
    return torch.stack(parts).sum(0)


def without_columns(joined, weight, bias, num_heads, head):
    keep = torch.ones(num_heads, joined.shape[2] // num_heads)
    keep[head] = 0
    return joined * keep.flatten() @ weight.T + bias


def head_subtracted(joined, weight, bias, num_heads, head):
    each = joined.shape[-1] // num_heads
    own = slice(head * each, head * each + each)
    return F.linear(joined, weight, bias) - joined[..., own] @ weight[:, own].T


def entropy_by_scipy(weights):
    return tensor(stats.entropy(weights.double().numpy(), base=2, axis=3).mean(axis=(0, 2)))


def entropy_where(weights):
    bits = torch.where(weights > 0, weights * weights.clamp(min=1e-38).log2(), torch.zeros(()))
    return -bits.sum(-1).mean(-1).mean(0)


def entropy_ready_made(weights):
    return torch.special.entr(weights).sum(-1).mean((0, 2)) / math.log(2)


def window_by_loops(rows, columns, radius):
    length = 1 + rows * columns
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        for j in range(length):
            down = abs((i - 1) // columns - (j - 1) // columns)
            across = abs((i - 1) % columns - (j - 1) % columns)
            mask[i, j] = i == 0 or j == 0 or (down <= radius and across <= radius)
    return mask


def window_by_distance(rows, columns, radius):
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    mask = torch.ones(1 + rows * columns, 1 + rows * columns).bool()
    mask[1:, 1:] = torch.cdist(places, places, p=float("inf")) <= radius + 0.5
    return mask


def heads_by_loop(query, key, value, num_heads, is_token):
    outs = []
    for q, k, v in zip(*(x.chunk(num_heads, dim=-1) for x in (query, key, value)), strict=True):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        scores = scores + torch.where(is_token, 0.0, -1e9)[:, None]
        outs.append(scores.softmax(-1) @ v)
    return torch.cat(outs, -1)


def heads_fused(query, key, value, num_heads, is_token):
    q, k, v = (x.view(*x.shape[:2], num_heads, -1).permute(0, 2, 1, 3) for x in (query, key, value))
    return sdpa(q, k, v, attn_mask=is_token[:, None, None, :]).permute(0, 2, 1, 3).reshape(query.shape)


def patches_by_loops(images, size):
    rows = []
    for top in range(0, images.shape[2], size):
        for left in range(0, images.shape[3], size):
            rows.append(images[:, :, top : top + size, left : left + size].reshape(len(images), -1))
    return torch.stack(rows, 1)


def tokens_filled(patches, weight, bias, class_token, positions):
    out = positions.repeat(len(patches), 1, 1)
    out[:, :1] += class_token
    out[:, 1:] += einsum("npd,ed->npe", patches, weight) + bias
    return out


def rollout_by_numpy(weights):
    rolled = np.eye(weights.shape[-1])
    for layer in weights.double().numpy().mean(1):
        rolled = (layer + np.eye(len(layer))) / 2 @ rolled
    return tensor(rolled)


def occlusion_one_by_one(network, image, label, size):
    def probability(picture):
        return torch.softmax(network(picture[None]), dim=-1)[0, label].item()

    whole = probability(image)
    falls = torch.zeros(image.shape[1] // size, image.shape[2] // size)
    for i in range(falls.shape[0]):
        for j in range(falls.shape[1]):
            picture = image.clone()
            picture[:, i * size : (i + 1) * size, j * size : (j + 1) * size] = 0
            falls[i, j] = whole - probability(picture)
    return falls


def occlusion_by_masks(network, image, label, size):
    rows, columns = image.shape[1] // size, image.shape[2] // size
    keep = 1 - torch.eye(rows * columns).view(-1, 1, rows, columns)
    keep = keep.repeat_interleave(size, 2).repeat_interleave(size, 3)
    whole = network(image.unsqueeze(0)).softmax(-1)[0, label]
    return (whole - network(image * keep).softmax(-1)[:, label]).reshape(rows, columns)


def vit_fused(tokens, in_weight, out_weight, widen, narrow, head, heads):
    def norm(x):
        return F.layer_norm(x, x.shape[-1:], eps=1e-6)

    parts = (norm(tokens) @ in_weight.T).chunk(3, dim=-1)
    parts = [part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts]
    x = tokens + sdpa(*parts).transpose(1, 2).flatten(2) @ out_weight.T
    x = x + F.gelu(norm(x) @ widen.T) @ narrow.T
    return norm(x[:, 0]) @ head.T


def vit_by_hand(tokens, in_weight, out_weight, widen, narrow, head, heads):
    def norm(x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-6)

    x = tokens.double()
    in_weight, out_weight, widen, narrow, head = (w.double() for w in (in_weight, out_weight, widen, narrow, head))
    q, k, v = (norm(x) @ part.T for part in in_weight.chunk(3))
    found = []
    for a, b, c in zip(*(part.chunk(heads, -1) for part in (q, k, v)), strict=True):
        found.append(torch.softmax(a @ b.mT / a.shape[-1] ** 0.5, -1) @ c)
    x = x + torch.cat(found, -1) @ out_weight.T
    hidden = norm(x) @ widen.T
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    return (norm(x + hidden @ narrow.T)[:, 0] @ head.T).float()


def loss_by_loop(batch_losses, batch_sizes):
    total = pictures = 0.0
    for i in range(len(batch_losses)):
        total += batch_losses[i] * batch_sizes[i]
        pictures += batch_sizes[i]
    return total / pictures


def split_by_numpy(labels, per_digit):
    labels = labels.numpy()
    held_out = np.concatenate([np.flatnonzero(labels == digit)[-per_digit:] for digit in np.unique(labels)])
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def split_by_counting(labels, per_digit):
    taken, train, validation = {}, [], []
    for i, digit in enumerate(labels.tolist()):
        taken[digit] = taken.get(digit, 0) + 1
        (validation if taken[digit] <= per_digit else train).append(i)
    return train, validation


def width_from_above(parameters, target):
    width = 2
    while parameters(width) < target:
        width += 1
    return width if parameters(width) - target < target - parameters(width - 1) else width - 1


def interval_by_scipy(with_se, without_se):
    result = stats.ttest_rel(with_se, without_se)
    interval = result.confidence_interval(0.95)
    return np.mean(with_se - without_se), interval.low, interval.high


def interval_by_sem(with_se, without_se):
    gains = with_se - without_se
    return (gains.mean(), *stats.t.interval(0.95, len(gains) - 1, loc=gains.mean(), scale=stats.sem(gains)))


def rates_by_loop(validation, rates):
    chosen = []
    for network in validation:
        best = max(zip(network.mean(-1).tolist(), (-rates).tolist(), strict=True))
        chosen.append(-best[1])
    return torch.tensor(chosen)


def right_one_by_one(network, images, labels, batch_size):
    network.eval()
    return sum(int(network(images[i : i + 1]).argmax()) == int(labels[i]) for i in range(len(images))) / len(images)


def right_at_once(network, images, labels, batch_size):
    network.train(False)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size)
    with torch.inference_mode():
        return torch.cat([network(x).max(1).indices == y for x, y in loader]).float().mean()


def claims_by_test(first, second):
    test = stats.ttest_rel(first, second, axis=1)
    return np.where(test.pvalue < 0.05, np.sign(test.statistic), 0)


def claims_by_loop(first, second):
    verdicts = []
    for a, b in zip(first, second, strict=True):
        gaps = a - b
        half = stats.t.isf(0.025, len(gaps) - 1) * stats.sem(gaps)
        verdicts.append(1 if gaps.mean() > half else -1 if gaps.mean() < -half else 0)
    return verdicts


def local_by_loops(scores, center, window):
    out = torch.zeros_like(scores)
    for q, p in enumerate(center.tolist()):
        places = [k for k in range(scores.shape[1]) if abs(k - p) <= window]
        weights = scores[q, places].softmax(0)
        for place, weight in zip(places, weights, strict=True):
            out[q, place] = weight * math.exp(-((place - p) ** 2) / (2 * (window / 2) ** 2))
    return out


def local_by_masks(scores, center, window):
    gap = torch.arange(scores.shape[1])[None] - center[:, None]
    powers = scores.exp() * (gap.abs() <= window)
    return powers / powers.sum(1, keepdim=True) * torch.exp(-2 * (gap / window) ** 2)


def sparse_by_numpy(scores):
    rows = []
    for row in scores.double().numpy():
        ranked = np.sort(row)[::-1]
        tau = max((ranked[:k].sum() - 1) / k for k in range(1, len(row) + 1))
        rows.append(np.maximum(row - tau, 0))
    return tensor(rows)


def sparse_by_bisection(scores):
    low, high = scores.amin(1, keepdim=True) - 1, scores.amax(1, keepdim=True)
    for _ in range(60):
        tau = (low + high) / 2
        too_much = (scores - tau).clamp(min=0).sum(1, keepdim=True) > 1
        low, high = torch.where(too_much, tau, low), torch.where(too_much, high, tau)
    return (scores - tau).clamp(min=0)


def hard_scattered(scores, drawn):
    p = torch.softmax(scores, -1)
    hard = torch.zeros_like(p).scatter(1, drawn[:, None], 1.0)
    return (hard - p).detach() + p


def concat_by_pairs(query, keys, query_weight, key_weight, bias, vector):
    out = torch.empty(query.shape[0], query.shape[1], keys.shape[1])
    joint = torch.hstack([query_weight, key_weight])
    for n, i, j in np.ndindex(*out.shape):
        out[n, i, j] = vector.dot(torch.tanh(joint @ torch.cat([query[n, i], keys[n, j]]) + bias))
    return out


def gate_by_einsum(local, guide, w_local, w_guide, phi, bias):
    resized = F.interpolate(guide, local.shape[-2:], mode="bilinear")  # a convolution of size 1 may come later
    hidden = (einsum("nchw,dc->ndhw", local, w_local) + einsum("nghw,dg->ndhw", resized, w_guide)).relu()
    return (hidden * phi.view(1, -1, 1, 1)).sum(1, keepdim=True) + bias


def gate_by_linear(local, guide, w_local, w_guide, phi, bias):
    guide = F.linear(guide.permute(0, 2, 3, 1), w_guide).permute(0, 3, 1, 2)
    guide = nn.Upsample(size=local.shape[2:], mode="bilinear")(guide)
    hidden = torch.relu(F.linear(local.movedim(1, -1), w_local) + guide.movedim(1, -1))
    return F.linear(hidden, phi, bias).movedim(-1, 1)


def pool_by_einsum(local, scores, alignment):
    local, scores = local.flatten(2), scores.flatten(1)
    if alignment == "softmax":
        return einsum("ncm,nm->nc", local, torch.softmax(scores, -1))
    return einsum("ncm,nm->nc", local, torch.sigmoid(scores)) / local.shape[-1]


def pool_by_exp(local, scores, alignment):
    if alignment == "sigmoid":
        return F.adaptive_avg_pool2d(local / (1 + (-scores).exp()), 1)[..., 0, 0]
    powers = scores.exp()
    return (local * powers).sum((-1, -2)) / powers.sum((-1, -2))


def measures_by_numpy(map_, mask, threshold):
    map_, mask = map_.double().numpy(), mask.numpy()
    here = map_ - map_.min() >= threshold * (map_.max() - map_.min())
    return (map_ * mask).sum() / map_.sum(), np.logical_and(here, mask).sum() / np.logical_or(here, mask).sum()


def measures_by_loops(map_, mask, threshold):
    low, high, on, both, either = float(map_.min()), float(map_.max()), 0.0, 0, 0
    for i, j in np.ndindex(*map_.shape):
        here, there = (float(map_[i, j]) - low) / (high - low) >= threshold, bool(mask[i, j])
        on += float(map_[i, j]) if there else 0.0
        both, either = both + (here and there), either + (here or there)
    return on / float(map_.sum()), both / either


def dice_by_reshape(maps, masks):
    n, h, w = maps.shape
    z = masks.float().view(n, h, masks.shape[1] // h, w, masks.shape[2] // w).mean((2, 4))
    return 1 - 2 * einsum("nhw,nhw->", maps, z) / (maps.sum() + z.sum())


def dice_by_numpy(maps, masks):
    a = maps.double().numpy()
    rows, columns = masks.shape[1] // a.shape[1], masks.shape[2] // a.shape[2]
    z = np.zeros(a.shape)
    for n, i, j in np.ndindex(*a.shape):
        z[n, i, j] = masks[n, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns].float().mean().item()
    return float(1 - 2 * (a * z).sum() / (a.sum() + z.sum()))


def animal_by_places(trimap, size):
    rows, columns = (torch.arange(size) * length // size for length in trimap.shape)
    return (trimap[rows][:, columns] != 2).to(torch.float32)


def animal_mask_first(trimap, size):
    animal = ((trimap == 1) | (trimap == 3)).float()
    return F.interpolate(animal[None, None], size=(size, size), mode="nearest").squeeze()


def time_by_loop(x):
    out = torch.empty_like(x)
    for n in range(x.shape[0]):
        for s in range(x.shape[2]):
            tokens = x[n, :, s]
            out[n, :, s] = (tokens @ tokens.T / math.sqrt(x.shape[-1])).softmax(-1) @ tokens
    return out


def cbam_by_steps(x, mlp, conv):
    flat = x.flatten(2)
    both = mlp(torch.cat([flat.mean(2), flat.max(2).values]))  # one call for both descriptions
    x = x * both.chunk(2)[0].add(both.chunk(2)[1]).sigmoid().unsqueeze(-1).unsqueeze(-1)
    return x * conv(torch.cat((x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)), 1)).sigmoid()


def curve_one_by_one(network, image, label, order, size):
    blanked, answers = image.clone(), []
    for patch in [None, *order]:
        if patch is not None:
            row, column = divmod(patch, image.shape[2] // size)
            blanked[:, row * size : (row + 1) * size, column * size : (column + 1) * size] = 0
        answers.append(float(torch.softmax(network(blanked[None]), -1)[0, label]))
    return torch.tensor(answers)


def curve_by_masks(network, image, label, order, size):
    rows, columns = image.shape[1] // size, image.shape[2] // size
    gone = F.one_hot(torch.tensor(order), rows * columns).cumsum(0)
    keep = torch.cat([torch.ones(1, rows * columns), 1.0 - gone]).view(-1, 1, rows, columns)
    return network(F.interpolate(keep, scale_factor=size) * image).softmax(-1)[:, label]


def unshifted_by_places(weights, place, grid, side, shift):
    places = torch.arange(grid[0] * grid[1]).view(grid).roll((-shift, -shift), (0, 1))
    windows = places.unfold(0, side, side).unfold(1, side, side).flatten(0, 1).flatten(1)
    window, token = (windows == place[0] * grid[1] + place[1]).nonzero()[0]
    laid = torch.zeros(weights.shape[1], grid[0] * grid[1])
    laid[:, windows[window]] = weights[window, :, token]
    return laid.unflatten(1, grid)


def unshifted_by_loops(weights, place, grid, side, shift):
    def seat(row, column):
        row, column = (row - shift) % grid[0], (column - shift) % grid[1]
        return (row // side) * (grid[1] // side) + column // side, (row % side) * side + column % side

    window, token = seat(*place)
    laid = torch.zeros(weights.shape[1], *grid)
    for row, column in np.ndindex(*grid):
        other, key = seat(row, column)
        if other == window:
            laid[:, row, column] = weights[window, :, token, key]
    return laid


def rotary_by_complex_numbers(query, key, angles):
    turn = torch.polar(torch.ones_like(angles), angles)
    q, k = (torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * turn for x in (query, key))
    return torch.softmax((q @ k.mH).real / query.shape[-1] ** 0.5, -1)


def rotary_by_matrices(query, key, angles):
    turn = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], -1).unflatten(-1, (2, 2))
    q, k = (einsum("lpij,hlpj->hlpi", turn, x.unflatten(-1, (-1, 2))).flatten(2) for x in (query, key))
    return sdpa(q, k, torch.eye(k.shape[1]).expand(len(k), -1, -1))


STYLES: dict[str, Iterable[Any]] = {
    "share_out": (
        lambda s: tensor(np.exp(s.numpy()) / np.exp(s.numpy()).sum(1, keepdims=True)),
        lambda s: torch.stack([torch.exp(row - row.max()) / torch.exp(row - row.max()).sum() for row in s]),
    ),
    "apply_both_masks": (lambda x, c, s: einsum("nchw,nc,nhw->nchw", x, c, s), masks_by_loops),
    "context_vector": (lambda q, k, v: sdpa(q[None], k, v)[0], context_by_loop),
    "find_fixed_masks": (
        lambda masks: [i for i, m in enumerate(masks) if torch.allclose(m, m[:1].expand_as(m), rtol=0, atol=1e-4)],
        lambda masks: np.flatnonzero([np.ptp(m.numpy(), axis=0).max() < 1e-4 for m in masks]).tolist(),
        fixed_by_loop,
    ),
    "fix_self_attention": (
        fused_attention,
        lambda q, k, v: einsum("nqk,nck->ncq", torch.softmax(einsum("ndq,ndk->nqk", q, k), -1), v),
    ),
    "squeeze": (
        lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x: tensor([[channel.mean() for channel in one] for one in x.double().numpy()]),
        lambda x: einsum("nchw->nc", x) / x[0, 0].numel(),
    ),
    "scale": (
        lambda x, gates: einsum("nchw,nc->nchw", x, gates),
        lambda x, gates: (x.flatten(2) * gates.unsqueeze(-1)).view_as(x),
    ),
    "excite": (excite_by_products, excite_by_modules),
    "count_se_parameters": (
        lambda c, r, bias: numbers(nn.Linear(c, c // r, bias=bias), nn.Linear(c // r, c, bias=bias)),
        lambda c, r, bias: (c + bias) * (c // r) + (c // r + bias) * c,
    ),
    "find_dead_blocks": (dead_by_loop, lambda blocks: [i for i, b in enumerate(blocks) if not b[0] // b[1]]),
    "se_residual": (
        lambda x, branch, se: (se(branch(x)) + x).clamp(min=0),
        lambda x, branch, se: nn.ReLU()(torch.add(x, se(branch(x)))),
    ),
    "channel_covariance": (
        covariance_by_numpy,
        lambda x: torch.stack([torch.cov(one.flatten(1), correction=0) for one in x]),
        lambda x: einsum("nchw,ndhw->ncd", *[x - x.mean((2, 3), keepdim=True)] * 2) / x[0, 0].numel(),
    ),
    "fool_se": (
        lambda x, first, second: put(x, second, x[:, second].roll(3, 1)),
        lambda x, first, second: put(x, first, x[:, first].flip(2)),
        lambda x, first, second: put(x, second, x[:, second].flatten(1).sort(1).values.view_as(x[:, 0])),
    ),
    "row_wise_convolution": (
        row_by_row,
        lambda r, w, b: einsum("nrc,rec->nre", r, w.view(r.shape[1], -1, r.shape[1])).flatten(1) + b,
    ),
    "position_covariance": (
        lambda x: torch.stack([torch.cov(one.flatten(1).T, correction=0) for one in x]),
        lambda x: covariance_by_numpy(x.flatten(2).mT[..., None]),
    ),
    "count_gsop_parameters": (
        lambda c, d, e: numbers(GSoPBlock(c, d, e)),
        lambda c, d, e: (c + 1) * d + 4 * d + e * d * (d + 1) + c * (e * d + 1),
    ),
    "newton_schulz_root": (root_by_numpy, root_in_double),
    "receptive_side": (
        side_backwards,
        lambda k, s: 1 + sum((kernel - 1) * math.prod(s[:i]) for i, kernel in enumerate(k)),
    ),
    "project_positions": (
        lambda x, w: einsum("nchw,dc->nhwd", x, w[:, :, 0, 0]).flatten(1, 2),
        lambda x, w: x.flatten(2).mT @ w.flatten(1).T,
    ),
    "weigh_keys": (
        lambda q, k: F.softmax(einsum("nqd,nkd->nqk", q, k), -1),
        lambda q, k: torch.stack([torch.stack([(b @ one).softmax(0) for one in a]) for a, b in zip(q, k, strict=True)]),
    ),
    "softmax_slope": (slope_by_autograd, lambda s: s.softmax(1) - s.softmax(1).square()),
    "attention_output": (
        lambda x, c, w, gamma: x + gamma * einsum("nmv,cv->ncm", c, w.flatten(1)).reshape(x.shape),
        lambda x, c, w, gamma: x + gamma * (c @ w[:, :, 0, 0].T).mT.unflatten(-1, x.shape[-2:]),
    ),
    "sagan_attention": (sagan_by_einsum, sagan_fused),
    "split_heads": (
        lambda x, heads: torch.stack(x.chunk(heads, dim=-1), dim=1),
        lambda x, heads: x.reshape(x.shape[0], x.shape[1], heads, -1).permute(0, 2, 1, 3),
    ),
    "join_heads": (
        heads_mixed_one_by_one,
        lambda c, w: torch.cat(c.unbind(1), dim=-1) @ w.mT,
        lambda c, w: einsum("nhld,ehd->nle", c, w.view(len(w), c.shape[1], -1)),
    ),
    "knock_out": (without_columns, head_subtracted),
    "head_entropy": (entropy_by_scipy, entropy_where, entropy_ready_made),
    "window_mask": (window_by_loops, window_by_distance),
    "attend_in_heads": (heads_by_loop, heads_fused),
    "cut_patches": (
        patches_by_loops,
        lambda x, size: F.unfold(x, size, stride=size).mT,
        lambda x, size: x.unfold(2, size, size).unfold(3, size, size).movedim(1, 3).flatten(3).flatten(1, 2),
    ),
    "make_tokens": (
        tokens_filled,
        lambda x, w, b, token, places: torch.cat([token + places[:, :1]] * len(x)).new_tensor(
            np.concatenate([np.repeat((token + places[:, :1]).numpy(), len(x), 0), (x @ w.T + b + places[:, 1:])], 1)
        ),
    ),
    "attention_rollout": (
        rollout_by_numpy,
        lambda w: reduce(lambda rolled, step: step @ rolled, (w.mean(1) + torch.eye(w.shape[-1])) / 2),
    ),
    "occlusion_map": (occlusion_one_by_one, occlusion_by_masks),
    "fixed_vit": (vit_fused, vit_by_hand),
    "epoch_loss": (loss_by_loop, lambda losses, sizes: np.average(losses, weights=sizes)),
    "loss_from_probabilities": (
        lambda p, labels: -p[range(len(p)), labels].log().mean(),
        lambda p, labels: float(-np.log(p.double().numpy()[np.arange(len(p)), labels.numpy()]).mean()),
        lambda p, labels: -(F.one_hot(labels, p.shape[1]) * p.log()).sum(1).mean(),
    ),
    "split_within_digit": (split_by_numpy, split_by_counting),
    "equal_width": (
        lambda parameters, target: min(range(1, 200), key=lambda width: abs(parameters(width) - target)),
        width_from_above,
    ),
    "paired_interval": (interval_by_scipy, interval_by_sem),
    "looked_at": (
        lambda w, height, width: einsum("nqk->nk", w).view(-1, height, width) / w.shape[1],
        lambda w, height, width: tensor(w.numpy().mean(1).reshape(-1, height, width)),
    ),
    "choose_learning_rates": (
        rates_by_loop,
        lambda v, rates: torch.where(v.mean(2) == v.mean(2).amax(1, keepdim=True), rates, torch.inf).amin(1),
    ),
    "rankings": (
        lambda scores: len({tuple(sorted(range(len(row)), key=lambda k: -row[k])) for row in scores.tolist()}),
        lambda scores: len(np.unique(np.argsort(-scores.numpy(), axis=1), axis=0)),
    ),
    "share_right": (right_one_by_one, right_at_once),
    "attention_multiply_adds": (
        lambda h, w, c, d, v: h * w * (2 * c * d + 2 * c * v + h * w * d + h * w * v),
        lambda h, w, c, d, v: sum([2 * c * d, c * v, v * c, h * w * d, h * w * v]) * h * w,
    ),
    "claims": (claims_by_test, claims_by_loop),
    "biased_general_score": (
        lambda q, k, w, b: einsum("nqd,kd,nlk->nql", q, w, k) + (k @ b)[:, None],
        lambda q, k, w, b: torch.bmm(k, (q @ w.T + b).mT).mT,
    ),
    "fixed_weights": (
        lambda q, k: F.softmax(einsum("nqd,nkd->nqk", q, k) / math.sqrt(q.shape[-1]), -1),
        lambda q, k: sdpa(q, k, torch.eye(k.shape[1]).expand(len(k), -1, -1)),
    ),
    "concat_score": (
        lambda q, k, u, v, b, w: torch.tanh((q @ u.T)[:, :, None] + (k @ v.T)[:, None] + b) @ w,
        concat_by_pairs,
    ),
    "local_weights": (local_by_loops, local_by_masks),
    "sparsemax_weights": (sparse_by_numpy, sparse_by_bisection),
    "straight_through": (
        hard_scattered,
        lambda e, d: e.softmax(1) + (F.one_hot(d, e.shape[1]) - e.softmax(1)).detach(),
    ),
    "global_vector": (lambda x: F.adaptive_avg_pool2d(x, (1, 1))[..., 0, 0], lambda x: x.flatten(2).mean(-1)),
    "gate_scores": (gate_by_einsum, gate_by_linear),
    "gate_pool": (pool_by_einsum, pool_by_exp),
    "share_and_iou": (measures_by_numpy, measures_by_loops),
    "dice_loss": (dice_by_reshape, dice_by_numpy),
    "animal_mask": (animal_by_places, animal_mask_first),
    "pool_channels": (
        lambda x: torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], 1),
        lambda x: tensor(np.stack([x.numpy().max(1), x.numpy().mean(1)], 1)),
    ),
    "count_scores": (
        lambda t, s: ((t * s) ** 2, s * t * t + t * s * s),
        lambda t, s: [sum(t * s for _ in range(t * s)), sum(t + s for _ in range(t * s))],
    ),
    "cbam_channel_gates": (
        lambda mean, largest, mlp: torch.sigmoid(sum(mlp(torch.stack([mean, largest])))),
        lambda mean, largest, mlp: 1 / (1 + torch.exp(-mlp(mean) - mlp(largest))),
    ),
    "mix_branches": (
        lambda b, e: einsum("nbchw,nbc->nchw", b, e.softmax(1)),
        lambda b, e: sum(b[:, i] * torch.softmax(e, 1)[:, i, :, None, None] for i in range(b.shape[1])),
    ),
    "attend_over_time": (
        time_by_loop,
        lambda x: sdpa(*[x.transpose(1, 2)] * 3).transpose(1, 2),
        lambda x: einsum(
            "nstu,nusd->ntsd", torch.softmax(einsum("ntsd,nusd->nstu", x, x) / x.shape[-1] ** 0.5, -1), x
        ),
    ),
    "repaired_cbam": (
        cbam_by_steps,
        lambda x, mlp, conv: (
            lambda y: y * torch.sigmoid(conv(torch.stack([y.amax(1), y.mean(1)], 1)))
        )(x * torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))[..., None, None]),
    ),
    "same_scale": (
        lambda maps: maps / maps.amax((0, 1, 2), keepdim=True),
        lambda maps: tensor(maps.numpy() / maps.numpy().max()),
    ),
    "class_map": (
        lambda w, registers, grid: w[:, 0, -grid[0] * grid[1] :].unflatten(-1, grid),
        lambda w, registers, grid: torch.stack([head[0][1 + registers :].view(grid) for head in w]),
    ),
    "one_and_average": (
        lambda rows: (
            torch.special.entr(rows).sum(1).exp().mean(),
            torch.special.entr(rows.mean(0)).sum().exp(),
        ),
        lambda rows: (
            np.mean([math.exp(stats.entropy(row)) for row in rows.tolist()]),
            np.exp(stats.entropy(rows.numpy().mean(0))),
        ),
    ),
    "hidden_weights": (
        lambda q, k, v, bias: sdpa(q, k, torch.eye(k.shape[1]).expand(len(k), -1, -1), attn_mask=bias),
        lambda q, k, v, bias: F.softmax(einsum("hqd,hkd->hqk", q, k) / math.sqrt(q.shape[-1]) + bias, -1),
    ),
    "deletion_curve": (curve_one_by_one, curve_by_masks),
    "unshifted_map": (unshifted_by_places, unshifted_by_loops),
    "rotary_weights": (rotary_by_complex_numbers, rotary_by_matrices),
}  # fmt: skip
SINGLE_PRECISION = {"newton_schulz_root", "attention_rollout"}  # they make an identity in float32
CASES = [(name, style) for name, styles in STYLES.items() for style in styles]


def test_each_exercise_has_two_styles():
    assert {name for name, styles in STYLES.items() if len(list(styles)) >= 2} == set(check.exercises())


@pytest.mark.parametrize(("name", "style"), CASES, ids=lambda each: each if isinstance(each, str) else "")
def test_a_right_answer_in_another_style_is_taken(name, style):
    for _ in range(3):
        card = check.exercises()[name](style)
        assert card.kind == "right", card


@pytest.mark.parametrize("name", [name for name in STYLES if name not in SINGLE_PRECISION])
def test_float64_inside_is_taken(name):
    exercise = check.exercises()[name]

    def doubled(*inputs):
        wide = [x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in copy.deepcopy(inputs)]
        found = exercise.official(*wide)
        return found.float() if isinstance(found, Tensor) and found.is_floating_point() else found

    if any(callable(x) for x in exercise.rounds(0)[0].inputs):
        pytest.skip("it is given functions of float32")
    assert exercise(doubled if name != "straight_through" else exercise.official).kind == "right"
