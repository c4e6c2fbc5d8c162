"""The one place where a learner's image is decoded: within limits, and with a word where it cannot be.

An upload is text from a stranger until it has passed here. Everything below uses Pillow alone.
"""

import base64
import binascii
import io
import warnings

import numpy as np
from PIL import Image, ImageOps

MAX_BYTES = 10_000_000
MAX_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")

_MOST_BYTES, _MOST_PIXELS = f"{MAX_BYTES // 10**6} MB are read", f"{MAX_PIXELS // 10**6} million are decoded"
_NEEDED = "a PNG, JPEG, GIF, BMP, WebP or TIFF picture is needed"
_FAINTEST_INK = 24  # of 255: what differs less from its background is paper, not a stroke


def decode_base64(text: str, name: str = "The upload") -> np.ndarray:
    """Decode an image that arrives as base64 text; see `decode_image`.

    Raises:
        ValueError: if the text is no base64, or is longer than an image within the limits could be.
    """
    if len(text) > MAX_BYTES * 4 // 3 + 4:
        raise _too_large(name, f"{len(text) * 0.75e-6:.1f} MB", _MOST_BYTES)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{name} arrived as text that is no base64 ({error}); choose the file again.") from error
    return decode_image(data, name)


def decode_image(data: bytes, name: str = "The upload") -> np.ndarray:
    """Decode the bytes of an image file to RGB.

    The content counts, not the file's name. Of a moving picture the first frame is taken, transparency is put on
    white, a rotation noted by the camera is applied, 16-bit and floating grey is brought to 8 bits.

    Args:
        data: the file's bytes, at most `MAX_BYTES`, of at most `MAX_PIXELS` pixels (read before decoding).
        name: what messages call the image.

    Returns:
        An array (H, W, 3), uint8.

    Raises:
        ValueError: says what was given, what is needed and what to do.
    """
    if not data:
        raise ValueError(f"{name} is empty; {_NEEDED}.")
    if len(data) > MAX_BYTES:
        raise _too_large(name, f"{len(data) / 1e6:.1f} MB", _MOST_BYTES)
    kind = _unreadable_kind(data)
    if kind:
        raise ValueError(f"{name} is {kind}; {_NEEDED}. Save or export it as PNG.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes are checked here, odd metadata does not matter
        try:
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise _too_large(name, "too many pixels", _MOST_PIXELS) from error
        except Exception as error:  # whatever a decoder throws at a stranger's bytes, it is no image
            raise ValueError(f"{name} is not an image that can be read; {_NEEDED}.") from error
        with opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise _too_large(name, f"{width} x {height} pixels", _MOST_PIXELS)
            try:
                opened.load()
                return np.asarray(_to_rgb(_upright(opened)))
            except Exception as error:
                raise ValueError(
                    f"{name}, a {opened.format} file of {width} x {height} pixels, cannot be decoded: it is damaged, "
                    f"cut off or of a rare kind ({error}). A whole file is needed: open it elsewhere, save it as PNG."
                ) from error


def digit_input(image: np.ndarray, size: int = 28) -> np.ndarray:
    """Turn a picture of one digit into what a network trained on MNIST expects.

    The ink is what differs from the border's grey, dark on light or light on dark. Its box is scaled to 20 of 28
    pixels and its centre of mass put in the middle, as in the making of MNIST.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        size: side of the result.

    Returns:
        An array (size, size), uint8: light ink on black.

    Raises:
        ValueError: if nothing stands out from the background.
    """
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    difference = grey - np.median(border)
    lighter, darker = difference.clip(min=0), (-difference).clip(min=0)
    ink = lighter if lighter.sum() >= darker.sum() else darker
    if ink.max() < _FAINTEST_INK:
        raise ValueError(
            f"The picture holds no digit: no pixel differs from the border's grey by more than {ink.max():.0f} of 255, "
            f"at least {_FAINTEST_INK} is needed. Use one dark digit on light paper, or a light one on dark."
        )
    ink[ink < 0.1 * ink.max()] = 0
    rows, columns = (np.flatnonzero((ink > 0.25 * ink.max()).any(axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    scale = size * 20 / 28 / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    filter_ = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    small = np.asarray(Image.fromarray(ink).resize((width, height), filter_))
    top, left = (
        int(np.clip(round(size / 2 - 0.5 - _centre_of_mass(small, axis)), 0, size - small.shape[axis]))
        for axis in (0, 1)
    )
    canvas = np.zeros((size, size), np.float32)
    canvas[top : top + height, left : left + width] = small / small.max() * 255
    return canvas.round().astype(np.uint8)


def square_image(image: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of an RGB picture, (H, W, 3) -> (size, size, 3), uint8."""
    return np.asarray(squared(Image.fromarray(image), size, Image.Resampling.BICUBIC))


def squared(picture: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    """The largest centred square of a picture, brought to size x size."""
    side = min(picture.size)
    left, top = ((length - side) / 2 for length in picture.size)
    return picture.resize((size, size), resampling, box=(left, top, left + side, top + side))


def _centre_of_mass(ink: np.ndarray, axis: int) -> float:
    profile = ink.sum(axis=1 - axis)
    return float((profile * np.arange(len(profile))).sum() / profile.sum())


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken notes of a camera: the pixels are whole, show them as they lie
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # Pillow would cut these off at 255
        image = _eight_bits(image)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)
    if image.mode == "F" or values.max() > 65535 or values.min() < 0:
        low, high = values.min(), max(values.max(), values.min() + 1e-12)
    else:
        low, high = 0, 65535
    return Image.fromarray(((values - low) / (high - low) * 255).round().astype(np.uint8))


def _unreadable_kind(data: bytes) -> str | None:
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!")) and b"<svg" in head):
        return "an SVG drawing, which has no pixels"
    if head[4:8] == b"ftyp":
        return "a HEIC or AVIF picture or a film"
    if head.startswith(b"%pdf"):
        return "a PDF document"
    return None


def _too_large(name: str, found: str, most: str) -> ValueError:
    return ValueError(f"{name} has {found}, at most {most}; make it smaller, 1000 pixels per side are plenty.")
