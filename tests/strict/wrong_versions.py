"""Wrong versions of a function, made mechanically from its source; and inputs wider than an exercise draws them."""

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.check.engine import ROUNDS, Draw, Exercise, Round

MODULES = {"torch", "F", "np", "stats", "math"}
LONGEST_LOOP = 10_000
SWAPPED = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq, ast.LtE, ast.GtE), ast.NotEq: (ast.Eq, ast.Lt, ast.Gt),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mod), ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,), ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr, ast.BitXor), ast.BitOr: (ast.BitAnd, ast.BitXor),
}  # fmt: skip
RENAMED = {
    "mean": ("sum", "amax"), "sum": ("mean",), "amax": ("amin", "mean"), "argmax": ("argmin",), "abs": ("square",),
    "softmax": ("log_softmax",), "relu": ("gelu", "sigmoid", "tanh", "leaky_relu"), "sigmoid": ("tanh", "relu"),
    "tanh": ("sigmoid", "relu"), "gelu": ("relu", "silu"), "exp": ("expm1", "exp2"), "log": ("log2", "log1p"),
    "sqrt": ("square",), "std": ("var",), "stack": ("cat",), "cat": ("stack",), "cumsum": ("cumprod",),
    "repeat_interleave": ("repeat",), "repeat": ("repeat_interleave",), "adaptive_avg_pool2d": ("adaptive_max_pool2d",),
    "zeros": ("ones",), "xlogy": ("xlog1py",),
}  # fmt: skip
TWICE = {"softmax", "sigmoid", "tanh", "exp", "log", "sqrt", "gelu"}
WORDS = {
    "bilinear": ("nearest", "bicubic"), "nearest": ("bilinear", "area"), "sigmoid": ("softmax",),
    "softmax": ("sigmoid",), "mean": ("sum",), "sum": ("mean",),
}  # fmt: skip


@dataclass(frozen=True)
class Version:
    """One changed copy of a function."""

    change: str
    function: Callable[..., Any]


def wrong_versions(official: Callable[..., Any]) -> Iterator[Version]:
    """Every version of a function with one place of its source changed; some may still be right."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(official)))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = [_Plain().visit(each) for each in function.body]
    if isinstance(function.body[0], ast.Expr) and isinstance(function.body[0].value, ast.Constant):
        del function.body[0]
    function.returns = None
    for argument in function.args.args:
        argument.annotation = None
    names = {argument.arg for argument in function.args.args} | {
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    seen = {ast.unparse(tree)}
    before = ast.unparse(tree).splitlines()
    for source in _changed(function, sorted(names)):
        if source in seen:
            continue
        seen.add(source)
        scope = dict(official.__globals__) | {"tick": _Ticks}
        try:
            exec(compile(_limited(source), official.__name__, "exec"), scope)
        except SyntaxError:
            continue
        after = source.splitlines()
        words = [line.strip() for line in after if line not in before] or ["(a line left out)"]
        yield Version(" / ".join(words), scope[official.__name__])


class _Plain(ast.NodeTransformer):
    """Assignments without annotations."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign:
        return ast.copy_location(ast.Assign([node.target], node.value), node)


class _Ticks:
    """Stops a loop that does not end."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> bool:
        self.count += 1
        if self.count > LONGEST_LOOP:
            raise RuntimeError("the loop does not end")
        return True


def _limited(source: str) -> ast.Module:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.While):
            node.test = ast.BoolOp(ast.And(), [ast.parse("ticks()", mode="eval").body, node.test])
            tree.body[0].body.insert(0, ast.parse("ticks = tick()").body[0])  # type: ignore[attr-defined]
            return ast.fix_missing_locations(tree)
    return tree


def _changed(function: ast.FunctionDef, names: list[str]) -> Iterator[str]:
    """The source with each place changed in each way, one at a time."""
    for parent in list(ast.walk(function)):
        for field, value in list(ast.iter_fields(parent)):
            places = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            for index, child in places:
                if not isinstance(child, ast.AST) or (parent is function and field == "args"):
                    continue
                for new in _alternatives(child, parent, field, names):
                    _put(parent, field, index, new)
                    yield ast.unparse(function)
                _put(parent, field, index, child)
            if isinstance(value, list) and isinstance(parent, ast.Call | ast.Tuple | ast.comprehension | ast.Subscript):
                for i in range(len(value)):
                    setattr(parent, field, value[:i] + value[i + 1 :])
                    yield ast.unparse(function)
                    setattr(parent, field, [*value[:i], *value[i : i + 2][::-1], *value[i + 2 :]])
                    yield ast.unparse(function)
                setattr(parent, field, value)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST | None) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _alternatives(node: ast.AST, parent: ast.AST, field: str, names: list[str]) -> Iterable[ast.AST | None]:
    """What may stand in a node's place."""
    match node:
        case ast.Compare(left, [op], [right]):
            yield from (ast.Compare(left, [new()], [right]) for new in SWAPPED.get(type(op), ()))
        case ast.BinOp(left, op, right):
            yield from (ast.BinOp(left, new(), right) for new in SWAPPED.get(type(op), ()))
            yield from (left, right)
            if not isinstance(op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr):
                yield ast.BinOp(right, op, left)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.Constant(value):
            yield from (ast.Constant(new) for new in _constants(value))
        case ast.Call(func, arguments, keywords):
            yield from _calls(func, arguments, keywords)
        case ast.Subscript(value, _, ast.Load()):
            yield value
        case ast.Slice(lower, upper, step):
            yield from (ast.Slice(None, upper, step), ast.Slice(lower, None, step), ast.Slice(upper, lower, step))
        case ast.Attribute(value, "T" | "mT"):
            yield value
        case ast.Name(name, ast.Load()) if name in names and not (isinstance(parent, ast.Call) and field == "func"):
            yield from (ast.Name(other, ast.Load()) for other in names if other != name)
        case ast.IfExp(test, body, orelse):
            yield from (body, orelse, ast.IfExp(test, orelse, body))
        case ast.AugAssign(target, op, value):
            yield from (ast.AugAssign(target, new(), value) for new in SWAPPED.get(type(op), ()))
            yield from (ast.Assign([target], value, lineno=0), ast.Pass())
        case ast.Assign([ast.Subscript()], _) | ast.Expr():
            yield ast.Pass()
    divided = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.FloorDiv)  # 7 // 2 is 6 // 2
    if isinstance(node, ast.Call | ast.Subscript) and not divided:
        yield from _counts(node)
    if isinstance(node, ast.expr) and field == "test" and isinstance(parent, ast.If):
        yield from (ast.Constant(True), ast.Constant(False))
    if isinstance(node, ast.expr) and field == "iter":
        yield ast.parse(f"reversed(list({ast.unparse(node)}))", mode="eval").body
    if isinstance(node, ast.expr) and field == "ifs":
        yield ast.UnaryOp(ast.Not(), node)


def _counts(node: ast.expr) -> Iterable[ast.AST]:
    """A length or a number of values, one more and one less."""
    if ast.unparse(node).startswith("len(") or ".shape[" in ast.unparse(node)[-12:]:
        yield from (ast.BinOp(node, op(), ast.Constant(1)) for op in (ast.Sub, ast.Add))


def _constants(value: object) -> Iterable[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [n for n in dict.fromkeys((value - 1, value + 1, -value, 0, 1, 2, 3)) if n != value]
    if isinstance(value, float):
        return [value * 2, value / 2, -value, *((2 * value - 1, (1 + value) / 2) if 0.5 < value < 1 else ())]
    return WORDS.get(value, ()) if isinstance(value, str) else ()


def _calls(func: ast.expr, arguments: list[ast.expr], keywords: list[ast.keyword]) -> Iterable[ast.AST]:
    if isinstance(func, ast.Attribute):
        root = func.value
        while isinstance(root, ast.Attribute):
            root = root.value
        if not (isinstance(root, ast.Name) and root.id in MODULES):
            yield func.value  # the method left out
        yield from (
            ast.Call(ast.Attribute(func.value, new, ast.Load()), arguments, keywords)
            for new in RENAMED.get(func.attr, ())
        )
        if func.attr in TWICE:
            once = ast.Call(func, arguments, keywords)
            if isinstance(func.value, ast.Name) and func.value.id in MODULES:
                yield ast.Call(func, [once, *arguments[1:]], keywords)
            else:
                yield ast.Call(ast.Attribute(once, func.attr, ast.Load()), arguments, keywords)
    if arguments and not isinstance(arguments[0], ast.Starred | ast.GeneratorExp):
        yield arguments[0]  # the function left out


def refused(exercise: Exercise, answer: Callable[..., Any], rounds: Iterable[Round]) -> bool:
    """Whether the check refuses an answer: it raises, changes its input, or differs in one of the rounds."""
    for drawn in rounds:
        copies = _copied(drawn.inputs)
        try:
            given = answer(*copies)
        except Exception:
            return True
        if exercise.reason(given, drawn) or exercise.changed(drawn.inputs, copies):
            return True
    return False


def _copied(value: Any) -> Any:
    """What `copy.deepcopy` gives, quicker for tensors."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, tuple | list):
        return type(value)(map(_copied, value))
    return copy.deepcopy(value)


WAYS = ("drawn", "halves", "eighths", "large", "small", "flat", "equal rows", "numbers", "coarse numbers", "everything")


def wide_rounds(exercise: Exercise, count: int, beyond: bool = True) -> list[Round]:
    """Rounds of inputs beyond those that the exercise draws: ties, zeros, equal rows, large values, other numbers.

    Where the official solution raises, gives no finite value or is refused, the inputs are not those of the exercise.
    """
    rounds = []
    for seed in range(count):
        draw = Draw(10**6 + seed, turn=seed % ROUNDS)
        inputs = exercise.draw(draw)
        way = WAYS[seed // ROUNDS % len(WAYS)] if beyond else "drawn"
        try:
            inputs = tuple(_widened(value, draw, way) for value in _copied(inputs))
            drawn = Round(inputs, exercise.official(*_copied(inputs)), ())
            fits = _finite(drawn.right) and _finite(inputs) and exercise.reason(drawn.right, drawn) is None
        except Exception:
            continue
        if fits:
            rounds.append(drawn)
    return rounds


def _widened(value: Any, draw: Draw, way: str) -> Any:
    """An input of the same kind and shape; its sign, and whether it stays within 1, are kept."""
    if way == "everything":
        way = draw.choice(WAYS[:-1])
    if isinstance(value, tuple | list):
        return type(value)(_widened(each, draw, way) for each in value)
    if isinstance(value, np.ndarray):
        return _widened(torch.from_numpy(value), draw, way).numpy()
    if isinstance(value, Tensor):
        return _wide_tensor(value.detach(), draw, way).requires_grad_(value.requires_grad)
    if isinstance(value, bool) or not isinstance(value, int | float) or "numbers" not in way:
        return value
    if isinstance(value, float):
        return draw.choice((value, 0.25, 0.5, 0.75, 1.0, 0.0))
    return max(min(value, 1), draw.choice((value - 1, value, value + 1, 1, 2, 2 * value)))


def _wide_tensor(value: Tensor, draw: Draw, way: str) -> Tensor:
    if value.ndim == 0 or not value.is_floating_point():
        if way in ("flat", "equal rows") and value.numel() > 1:
            return value[:1].expand_as(value).clone()
        if value.dtype == torch.bool and way in ("halves", "coarse numbers"):
            return draw.uniform(*value.shape) < draw.uniform()
        return value
    bounded = value.abs().max() <= 1
    made = value
    if way in ("halves", "coarse numbers"):
        made = (value * 2).round() / 2
    elif way == "eighths":
        made = (value * 8).round() / 8
    elif way == "large" and not bounded:
        made = value * draw.choice((2, 4))
    elif way == "small":
        made = value * draw.choice((0.1, 1e-3))
    elif way == "flat":
        made = torch.full_like(value, draw.choice((0.0, 0.5, 1.0)))
    elif way == "equal rows":
        made = value[:1].expand_as(value).clone()
    return made.to(value.dtype)


def _finite(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_finite, value))
    if isinstance(value, Tensor | np.ndarray | float):
        return bool(np.isfinite(np.asarray(value.detach() if isinstance(value, Tensor) else value)).all())
    return True
