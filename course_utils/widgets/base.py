"""What every widget shares: its module, its traits, its errors, its stand-alone page.

A widget is a Python class that takes arrays and an ES module that draws them. The arrays cross once, as base64 text;
the page does the rest. The kernel is asked only for what it alone can compute.
"""

import base64
import hashlib
import html
import io
import json
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import anywidget
import numpy as np
import traitlets
from IPython.core.getipython import get_ipython
from PIL import Image

from course_utils.files import write_together
from course_utils.widgets.joiner import join
from course_utils.widgets.limits import check_index, one_of

Result = TypeVar("Result")

_HERE = Path(__file__).parent
_NOT_STATE = ("comm", "keys", "layout", "log", "request", "tabbable", "tooltip")
_shown: dict[str, tuple[str, list["weakref.ref[CourseWidget]"]]] = {}


def join_module(name: str) -> str:
    """The source of the ES module of one widget, `name` being its folder, with all that it imports in front of it."""
    return join(_HERE / name / "view.js")


def as_array(values: Any) -> np.ndarray:
    """Any array, list or tensor as a numpy array: a tensor is detached and brought to the CPU first."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        try:
            return values.numpy()
        except TypeError:  # bfloat16, which numpy does not have
            return values.float().numpy()
    return np.asarray(values)


def image_bytes(image: Any) -> np.ndarray:
    """An image of any of the usual layouts as bytes (H, W) or (H, W, 3).

    Args:
        image: (H, W), (H, W, 1), (H, W, 3), (1, H, W) or (3, H, W); uint8, or numbers in [0, 1].

    Raises:
        ValueError: for another shape, or numbers outside [0, 1].
    """
    array = as_array(image)
    shape = array.shape
    if array.ndim == 3 and shape[2] not in (1, 3) and shape[0] in (1, 3):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if 0 in array.shape or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(f"image has shape {shape}; give (H, W), (H, W, 3) or (3, H, W), one image at a time.")
    if array.dtype == np.uint8:
        return array
    numbers = array.astype(np.float64)
    if not (numbers.min() >= 0 and numbers.max() <= 1):
        raise ValueError(
            f"The image runs from {numbers.min():.3g} to {numbers.max():.3g}; give bytes (uint8) or numbers in [0, 1]. "
            "If it was normalised for a network, undo that first: image * std + mean."
        )
    return np.rint(numbers * 255).astype(np.uint8)


def image_file(image: Any, kind: str, **options: Any) -> bytes:
    """The bytes of an image file of one of Pillow's kinds, such as "PNG"; `image` as for `image_bytes`."""
    file = io.BytesIO()
    Image.fromarray(image_bytes(image)).save(file, kind, **options)
    return file.getvalue()


def encode(values: Any, exact: bool = False) -> dict[str, Any]:
    """An array as a dictionary that the page's `decode` reads.

    Args:
        values: numbers of any shape; not NaN or infinite.
        exact: keep 32 bits; else bytes stay bytes, and numbers take 16 bits where every value survives that to a
            thousandth of the largest.

    Returns:
        `{"shape": [...], "dtype": ..., "data": base64 text, little-endian, last axis fastest}`.

    Raises:
        ValueError: if a value is not finite; the message names its place.
    """
    array = as_array(values)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"The value at index {place} is {array[place]}; every value must be a finite number.")
    if exact or not (array.dtype == np.uint8 or _fits_half(array)):
        dtype = "float32"
    else:
        dtype = "uint8" if array.dtype == np.uint8 else "float16"
    data = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return {"shape": list(array.shape), "dtype": dtype, "data": base64.b64encode(data.tobytes()).decode("ascii")}


def encode_fields(fields: Any, exact: Collection[str] | Literal[True] = (), name: str = "") -> Any:
    """Plain data as the page reads it: arrays and tensors encoded at any depth, everything else as it is.

    Args:
        fields: dictionaries and lists of arrays and of what JSON can hold.
        exact: the names of the arrays that keep 32 bits, those from which the page computes further; True for all.
        name: under which `fields` stand, if they are part of others.
    """
    if isinstance(fields, Mapping):
        return {key: encode_fields(value, exact, key) for key, value in fields.items()}
    if isinstance(fields, (list, tuple)):
        return [encode_fields(value, exact, name) for value in fields]
    if isinstance(fields, np.ndarray) or hasattr(fields, "detach"):
        return encode(fields, exact is True or name in exact)
    return fields


def both_or_neither(function: str, **given: Any) -> bool:
    """Whether both of two arguments of a function were given, rather than neither; only one is a ValueError."""
    present = [name for name, value in given.items() if value is not None]
    if len(present) == 1:
        missing = next(name for name in given if name not in present)
        raise ValueError(f"{function} was given {present[0]} without {missing}; give both, or neither.")
    return bool(present)


def _fits_half(array: np.ndarray) -> bool:
    if array.size == 0:
        return True
    exact = array.astype(np.float64)
    largest = np.abs(exact).max()
    return bool(largest <= 65504 and np.abs(exact.astype(np.float16) - exact).max() <= 1e-3 * largest)


def cell() -> "traitlets.List[int]":
    """A trait for one cell: a number from 0 for each axis; empty for none."""
    return traitlets.List(traitlets.Int(min=0))


class CourseWidget(anywidget.AnyWidget):
    """The base of the course's widgets.

    A subclass sets `_module`, the name of its folder, and adds its own traits, which cross to the page. Its state is
    whole in its traits: it draws itself from them without a kernel. It is made with traits by name; the arrays in them
    are encoded, those named by the trait's tag `exact` with 32 bits. The tag `of="pictures"` says that a trait is the
    index of one of the `pictures`, or, where the trait is a text, its `key`, by default that of the first.

    Raises:
        ValueError: if an index or a key names nothing, or a value of an array is not finite.
    """

    _module: ClassVar[str] = ""

    # what the widget shows, in words: its name for a screen reader and the alt text of its stored picture
    label = traitlets.Unicode("").tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)  # a line below the widget that says what to notice; may be empty
    # lines that reproduce what is shown, for the button "Copy the code"; a widget may add its settings
    code = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)  # the message of the last callback, if it failed
    # what a lesson asks the learner to try, each a button above the picture, [{"label": ..., "set": {trait: value},
    # "notice": ...}, ...]: a press sets the traits and says `notice`
    steps: traitlets.List = traitlets.List().tag(sync=True)
    request = traitlets.Dict().tag(sync=True, echo_update=False)  # what the page asks of the kernel, {"id": ..., ...}
    answer = traitlets.Dict().tag(sync=True)  # the kernel's reply, with the id of its request

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.__dict__.get("_module"):
            cls._esm = join_module(cls._module)
            cls._css = (_HERE / "page" / "shared.css").read_text(encoding="utf-8")
        for trait in vars(cls).values():
            if isinstance(trait, traitlets.TraitType):
                trait.tag(sync=True, echo_update=False)
        super().__init_subclass__(**kwargs)

    def __init__(self, **traits: Any) -> None:
        self._compute: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        for name, trait in self.traits(of=lambda of: of in traits).items():
            choices = traits[trait.metadata["of"]]
            if isinstance(trait, traitlets.Unicode):
                one_of(name, traits.setdefault(name, choices[0]["key"]), choices)
            else:
                check_index(name, traits.get(name, trait.default_value), len(choices))
        for name in traits.keys() & self.traits().keys():
            traits[name] = encode_fields(traits[name], self.traits()[name].metadata.get("exact", ()), name)
        super().__init__(**traits)
        self.observe(self._reply, names="request")
        _replace_earlier(self)

    def __repr__(self) -> str:
        return f"<{self._module.replace('_', '-')}: {self.label}>"

    @traitlets.validate("steps")
    def _possible(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        for step in proposal["value"]:
            if set(step) != {"label", "set", "notice"}:
                raise traitlets.TraitError(f"The step {step} needs `label`, `set` and `notice`, and no other key.")
            if unknown := sorted(set(step["set"]) - set(self.trait_names(sync=True))):
                raise traitlets.TraitError(
                    f"The step {step['label']!r} sets {unknown[0]!r}, which {type(self).__name__} does not have."
                )
        return proposal["value"]

    def guarded(self, callback: Callable[..., Result], *args: Any, **kwargs: Any) -> Result | None:
        """Call `callback`; where it fails, show its message in the widget until one succeeds, and return None."""
        try:
            result = callback(*args, **kwargs)
        except Exception as error:
            self.error = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            return None
        self.error = ""
        return result

    def answer_with(self, compute: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Let `compute` answer what the page asks: the request without its id -> a dictionary that JSON can hold.

        Its exception is shown in the widget, and the page goes on working.
        """
        self._compute = compute

    def _reply(self, change: dict[str, Any]) -> None:
        request = dict(change["new"])
        name = request.pop("id", None)
        if name is None or self._compute is None:
            return
        result = self.guarded(self._compute, request)
        self.answer = {"id": name, "failed": True} if result is None else {**result, "id": name}

    def save_html(self, path: str | Path) -> Path:
        """Write the widget as one file that runs alone in a browser, without a kernel and without a request.

        Args:
            path: where to write it; an existing file is replaced.

        Raises:
            OSError: if it cannot be written; an existing file is left whole.
        """
        path = Path(path)
        page = standalone_page(str(self._esm), str(self._css), self.get_state(), title=self.label or repr(self))
        try:
            write_together({path: page.encode(errors="replace")})
        except OSError as error:
            words = f"The page could not be written ({error.strerror or error}); what was there before is as it was"
            raise OSError(error.errno, words, str(path)) from error
        return path


def _replace_earlier(widget: CourseWidget) -> None:
    """Close the widgets that an earlier run of the same cell made: the page shows one copy, the kernel keeps one.

    The cell is known by its id where the front end sends one (JupyterLab), else by its code. Widgets of one and the
    same execution stay together. Outside a notebook's cell nothing happens.
    """
    parent = getattr(get_ipython(), "parent_header", None) or {}
    header = parent.get("header", {})
    if header.get("msg_type") != "execute_request":
        return
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code", "")
    execution = header.get("msg_id", "")
    earlier, widgets = _shown.get(cell, (execution, []))
    if earlier != execution:
        for reference in widgets:
            replaced = reference()
            if replaced is not None:
                _let_go(replaced)
        widgets = []
    _shown[cell] = (execution, [*widgets, weakref.ref(widget)])


def _let_go(widget: CourseWidget) -> None:
    """Close a widget, and take away what would keep its arrays: what calls it back, and IPython's history of results.

    Without the circles of callbacks its memory is free at once, not when Python looks for circles some day.
    """
    layout = widget.layout
    widget.close()
    if layout is not None:
        layout.close()
    widget.unobserve_all()
    widget._compute = None
    shell = get_ipython()
    if shell is None:
        return
    history = shell.user_ns.get("_oh", {})
    for count in [count for count, result in history.items() if result is widget]:
        del history[count]
        for names in (shell.user_ns, shell.user_ns_hidden):
            names.pop(f"_{count}", None)


_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; padding: 16px; background: light-dark(#f4f5f7, #101317); }
body[data-theme="dark"] { background: #101317; }
body[data-theme="light"] { background: #f4f5f7; }
main { max-width: 920px; margin: 0 auto; }
"""


def own_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a widget draws itself from: its traits without its module, its layout and its questions to the kernel."""
    return {name: value for name, value in state.items() if not name.startswith("_") and name not in _NOT_STATE}


def standalone_page(esm: str, css: str, state: Mapping[str, Any], title: str) -> str:
    """One HTML page that shows a widget without a kernel; it makes no request, and its policy allows none.

    Args:
        esm: the widget's joined ES module, as in its `_esm` trait.
        css: its style sheet, as in its `_css` trait.
        state: its traits, from `get_state()` or from a notebook's stored widget state; `own_state` of it is kept.
        title: the page's title.
    """
    return page_document(title, css, '<main data-shown="0"></main>', [(esm, state)])


def page_document(title: str, css: str, body: str, shown: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """An HTML page of widgets that makes no request, and whose policy allows none but to what it holds itself.

    Args:
        title: words, not markup.
        css: its style, after that of every such page.
        body: markup; an element with `data-shown="0"` becomes the first widget.
        shown: of each widget its joined ES module and its traits, as in `standalone_page`.
    """
    script = join(_HERE / "page" / "saved.js")
    modules = list(dict.fromkeys(esm for esm, _ in shown))
    states = [{"module": modules.index(esm), "state": own_state(state)} for esm, state in shown]
    data = {"modules": modules, "shown": states}
    held = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    style = _PAGE_STYLE + css.replace("</", "<\\/")
    policy = (
        f"default-src 'none'; script-src '{_fingerprint(script)}' blob:; style-src '{_fingerprint(style)}'; "
        "img-src data: blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n"
        f'<script type="application/json">{held}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def _fingerprint(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
