"""The three pictures that lesson 4.1 opens with: x, the mask g(x), and f(g(x), x), of a video call."""

import base64
import io
import re

import matplotlib
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms.v2.functional import gaussian_blur, to_pil_image

from course_utils.models import load_network
from course_utils.resources import resource_root
from course_utils.widgets.mask_playground.explore import playground_input

SIZE, GAP = (208, 156), 8
NOTEBOOK = resource_root().parent / "notebooks" / "4.1_introduction.ipynb"
_PICTURE = re.compile(r"data:image/webp;base64,([A-Za-z0-9+/=]+)")


def opening() -> Image.Image:
    """The astronaut, what the person segmenter keeps of her picture, and the picture with the rest blurred."""
    x = playground_input("astronaut", "spatial")
    square = F.interpolate(x[None], (256, 256), mode="bilinear", antialias=True)
    with torch.no_grad():
        mask = F.interpolate(load_network("person_segmenter")(square), x.shape[1:], mode="bilinear")[0]
    blurred = gaussian_blur(x, [41, 41], [9.0, 9.0])
    coloured = torch.from_numpy(matplotlib.colormaps["magma"](mask[0].numpy())[..., :3]).permute(2, 0, 1)
    width, height = SIZE
    sheet = Image.new("RGBA", (3 * width + 2 * GAP, height))
    for column, drawn in enumerate((x, coloured.float(), mask * x + (1 - mask) * blurred)):
        sheet.paste(to_pil_image(drawn).resize(SIZE, Image.Resampling.LANCZOS), (column * (width + GAP), 0))
    return sheet


def stored() -> Image.Image:
    """The picture as the lesson holds it: the first in the file, in a cell of words, which can hold it only as text."""
    found = _PICTURE.search(NOTEBOOK.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{NOTEBOOK.name} holds no picture; its first cell must hold one, as data:image/webp.")
    return Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA")


def write_opening() -> None:
    """Draw it into the first cell of the lesson."""
    drawn = io.BytesIO()
    opening().save(drawn, "WEBP", quality=85)
    address = f"data:image/webp;base64,{base64.b64encode(drawn.getvalue()).decode()}"
    NOTEBOOK.write_text(_PICTURE.sub(address, NOTEBOOK.read_text(encoding="utf-8"), count=1), encoding="utf-8")
