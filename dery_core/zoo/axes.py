"""What every axis of every recorded tensor runs over, followed from the image through the operations.

An axis runs over factors: batch, channels, rows, columns, or something unknown; rows and columns may
be split and interleaved (windows, unrolled units), and tokens may begin with a few that own no position.
Operations that move data move the factors; those that mix them keep what each position of the result
stands for: a convolution's own map, an attention's queries, the linear layer's inputs.
"""

import math
import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

import torch
from torch.fx.node import map_aggregate

from dery_core.zoo.recorder import BatchInt, Op, Ref, Trace, refs

_RESHAPES = {
    *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel"),
    *("view_as", "reshape_as"),
}
_PERMUTES = {
    *("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT", "adjoint"),
}
_REDUCTIONS = {
    *("mean", "sum", "amax", "amin", "max", "min", "prod", "std", "var", "norm", "logsumexp"),
    *("select", "unbind"),
}
_SCRAMBLES = {
    *("roll", "flip", "gather", "index_select", "take_along_dim", "sort", "rot90", "repeat", "tile"),
    *("repeat_interleave", "masked_select", "take", "topk"),
}
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


@dataclass(frozen=True)
class Factor:
    """`size` steps along rows, columns or the batch, each of `step`; or `size` channels or unknowns.

    `tokens` are `prefix` unknowns before, and `suffix` after, what the `inner` factors run over; a
    `part` is some of a grid's positions, which are no grid.
    """

    kind: Literal["batch", "channels", "rows", "columns", "unknown", "tokens", "part"]
    size: int
    step: int = 0
    prefix: int = 0
    suffix: int = 0
    inner: tuple["Factor", ...] = ()

    @property
    def spatial(self) -> bool:
        return self.kind in ("rows", "columns", "tokens")


# outermost first; none for an axis of size 1
Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]


def follow_axes(trace: Trace) -> dict[int, Axes]:
    """Axes of every value that depends on the input."""
    return _Follower(trace).axes


def unknown(size: int) -> Axis:
    return (Factor("unknown", size),) if size > 1 else ()


def _channels(size: int) -> Axis:
    return (Factor("channels", size),) if size > 1 else ()


def _size(axis: Axis) -> int:
    return math.prod(factor.size for factor in axis)


def _is_unknown(axis: Axis) -> bool:
    return any(factor.kind == "unknown" for factor in axis)


def _is_spatial(axis: Axis) -> bool:
    return any(factor.spatial for factor in axis)


def _merged(factors: Iterable[Factor]) -> Axis:
    """Neighbouring factors made one where they run on."""
    merged: list[Factor] = []
    for factor in factors:
        if factor.size == 1:
            continue
        last = merged[-1] if merged else None
        if last and last.kind == factor.kind != "tokens" and last.step == factor.step * factor.size:
            merged[-1] = Factor(factor.kind, last.size * factor.size, factor.step)
        else:
            merged.append(factor)
    return tuple(merged)


class _Follower:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        batch, channels, height, width = trace.values[0].shape
        self.batch, self.image = batch, (height, width)
        image: Axes = (Factor("batch", batch, 1),), _channels(channels), *_grid_axes(height, width)
        self.axes: dict[int, Axes] = {0: tuple(_merged(axis) for axis in image)}
        for op in trace.ops:
            for index, result in enumerate(op.results):
                if trace.depends(result):
                    shape = trace.values[result].shape
                    found = self._try(op, index, shape)
                    if found is None or tuple(map(_size, found)) != shape:
                        found = self._lost(op, shape)
                    self.axes[result] = _rebased(found)

    def _try(self, op: Op, index: int, shape: tuple[int, ...]) -> Axes | None:
        try:
            return self._after(op, index, shape)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return None  # called in a way that its rule doesn't foresee

    def _after(self, op: Op, index: int, shape: tuple[int, ...]) -> Axes | None:
        sources = [v for v in op.inputs if v in self.axes]
        if not sources:
            return None
        name = op.name.strip("_")
        first = self.axes[sources[0]]
        if name in _RESHAPES:
            return _reshaped(first, shape)
        if name in _PERMUTES:
            return _permuted(op, first)
        if name in _REDUCTIONS and len(sources) == 1 and shape != self._shape(sources[0]):
            return _reduced(op, first)
        if name == "getitem":
            return self._indexed(op, first, shape)
        if name in ("cat", "concat", "concatenate"):
            return self._concatenated(op, shape)
        if name == "stack":
            return self._stacked(op, shape)
        if name in ("split", "chunk", "tensor_split", "split_with_sizes"):
            return self._split(op, index, first, shape)
        if name in ("matmul", "bmm", "rmatmul") and len(op.args) == 2:
            return self._multiplied(op, shape)
        if name == "einsum":
            return self._einsum(op, shape)
        if name == "scaled_dot_product_attention":
            return (*self._of(op, 0)[:-1], self._of(op, 2)[-1])
        if name == "linear":
            return (*first[:-1], unknown(shape[-1]) if _mixes_positions(first) else _channels(shape[-1]))
        if name.startswith("conv") and len(shape) >= 3:
            return self._convolved(op, first, shape)
        if name == "fold":
            return (first[0], _channels(shape[1]), *_grid_axes(shape[2], shape[3]))
        if name == "unfold" and len(shape) == 3 and len(first) == 4:
            return (first[0], _channels(shape[1]), self._patches(shape[2]))
        if name in _SCRAMBLES:
            return None
        if name in ("layer_norm", "rms_norm") and _is_unknown(first[-1]):
            return (*first[:-1], _channels(shape[-1]))
        if name in ("batch_norm", "group_norm", "instance_norm") and _is_unknown(first[1]):
            return (first[0], _channels(shape[1]), *first[2:])
        if len(sources) == 1 and len(first) == len(shape):
            return self._resized(name, first, shape)
        if len(sources) > 1 and _broadcast(map(self._shape, sources)) == shape:
            return self._joined(sources, shape)
        return None

    def _shape(self, value: int) -> tuple[int, ...]:
        return self.trace.values[value].shape

    def _of(self, op: Op, position: int) -> Axes:
        """Axes of a positional tensor argument, unknown where it doesn't depend on the input."""
        value = op.args[position].value
        return self.axes.get(value) or tuple(map(unknown, self._shape(value)))

    def _lost(self, op: Op, shape: tuple[int, ...]) -> Axes:
        """Nothing known but the batch."""
        sources = [self.axes[v] for v in op.inputs if v in self.axes]
        axes = [unknown(size) for size in shape]
        if shape and any(source and source[0] == self.axes[0][0] for source in sources):
            axes[0] = self.axes[0][0] if shape[0] == self.batch else axes[0]
        return tuple(axes)

    def _patches(self, count: int) -> Axis:
        grid = token_grid(count, self.image)
        return sum(_grid_axes(*grid), ()) if grid else unknown(count)

    def _convolved(self, op: Op, first: Axes, shape: tuple[int, ...]) -> Axes:
        weight = op.args[1] if len(op.args) > 1 else op.kwargs.get("weight")
        kernel = self._shape(weight.value)[2:] if isinstance(weight, Ref) else ()
        axes = self._resized("conv" if math.prod(kernel) > 1 else "pointwise", first, shape)
        return (axes[0], _channels(shape[1]), *axes[2:])

    def _resized(self, name: str, before: Axes, shape: tuple[int, ...]) -> Axes:
        """After an operation that keeps the axes' meaning but not all sizes: a pooling, a padding.

        What works on neighbours in two dimensions works on an image grid.
        """
        axes = [_resampled(axis, size, before) for axis, size in zip(before, shape, strict=True)]
        if len(shape) == 4 and axes[0] == self.axes[0][0] and not any(map(_is_spatial, axes)):
            works_on_grid = any(part in name for part in ("conv", "pool2d", "interpolate", "pixel_"))
            if works_on_grid and is_grid(shape[2], shape[3], self.image):
                return (axes[0], _channels(shape[1]), *_grid_axes(shape[2], shape[3]))
        return tuple(axes)

    def _joined(self, sources: Sequence[int], shape: tuple[int, ...]) -> Axes | None:
        """After an elementwise operation on several tensors: what the best known one says."""
        axes = []
        operands = [self.axes[v] for v in sources if len(self.axes[v]) <= len(shape)]
        for back in range(len(shape), 0, -1):
            size = shape[-back]
            votes = {o[-back] for o in operands if len(o) >= back and _size(o[-back]) == size}
            known = {axis for axis in votes if not _is_unknown(axis)}
            spatial = {axis for axis in known if _is_spatial(axis)}
            votes = spatial or known
            axes.append(votes.pop() if len(votes) == 1 else unknown(size))
        return tuple(axes)

    def _indexed(self, op: Op, first: Axes, shape: tuple[int, ...]) -> Axes | None:
        index = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
        gathered = sum(isinstance(i, Ref | list) for i in index)
        plain = (int, slice, BatchInt, type(None), type(Ellipsis), Ref, list)
        if gathered > 1 or any(isinstance(i, bool) or not isinstance(i, plain) for i in index):
            return None
        taken = sum(i is not None and i is not Ellipsis for i in index)
        if not any(i is Ellipsis for i in index):
            index = (*index, Ellipsis)
        axes: list[Axis] = []
        source = iter(first)
        for i in index:
            if i is None:
                axes.append(())
            elif i is Ellipsis:
                axes += [next(source) for _ in range(len(first) - taken)]
            elif isinstance(i, slice):
                axes.append(self._sliced(next(source), i, shape[len(axes)], first))
            elif isinstance(i, Ref | list):
                axes.append(_gathered(next(source), shape[len(axes)]))
            else:
                next(source)
        return tuple(axes)

    def _sliced(self, axis: Axis, index: slice, size: int, value: Axes) -> Axis:
        if size == _size(axis):
            return axis
        start = index.start or 0
        if not isinstance(start, int) or index.step not in (None, 1):
            return _resampled(axis, size, value)
        return _narrowed(axis, start % _size(axis), size, value)

    def _split(self, op: Op, index: int, first: Axes, shape: tuple[int, ...]) -> Axes:
        sizes = [self._shape(result) for result in op.results]
        axes = []
        for position, (axis, size) in enumerate(zip(first, shape, strict=True)):
            start = sum(other[position] for other in sizes[:index])
            axes.append(axis if size == _size(axis) else _narrowed(axis, start, size, first))
        return tuple(axes)

    def _concatenated(self, op: Op, shape: tuple[int, ...]) -> Axes | None:
        values = refs(op.args[0]) if op.args else refs(op.kwargs.get("tensors"))
        if len(values) != len(op.args[0] if op.args else op.kwargs["tensors"]):
            return None
        dim = _argument(op, 1, "dim") or op.kwargs.get("axis") or 0
        dim %= len(shape)
        depending = [v for v in values if v in self.axes]
        rest = self._joined(depending, tuple(1 if i == dim else size for i, size in enumerate(shape)))
        pieces = [self.axes[v][dim] if v in self.axes else unknown(self._shape(v)[dim]) for v in values]
        if rest is None or any(len(self._shape(v)) != len(shape) for v in values):
            return None
        sizes = [self._shape(v)[dim] for v in values]
        return (*rest[:dim], _chained(pieces, sizes), *rest[dim + 1 :])

    def _stacked(self, op: Op, shape: tuple[int, ...]) -> Axes | None:
        values = refs((op.args, op.kwargs))
        dim = (_argument(op, 1, "dim") or 0) % len(shape)
        rest = self._joined([v for v in values if v in self.axes], (*shape[:dim], *shape[dim + 1 :]))
        if rest is None:
            return None
        # whole images side by side, or single positions
        added = _channels if any(map(_is_spatial, rest)) else unknown
        return (*rest[:dim], added(shape[dim]), *rest[dim:])

    def _multiplied(self, op: Op, shape: tuple[int, ...]) -> Axes | None:
        if not all(isinstance(argument, Ref) for argument in op.args):
            return None
        left, right = (0, 1) if op.name.strip("_") != "rmatmul" else (1, 0)
        a, b = self._of(op, left), self._of(op, right)
        if min(len(a), len(b)) < 2:
            return None
        depending = op.args[right].value in self.axes
        last = b[-1] if depending else _channels(shape[-1])
        outer = []
        for back in range(len(shape), 2, -1):
            votes = {o[-back] for o in (a, b) if len(o) >= back and _size(o[-back]) == shape[-back]}
            votes = {axis for axis in votes if not _is_unknown(axis)} or votes
            outer.append(votes.pop() if len(votes) == 1 else unknown(shape[-back]))
        return (*outer, a[-2], last)

    def _einsum(self, op: Op, shape: tuple[int, ...]) -> Axes | None:
        equation = re.sub(r"\s", "", op.args[0]) if op.args and isinstance(op.args[0], str) else ""
        terms, arrow, out = equation.partition("->")
        operands = op.args[1] if len(op.args) == 2 and isinstance(op.args[1], list | tuple) else op.args[1:]
        if not arrow or "." in equation or len(terms.split(",")) != len(operands):
            return None
        found: dict[str, Axis] = {}
        for letters, operand in zip(terms.split(","), operands, strict=True):
            axes = self.axes.get(operand.value, ())
            for letter, axis in zip(letters, axes, strict=False):
                if letter not in found or _is_unknown(found[letter]):
                    found[letter] = axis
        return tuple(found.get(letter, _channels(size)) for letter, size in zip(out, shape, strict=True))


def _mixes_positions(value: Axes) -> bool:
    """Whether the last axis holds all rows or all columns; pixels of a patch are as channels."""
    others = {factor.kind for axis in value[:-1] for factor in axis}
    return any(factor.spatial and factor.kind not in others for factor in value[-1])


def _rebased(value: Axes) -> Axes:
    """Steps counted in those of the finest rows and columns that are left."""
    factors = [inner for axis in value for factor in axis for inner in (factor.inner or (factor,))]
    finest = {
        kind: min(factor.step for factor in factors if factor.kind == kind)
        for kind in {factor.kind for factor in factors} & {"rows", "columns"}
    }
    if all(step == 1 for step in finest.values()):
        return value

    def rebase(factor: Factor) -> Factor:
        step = factor.step // finest.get(factor.kind, 1)
        return replace(factor, step=step, inner=tuple(map(rebase, factor.inner)))

    return tuple(tuple(map(rebase, axis)) for axis in value)


def _broadcast(shapes: Iterable[tuple[int, ...]]) -> tuple[int, ...] | None:
    try:
        return tuple(torch.broadcast_shapes(*shapes))
    except RuntimeError:
        return None


def _grid_axes(height: int, width: int) -> tuple[Axis, Axis]:
    return _merged([Factor("rows", height, 1)]), _merged([Factor("columns", width, 1)])


def _argument(op: Op, position: int, name: str) -> Any:
    return op.args[position] if len(op.args) > position else op.kwargs.get(name)


def _resampled(axis: Axis, size: int, value: Axes) -> Axis:
    """`axis` of `value`, stretched or shrunk to `size`."""
    before = _size(axis)
    if size == before:
        return axis
    kinds = {factor.kind for factor in axis}
    if kinds == {"channels"}:
        return _channels(size)
    if len(axis) != 1 or axis[0].kind not in ("rows", "columns"):
        return unknown(size)
    factor = axis[0]
    whole = sum(other.kind == factor.kind for each in value for other in each) == 1
    if whole:
        return _merged([Factor(factor.kind, size, 1)])
    if before % size == 0:
        return _merged([Factor(factor.kind, size, factor.step * before // size)])
    return unknown(size)


def _narrowed(axis: Axis, start: int, size: int, value: Axes) -> Axis:
    """`size` positions of `axis` from `start` on: prefix tokens fall away, or padding does."""
    if len(axis) == 1 and axis[0].kind == "tokens":
        factor = axis[0]
        end, count = start + size, factor.size - factor.suffix
        if start <= factor.prefix and end >= count:
            return _prefixed(factor.inner, factor.prefix - start, end - count)
        return unknown(size) if end <= factor.prefix or start >= count else _part(size)
    if len(axis) > 1 and _is_spatial(axis):
        return _part(size)
    return _resampled(axis, size, value)


def _part(size: int) -> Axis:
    return (Factor("part", size),) if size > 1 else ()


def _gathered(axis: Axis, size: int) -> Axis:
    return _channels(size) if {factor.kind for factor in axis} == {"channels"} else unknown(size)


def _prefixed(inner: Axis, prefix: int, suffix: int) -> Axis:
    if not prefix and not suffix:
        return inner
    return (Factor("tokens", prefix + _size(inner) + suffix, 0, prefix, suffix, inner),)


def _chained(pieces: Sequence[Axis], sizes: Sequence[int]) -> Axis:
    """Axes one after the other: one grid may stand among tokens that own no position."""
    grids = [i for i, piece in enumerate(pieces) if _is_spatial(piece)]
    if not grids:
        kinds = {factor.kind for piece in pieces for factor in piece}
        return _channels(sum(sizes)) if kinds == {"channels"} else unknown(sum(sizes))
    if len(grids) > 1:
        return unknown(sum(sizes))
    grid = pieces[grids[0]]
    prefix, suffix = sum(sizes[: grids[0]]), sum(sizes[grids[0] + 1 :])
    if len(grid) == 1 and grid[0].kind == "tokens":
        prefix, suffix, grid = prefix + grid[0].prefix, suffix + grid[0].suffix, grid[0].inner
    return _prefixed(grid, prefix, suffix)


def _probe(op: Op, rank: int) -> torch.Tensor | None:
    """What the operation makes of a tensor whose axes have sizes that tell them apart."""
    probe = torch.empty(_PRIMES[:rank], device="meta")

    def given(leaf: Any) -> Any:
        return probe if isinstance(leaf, Ref) else leaf

    assert op.function is not None
    try:
        result = op.function(*map_aggregate(op.args, given), **map_aggregate(op.kwargs, given))
    except (RuntimeError, IndexError, TypeError, ValueError, NotImplementedError):
        return None
    return result if isinstance(result, torch.Tensor) else result[0]


def _permuted(op: Op, before: Axes) -> Axes | None:
    result = _probe(op, len(before))
    return None if result is None else tuple(before[_PRIMES.index(size)] for size in result.shape)


def _reduced(op: Op, before: Axes) -> Axes | None:
    if op.name.strip("_") == "select":
        dim = op.args[1] % len(before)
        return (*before[:dim], *before[dim + 1 :])
    result = _probe(op, len(before))
    if result is None:
        return None
    return tuple(() if size == 1 else before[_PRIMES.index(size)] for size in result.shape)


def _reshaped(before: Axes, shape: tuple[int, ...]) -> Axes | None:
    """The factors dealt out anew, between every two places at which both shapes agree."""
    sizes = [_size(axis) for axis in before]
    ends = set(accumulate(sizes, operator.mul)) & set(accumulate(shape, operator.mul))
    axes: list[Axis] = []
    group: list[int] = []
    source, done, product = 0, 1, 1
    for size in shape:
        group.append(size)
        product *= size
        if product not in ends:
            continue
        factors: list[Factor] = []
        while source < len(before) and done < product:
            factors += before[source]
            done *= sizes[source]
            source += 1
        axes += _dealt(factors, group)
        group = []
    return tuple(axes) if not group else None


def _dealt(factors: Sequence[Factor], sizes: Sequence[int]) -> list[Axis]:
    rest = list(factors)
    axes = []
    for size in sizes:
        taken: list[Factor] = []
        while size > 1:
            factor = rest.pop(0)
            if size % factor.size == 0:
                taken.append(factor)
                size //= factor.size
            elif factor.size % size == 0 and factor.kind != "tokens":
                inner = factor.size // size
                taken.append(Factor(factor.kind, size, factor.step * inner))
                rest.insert(0, Factor(factor.kind, inner, factor.step))
                size = 1
            else:
                return [unknown(size) for size in sizes]
        axes.append(_merged(taken))
    return axes


def is_grid(height: int, width: int, image: tuple[int, int]) -> bool:
    """Whether a grid has the image's aspect ratio, as nearly as strides leave it."""
    if image[0] == image[1]:
        return height == width
    return abs(height * image[1] - width * image[0]) <= max(image)


def token_grid(tokens: int, image: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of so many tokens, for an image of (H, W)."""
    if tokens < 2:
        return None
    height = round(math.sqrt(tokens * image[0] / image[1]))
    for rows in (height, height + 1, height - 1):
        if rows > 0 and tokens % rows == 0 and is_grid(rows, tokens // rows, image):
            return rows, tokens // rows
    return None
