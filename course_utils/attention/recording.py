"""The masks of any network: every mask of f(g(x), x) can be seen where torch is asked to apply it.

A `torch.overrides.TorchFunctionMode` sees each call of a torch function, in anybody's code. Two forms of f cover
nearly every network: a weighted mean, `weights @ values`, and a product with a smaller mask, `gate * x`. Hooks on every
module say whose code is running, so that a mask has the name of the module in which mask and values meet.
"""

import difflib
import fnmatch
import sys
import threading
import types
import warnings
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from . import sites
from .block import AttentionBlock
from .sites import DATA, INDEX, tensors

Edit = Callable[[Tensor], Tensor]


class Masks(dict[str, Tensor]):
    """The masks of the last forward pass, by name; opened with `with`. A name that is missing says what there is."""

    def __init__(self, watched: "Watched") -> None:
        super().__init__()
        self._watched, watched.masks = watched, self
        self._model = weakref.ref(watched.model)

    def __enter__(self) -> "Masks":
        self._watched.open()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._watched.close(error)

    def __missing__(self, name: str) -> Tensor:
        if self:
            raise KeyError(f"There is no mask {name!r}; {nearest(name, self)}")
        model = self._model()
        if model is None or not self._watched.passes:
            raise KeyError(
                f"There is no mask {name!r}: no pass was recorded. Use `with record_masks(model) as masks: ...`"
            )
        raise KeyError(f"There is no mask {name!r}: {contents(model)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (), None, None, iter(self.items())  # a copy, or a file, holds the masks and not the model


def record_masks(model: nn.Module, layers: str | Iterable[str] | None = None) -> Masks:
    """Collect the mask of every attention layer of any network, as the forward pass uses it.

    Nothing runs twice: outputs (to the last bit), running statistics and random state are those of a plain pass, and
    fused kernels stay in use, since the weights are made beside them. The masks keep their gradient, so that a loss may
    be put on them. Attention dropout is applied after the mask and is not in it. A network that was compiled runs
    uncompiled meanwhile. A pass is one call of the model; a later pass replaces the masks of the earlier one.

    Args:
        model: any module; one without attention gives an empty dictionary.
        layers: names of the masks to keep, or patterns such as "blocks.*.attn"; None for all. The others are not
            even made, where a fused kernel does without them.

    Yields:
        A dictionary in the order in which the masks were made. The key is the module in which mask and values meet, as
        in `model.named_modules()` ("" for the model itself); a further mask of that module in the same pass is
        "name#2". Weights are (N, heads, Q, K), where windows are counted with the pictures: (N * windows, heads, Q, K).
        Gates are (N, C, 1, 1) or (N, 1, H, W), on lists of tokens (N, 1, C) or (N, L, 1), and choices between
        branches (N, branches, C, 1, 1). Our own blocks give the masks that their docstrings name.

    Raises:
        TypeError: if the model is not a module.
        ValueError: if a name or pattern fits no module, or no mask of the pass; if the model holds a `nn.DataParallel`
            or a module made by `torch.jit`.
        RuntimeError: if a mask is made under activation checkpointing, or in another thread.

    Example:
        >>> with record_masks(model) as masks:
        ...     logits = model(images)
        >>> masks["stage2.attention"].shape
        torch.Size([8, 48, 1, 1])
    """
    return Masks(Watched(model, layers=(layers,) if isinstance(layers, str) else layers))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and each of its modules back into its own mode afterwards."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def nearest(name: str, names: Iterable[str]) -> str:
    """The names that are most like a wrong one, in words."""
    names = list(names)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    listed = ", ".join(map(repr, near or names[:8]))
    return f"the nearest are {listed}." if near else f"there are {listed}{', ...' if len(names) > 8 else ''}."


def _notes(model: nn.Module, given: Any) -> Iterator[str]:
    """What the error of a model's pass may come from: pictures on another device, or of another size."""
    pictures = next((x for x in tensors(given) if x.is_floating_point()), None)
    if pictures is None:
        return
    devices = {str(x.device) for x in model.parameters()}
    if devices and str(pictures.device) not in devices:
        there = min(devices)
        yield f"The model is on {there}, but it was given pictures on {pictures.device}; pass pictures.to({there!r})."
    size = _takes(model)
    if size is not None and tuple(pictures.shape[-len(size) :]) != size:
        takes = f"(N, {', '.join(map(str, size))})"
        yield f"{type(model).__name__} says that it takes pictures {takes}, but was given {tuple(pictures.shape)}."


def _takes(model: nn.Module) -> tuple[int, ...] | None:
    """The size of picture that a model names: timm's configuration, transformers', or torchvision's attribute."""
    settings = getattr(model, "pretrained_cfg", None) or {}
    if "input_size" in settings:
        return tuple(settings["input_size"])
    config = getattr(model, "config", None)
    config = getattr(config, "vision_config", config)
    side = getattr(config, "image_size", None) or getattr(model, "image_size", None)
    channels = getattr(config, "num_channels", 3)
    return (channels, side, side) if isinstance(side, int) else (channels, *side) if side else None


def contents(model: nn.Module) -> str:
    """What a network is made of that has no attention, in words."""
    counts = Counter(type(part).__name__ for part in model.modules() if not any(part.children()))
    parts = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(6))
    return (
        f"{type(model).__name__} made no mask. It consists of {parts}. Convolutions, pooling and linear layers apply "
        "the same weights to every picture; a mask is made from the picture, by softmax weights or by gates."
    )


class Watched:
    """One `record_masks` or `edit_masks`: which model, which layers, what to do with their masks."""

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[str] | None = None,
        edits: dict[str, Edit] | None = None,
        trace: Any = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"record_masks and edit_masks need a torch.nn.Module, but were given {type(model).__name__}."
            )
        self.model: nn.Module = getattr(model, "_orig_mod", model)  # of torch.compile: the names are the network's own
        self.edits, self.trace = edits, trace
        self.layers = None if layers is None else tuple(layers)
        if edits is not None:
            self.layers = tuple(edits)
        self.names: dict[int, str] = {}
        self.masks: Masks | None = None
        self.watch: _Watch | None = None
        self.passes = 0
        self.seen: dict[str, None] = {}  # every name that met a mask, whether it was wanted or not
        self.used: set[str] = set()
        self.counts: Counter[str] = Counter()

    def open(self) -> None:
        """Begin to watch the model's passes in this thread."""
        if self.watch is not None:
            raise RuntimeError("This recording is open already; leave its `with` block first, or make another one.")
        self.names = {}
        for name, part in self.model.named_modules():
            if isinstance(part, nn.DataParallel):
                raise ValueError(
                    f"The model holds nn.DataParallel at {name!r}, whose threads cannot be watched; pass the network "
                    "inside, `.module`, and run that one."
                )
            if isinstance(part, torch.jit.ScriptModule):
                raise ValueError(
                    f"The model holds a module made by torch.jit at {name!r}, which runs outside Python and cannot be "
                    "watched; pass the network that it was made from."
                )
            self.names[id(part)] = name
        for layer in self.layers or ():
            known = self.names.values()
            if not any(_fits(name, layer) for name in known):
                raise ValueError(f"There is no module {layer!r} in this model; {nearest(layer, filter(None, known))}")
        self.watch = _Watch.of_this_thread()
        self.watch.add(self)

    def close(self, error: BaseException | None = None) -> None:
        """End it; where no error is on its way, say what was asked for and not found."""
        if self.watch is None:
            return
        strangers = self.watch.strangers
        self.watch.remove(self)
        self.watch = None
        if error is None and strangers and not self.passes:
            raise RuntimeError(
                "The model ran in another thread than the one in which `with` stands, so nothing was seen; open the "
                "recording in the thread that runs the model."
            )
        if error is None and self.passes:
            for layer in self.layers or ():
                if layer not in self.used:
                    there = nearest(layer, self.seen) if self.seen else contents(self.model)
                    raise ValueError(f"No mask was made at {layer!r} in this pass; {there}")

    def begin(self) -> None:
        """A pass of the whole model: what was recorded before gives way."""
        self.passes += 1
        self.counts.clear()
        self.seen.clear()
        if self.masks is not None:
            self.masks.clear()

    def wants(self, name: str) -> bool:
        """Whether a mask of this module, in its first call or a further one, is to be kept or changed."""
        return not self.trace and (self.layers is None or any(_fits(name, layer) for layer in self.layers))

    def inside(self, running: list[nn.Module]) -> bool:
        """Whether a mask may be changed within the module that runs."""
        name = next((self.names[id(part)] for part in reversed(running) if id(part) in self.names), "")
        return any(self.wants(one) for one in self.names.values() if one == name or one.startswith(name and f"{name}."))

    def number(self, name: str) -> str:
        """The key of this module's next mask."""
        self.counts[name] += 1
        key = name if self.counts[name] == 1 else f"{name}#{self.counts[name]}"
        self.seen[key] = None
        return key

    def chosen(self, key: str) -> list[str]:
        """The layers asked for that mean this mask: "name" alone means the first one of a module."""
        found = [layer for layer in self.layers or () if layer == key or fnmatch.fnmatchcase(key, layer)]
        self.used.update(found)
        return found


def _fits(name: str, layer: str) -> bool:
    """Whether a module may hold the layer asked for, by its name, a pattern, or a name with a number."""
    base = layer.rsplit("#", 1)[0]
    return name == base or fnmatch.fnmatchcase(name, base)


class _Watch(TorchFunctionMode):
    """What sees a thread's passes of the models that are watched in it; on torch's stack only while one runs."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.watched: list[Watched] = []
        self.active: list[Watched] = []  # those of `find_tokens` alone while it runs: its pass is nobody else's
        self.traces: list[Any] = []
        self.running: list[nn.Module] = []
        self.origins: sites.Origins = {}
        self.constants: set[int] = set()
        self.batches: list[int] = []  # how many rows each running module was given
        self.quiet = 0  # how many of our own blocks are running: they announce their masks themselves
        self.graded = False  # whether the pass may be followed by a backward pass
        self.strangers = False
        self._undo: list[Callable[[], Any]] = []
        self._asks = torch.overrides.has_torch_function

    @staticmethod
    def of_this_thread() -> "_Watch":
        if not hasattr(_THREAD, "watch"):
            _THREAD.watch = _Watch()
        return cast(_Watch, _THREAD.watch)

    def add(self, watched: Watched) -> None:
        if not self.watched:
            self._undo = [
                hooks.register_module_forward_pre_hook(self._enter).remove,
                hooks.register_module_forward_hook(self._leave, always_call=True).remove,
            ]
            if "torch._dynamo" in sys.modules:  # otherwise nothing was compiled
                stance = torch.compiler.set_stance("force_eager")
                warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
                quiet = warnings.filters[0]
                self._undo.append(lambda: stance.__exit__(None, None, None))
                self._undo.append(
                    lambda: cast(list, warnings.filters).remove(quiet) if quiet in warnings.filters else None
                )
        self.watched.append(watched)
        self._choose()
        for part in watched.model.modules():
            if isinstance(part, AttentionBlock):
                part._watches.append(self)

    def remove(self, watched: Watched) -> None:
        self.watched.remove(watched)
        self._choose()
        for part in watched.model.modules():
            if isinstance(part, AttentionBlock) and self in part._watches:
                part._watches.remove(self)
        if not self.watched:
            self._stop()
            self.strangers = False
            while self._undo:
                self._undo.pop()()

    def _choose(self) -> None:
        self.active = [one for one in self.watched if one.trace] or self.watched
        self.traces = [one.trace for one in self.active if one.trace]

    # A pass -----------------------------------------------------------------------------------------------------------

    def _enter(self, module: nn.Module, args: tuple) -> None:
        mine = [watched for watched in self.active if id(module) in watched.names]
        if not mine:
            return
        if threading.get_ident() != self.thread:
            self.strangers = True
            return
        for watched in mine:
            if module is watched.model and module not in self.running:
                watched.begin()
        if not self.running:
            self._start(module, args)
        with torch._C.DisableTorchFunction():
            rows = next((x.shape[0] for x in tensors(args) if not x.is_nested and x.dim()), 1)
        # torch's own layer may be given its tokens first and its pictures second; it always keeps heads in the batch.
        self.batches.append(1 if isinstance(module, nn.MultiheadAttention) else rows)
        self.running.append(module)
        self.quiet += isinstance(module, AttentionBlock)

    def _leave(self, module: nn.Module, args: tuple, output: Any) -> None:
        if threading.get_ident() != self.thread or not self.running or self.running[-1] is not module:
            return
        if (
            output is None
            and (error := sys.exception()) is not None
            and any(module is one.model for one in self.active)
        ):
            for note in _notes(module, args):
                error.add_note(note)
        self.running.pop()
        self.batches.pop()
        self.quiet -= isinstance(module, AttentionBlock)
        if not self.running:
            self._stop()
            return
        for x in tensors(output):  # made by code that no mode sees, such as a torch.autograd.Function
            if id(x) not in self.origins and id(x) not in self.constants:
                self.origins[id(x)] = DATA

    def _start(self, module: nn.Module, args: tuple) -> None:
        inputs = tensors((args, sys._getframe(2).f_locals.get("kwargs", {})))  # hooks are not given keyword arguments
        self.origins = {id(x): DATA if x.is_floating_point() else INDEX for x in inputs}
        for trace in self.traces:
            trace.begin(inputs)
        self.constants = {id(x) for x in (*module.parameters(), *module.buffers())}
        self.graded = torch.is_grad_enabled()
        torch.overrides.has_torch_function = self._anybody_else
        self.__enter__()

    def _stop(self) -> None:
        """Leave torch's stack, from wherever in it this mode stands."""
        self.running, self.batches, self.origins, self.quiet = [], [], {}, 0
        if self in torch.overrides._get_current_function_mode_stack():
            torch.overrides.has_torch_function = self._asks
            self._without(lambda: None, forever=True)

    def _without(self, ask: Callable[[], Any], forever: bool = False) -> Any:
        above = []
        while (mode := torch.overrides._pop_mode()) is not self:
            above.append(mode)
        try:
            return ask()
        finally:
            for mode in [*([] if forever else [self]), *reversed(above)]:
                torch.overrides._push_mode(mode)

    def _anybody_else(self, args: Iterable[Any]) -> bool:
        """Answer torch's own layers, which leave their fast path where a torch function is overridden."""
        here = threading.get_ident() == self.thread and self in torch.overrides._get_current_function_mode_stack()
        slow = any(one.trace or (one.edits is not None and one.inside(self.running)) for one in self.active)
        if not here or slow:
            return self._asks(args)
        return self._without(lambda: self._asks(args))

    # A call -----------------------------------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if self.quiet and not self.traces:
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with self:
                return _seen_from_inside(*args, **kwargs)
        module = self.running[-1] if self.running else None
        meeting = None
        if func in sites.SITES:
            meeting = sites.find(func, args, kwargs, self.origins, module, self.batches[-1] if self.batches else 1)
        if meeting is None:
            result = func(*args, **kwargs)
        else:
            result = self._apply(meeting, meeting.owner or module, lambda: func(*args, **kwargs))
        for trace in self.traces:
            trace.follow(func, args, kwargs, result)
        for out in tensors(result):
            self.origins[id(out)] = sites.origin(func, args, kwargs, out, self.origins)
        return result

    def _apply(self, meeting: sites.Meeting, module: nn.Module | None, plain: Callable[[], Any]) -> Any:
        if module is None or not self.wants(module):
            for watched, name in self._names(module):
                key = watched.number(name)
                if watched.trace:
                    watched.trace.meet(key, meeting)
            return plain()
        mask = meeting.make()
        used = self.meet(module, mask)
        return plain() if used is mask else meeting.apply(used)

    def _names(self, module: nn.Module | None) -> Iterator[tuple[Watched, str]]:
        for watched in self.active:
            if id(module) in watched.names:
                yield watched, watched.names[id(module)]

    def wants(self, module: nn.Module) -> bool:
        """Whether somebody keeps or changes the masks of this module."""
        return any(watched.wants(name) for watched, name in self._names(module))

    def meet(self, module: nn.Module, mask: Tensor) -> Tensor:
        """Change a mask as was asked, then keep it; another tensor is returned where it is to be used instead."""
        if threading.get_ident() != self.thread or self.traces:
            return mask
        if self.graded and self.running:
            _refuse_checkpointing(mask)
        keys = [(watched, watched.number(name)) for watched, name in self._names(module)]
        used = mask
        for watched, key in keys:
            edits = watched.edits or {}
            for layer in watched.chosen(key) if edits else ():
                used = _changed(used, edits[layer], key)
        for watched, key in keys:
            if watched.masks is not None and (watched.layers is None or watched.chosen(key)):
                watched.masks[key] = used
        return used


_THREAD = threading.local()
# The same code, but what it calls is seen: it does not ask first whether a mode wants it whole.
_seen_from_inside = types.FunctionType(
    F.multi_head_attention_forward.__code__,
    {**vars(F), "has_torch_function": lambda args: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)
_CHECKPOINT = torch.utils.checkpoint.__file__


def _changed(mask: Tensor, edit: Edit, name: str) -> Tensor:
    """A mask after an edit, refused where it no longer fits."""
    result = edit(mask)
    if not isinstance(result, Tensor) or result.shape != mask.shape:
        given = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        raise ValueError(
            f"The edit of {name!r} was given a mask of shape {tuple(mask.shape)} and returned {given}; it must return "
            "a tensor of the same shape. To leave something out, set its values to 0."
        )
    return result.view_as(result) if result is mask else result


def _refuse_checkpointing(mask: Tensor) -> None:
    frame = sys._getframe(1)
    while (frame := frame.f_back) is not None:  # type: ignore[assignment]
        if frame.f_code.co_filename == _CHECKPOINT:
            raise RuntimeError(
                "This network runs under activation checkpointing, which forgets its masks and computes them again in "
                "the backward pass; turn it off while masks are recorded (timm: model.set_grad_checkpointing(False), "
                "transformers: model.gradient_checkpointing_disable()), or record under torch.no_grad()."
            )
