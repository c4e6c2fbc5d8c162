"""Uploads, good and hostile: each is an RGB array or a ValueError in words, never anything else."""

import base64
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from course_utils.data import images
from course_utils.data.images import decode_base64, decode_image, digit_input, square_image

RED, BLUE = (220, 30, 20), (10, 40, 200)


def file_of(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(mode: str = "RGB", size=(40, 20)) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, size[0], size[1]))
    return image.convert(mode)


def png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0" * 100), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "JPEG", "WEBP"])
def test_each_format_gives_its_pixels(kind):
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    decoded = decode_image(file_of(halves(), kind, **options))
    assert decoded.shape == (20, 40, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded[10, 5].astype(int) - RED).max() <= 6
    assert np.abs(decoded[10, 35].astype(int) - BLUE).max() <= 6


@pytest.mark.faults("hostile uploads")
def test_the_content_counts_and_not_the_name():
    assert decode_image(file_of(halves(), "JPEG"), "holiday.png").shape == (20, 40, 3)


@pytest.mark.faults("hostile uploads")
@pytest.mark.parametrize("mode", ["P", "L", "1", "LA", "RGBA", "CMYK"])
def test_modes_become_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    decoded = decode_image(file_of(halves(mode), kind))
    expected = np.asarray(halves(mode).convert("RGB"), int)
    assert np.abs(decoded - expected).max() <= 2


@pytest.mark.faults("hostile uploads")
def test_cmyk_jpeg_keeps_its_colours():
    decoded = decode_image(file_of(halves("CMYK"), "JPEG", quality=95))
    assert np.abs(decoded[10, 5].astype(int) - RED).max() <= 25


def test_alpha_lies_on_white():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128)])
    decoded = decode_image(file_of(image))[0]
    assert decoded[0].tolist() == [255, 0, 0]
    assert decoded[1].tolist() == [255, 255, 255]
    assert abs(int(decoded[2, 0]) - 127) <= 1


@pytest.mark.faults("hostile uploads")
def test_transparent_palette_colour_lies_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((1, 0), 1)
    decoded = decode_image(file_of(image, "GIF", transparency=0))[0]
    assert decoded.tolist() == [[255, 255, 255], [200, 10, 10]]


@pytest.mark.faults("hostile uploads")
def test_sixteen_bit_grey_is_scaled_not_cut_off():
    ramp = np.array([[0, 16384, 32768, 65535]], np.uint16)
    decoded = decode_image(file_of(Image.fromarray(ramp)))
    assert np.abs(decoded[0, :, 0].astype(int) - [0, 64, 128, 255]).max() <= 1


@pytest.mark.faults("hostile uploads")
def test_floating_grey_is_brought_to_its_own_range():
    ramp = np.array([[-1.0, 0.0, np.nan, 1.0]], np.float32)
    decoded = decode_image(file_of(Image.fromarray(ramp), "TIFF"))
    assert decoded[0, :, 0].tolist() == [0, 128, 128, 255]


@pytest.mark.faults("hostile uploads")
def test_camera_rotation_is_carried_out():
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side: turn a quarter clockwise to see it
    decoded = decode_image(file_of(halves(), "JPEG", exif=exif, quality=95))
    assert decoded.shape == (40, 20, 3)
    assert decoded[5, 10, 0] > 150
    assert decoded[35, 10, 2] > 150


@pytest.mark.faults("hostile uploads")
def test_broken_exif_is_ignored():
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 20
    assert decode_image(file_of(halves(), "JPEG", exif=broken)).shape == (20, 40, 3)


@pytest.mark.faults("hostile uploads")
def test_of_a_moving_picture_the_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE, BLUE)]
    decoded = decode_image(file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert np.abs(decoded[0, 0].astype(int) - RED).max() <= 2


@pytest.mark.faults("hostile uploads")
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_a_film_of_many_frames_costs_no_more_than_its_first(kind):
    frames = [Image.new("RGB", (600, 400), (one, 90, 200)) for one in range(60)]
    options = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    film = file_of(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    tracemalloc.start()
    decoded = decode_image(film)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded.shape == (400, 600, 3) and np.abs(decoded[0, 0].astype(int) - [0, 90, 200]).max() <= 6
    assert peak < 8 * decoded.nbytes + len(film)


def gif_claiming(width: int, height: int) -> bytes:
    whole = bytearray(file_of(halves(), "GIF"))
    whole[6:10] = struct.pack("<HH", width, height)
    return bytes(whole)


def jpeg_claiming(width: int, height: int) -> bytes:
    whole = bytearray(file_of(halves(), "JPEG"))
    place = whole.index(b"\xff\xc0") + 5
    whole[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(whole)


def bmp_claiming(width: int, height: int) -> bytes:
    whole = bytearray(file_of(halves(), "BMP"))
    whole[18:26] = struct.pack("<ii", width, height)
    return bytes(whole)


@pytest.mark.faults("hostile uploads")
@pytest.mark.parametrize("claiming", [png_claiming, gif_claiming, jpeg_claiming, bmp_claiming])
@pytest.mark.parametrize("size", [(65000, 65000), (65535, 1000), (7000, 6000)])
def test_a_header_that_lies_about_its_size_is_refused(claiming, size):
    tracemalloc.start()
    with pytest.raises(ValueError, match="The upload"):
        decode_image(claiming(*size))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000, "the picture was made before its size was looked at"


@pytest.mark.faults("hostile uploads")
@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "SGI", "PCX", "EPS", "PDF", "ICNS", "JPEG2000", "DDS"])
def test_a_kind_that_is_not_on_the_list_is_refused_though_pillow_could_read_it(kind):
    size = (64, 64) if kind in ("ICO", "ICNS") else (40, 20)
    try:
        data = file_of(halves(size=size), kind)
    except (OSError, KeyError):
        pytest.skip(f"this Pillow writes no {kind}")
    with pytest.raises(ValueError, match=r"The upload is .*a PNG, JPEG, GIF, BMP, WebP or TIFF picture is needed"):
        decode_image(data, "The upload")


@pytest.mark.faults("hostile uploads")
def test_sixteen_bits_a_colour_and_a_page_behind_a_picture_are_read_as_the_picture():
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)]
    chunks += [b"IDAT" + zlib.compress(b"\0" + struct.pack(">6H", 65535, 0, 32768, 0, 65535, 257)), b"IEND"]
    deep = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )
    assert np.abs(decode_image(deep)[0].astype(int) - [[255, 0, 128], [0, 255, 1]]).max() <= 1
    assert decode_image(file_of(halves()) + b"<script>alert(1)</script>").shape == (20, 40, 3)


@pytest.mark.faults("hostile uploads")
def test_too_many_pixels_are_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded before the size was looked at"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: pytest.fail("decoded"), raising=False)
    with pytest.raises(ValueError, match=r"7000 x 6000 pixels, at most 40 million.*make it smaller"):
        decode_image(png_claiming(7000, 6000))


@pytest.mark.faults("hostile uploads")
def test_a_decompression_bomb_is_refused():
    with pytest.raises(ValueError, match=r"too many pixels, at most 40 million"):
        decode_image(png_claiming(60000, 60000))


@pytest.mark.faults("hostile uploads")
def test_a_size_that_the_pixels_do_not_fill_is_refused():
    with pytest.raises(ValueError, match=r"PNG file of 4000 x 4000 pixels, cannot be decoded"):
        decode_image(png_claiming(4000, 4000))


@pytest.mark.faults("hostile uploads")
def test_a_text_bomb_in_a_png_is_refused_in_words():
    good = file_of(halves())
    text = b"zTXtbomb\0\0" + zlib.compress(b"a" * 50_000_000)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    with pytest.raises(ValueError, match="The upload"):
        decode_image(good[:33] + chunk + good[33:])


@pytest.mark.faults("hostile uploads")
def test_too_many_bytes_are_refused_with_the_number():
    with pytest.raises(ValueError, match=r"photo\.png has 10\.5 MB, at most 10 MB are read"):
        decode_image(b"x" * 10_500_000, "photo.png")
    with pytest.raises(ValueError, match=r"at most 10 MB are read"):
        decode_base64("A" * 14_000_000)


@pytest.mark.faults("hostile uploads")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_a_file_cut_off_anywhere_is_refused_or_whole(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    whole = file_of(noise, kind)
    with pytest.raises(ValueError, match="The upload"):
        decode_image(whole[: len(whole) // 2])
    for end in range(1, len(whole), max(1, len(whole) // 40)):
        try:
            assert decode_image(whole[:end]).shape == (40, 40, 3)
        except ValueError as error:
            assert "needed" in str(error)


@pytest.mark.faults("hostile uploads")
def test_flipped_bytes_give_an_image_or_words():
    rng = np.random.default_rng(0)
    for kind in images.FORMATS:
        whole = np.frombuffer(file_of(halves(), kind), np.uint8)
        for _ in range(40):
            spoilt = whole.copy()
            places = rng.integers(0, len(whole), 3)
            spoilt[places] = rng.integers(0, 256, 3)
            try:
                assert decode_image(spoilt.tobytes()).ndim == 3
            except ValueError as error:
                assert "The upload" in str(error)


@pytest.mark.faults("hostile uploads")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; a PNG, JPEG"),
        (b"hello, this is no picture", "is not an image that can be read"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing.*Save or export it as PNG"),
        (b'<?xml version="1.0"?>\n<svg/>', "is an SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC or AVIF picture"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
    ],
)
def test_what_is_no_image_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        decode_image(data)


@pytest.mark.faults("hostile uploads")
def test_base64_text_is_decoded_or_refused():
    assert decode_base64(base64.b64encode(file_of(halves())).decode()).shape == (20, 40, 3)
    with pytest.raises(ValueError, match="no base64"):
        decode_base64("***")


def seven(ink, paper, size=(200, 160), at=(20, 30)) -> np.ndarray:
    image = np.full((*size, 3), paper, np.uint8)
    row, column = at
    image[row : row + 12, column : column + 60] = ink
    image[row : row + 100, column + 48 : column + 60] = ink
    return image


def test_a_digit_comes_out_light_on_black_whatever_the_paper():
    light_on_dark = digit_input(seven(ink=255, paper=0))
    for ink, paper in [(0, 255), (30, 120), (200, 90)]:
        assert np.abs(digit_input(seven(ink, paper)).astype(int) - light_on_dark).max() <= 1
    assert light_on_dark.shape == (28, 28)
    assert light_on_dark.max() == 255
    assert light_on_dark[0].max() == 0


def test_a_digit_is_centred_by_its_mass_and_fills_twenty_pixels():
    corner = digit_input(seven(255, 0, at=(5, 5)))
    middle = digit_input(seven(255, 0, at=(60, 60)))
    np.testing.assert_array_equal(corner, middle)
    rows = np.flatnonzero(corner.max(1))
    assert len(rows) == 20
    centre = (corner.astype(float).sum(1) * np.arange(28)).sum() / corner.sum()
    assert abs(centre - 13.5) <= 0.5


def test_a_digit_already_in_its_form_stays_nearly_as_it_is():
    once = digit_input(seven(255, 0))
    again = digit_input(np.repeat(once[:, :, None], 3, axis=2))
    assert np.abs(again.astype(int) - once).mean() < 6


def test_hairlines_survive_the_shrinking():
    image = np.zeros((1000, 1000, 3), np.uint8)
    image[100:900, 500] = 255
    assert digit_input(image).max() == 255


def test_an_empty_page_is_refused():
    with pytest.raises(ValueError, match=r"holds no digit.*at least 24 is needed"):
        digit_input(np.full((50, 50, 3), 250, np.uint8))


def test_square_takes_the_middle():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    assert square_image(image, 5).shape == (5, 5, 3)
    assert square_image(image, 5)[2, 2, 0] == 200
    assert square_image(image, 5).min() >= 180
