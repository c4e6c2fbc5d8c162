"""What the two real networks refuse: pictures of another shape or range."""

from torch import Tensor

_ROUNDING = 1e-2  # resized or half-precision pictures may leave [0, 1] by a little


def check_pictures(network: str, pictures: Tensor, height: int, width: int | None, cure: str) -> None:
    """Refuse anything but pictures (N, 3, height, width) in [0, 1]; `width` None stands for any.

    Raises:
        ValueError: says what was given, what is needed and what to do.
    """
    needed = f"pictures (N, 3, {height}, {width or 'W'}) in [0, 1], red first"
    if pictures.dim() != 4 or pictures.shape[1] != 3:
        hints = {2: "repeat a grey one with picture.expand(1, 3, -1, -1)", 3: "add the batch axis with pictures[None]"}
        if pictures.dim() == 4 and pictures.shape[1] == 1:
            hint = "repeat grey ones with pictures.expand(-1, 3, -1, -1)"
        elif pictures.dim() == 4 and pictures.shape[3] == 3:
            hint = "the channels seem to come last: use pictures.permute(0, 3, 1, 2)"
        elif pictures.dim() == 4 and pictures.shape[1] == 4:
            hint = "leave the transparency out with pictures[:, :3]"
        else:
            hint = hints.get(pictures.dim(), "bring them to this shape")
        raise ValueError(f"{network} needs {needed}, but was given {tuple(pictures.shape)}; {hint}.")
    if pictures.shape[2] != height or width not in (None, pictures.shape[3]):
        raise ValueError(f"{network} needs {needed}, but was given {tuple(pictures.shape)}. {cure}.")
    if not pictures.is_floating_point():
        raise ValueError(f"{network} needs {needed}, but was given {pictures.dtype}; use pictures.float() / 255.")
    if not pictures.numel():
        raise ValueError(f"{network} needs {needed}, but was given {tuple(pictures.shape)}: at least one.")
    low, high = (float(value) for value in pictures.detach().aminmax())
    if not -_ROUNDING <= low <= high <= 1 + _ROUNDING:
        hint = "divide by 255" if high > 2 else "undo the normalisation, such as (pictures + 1) / 2"
        raise ValueError(f"{network} needs {needed}, but the values go from {low:.4g} to {high:.4g}; {hint}.")
