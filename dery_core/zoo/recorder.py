"""Record one forward pass: every torch operation, and the tree of module calls around them.

Hooks sit on the given model only and the function mode is thread-local, so other threads may run
other models meanwhile.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from dery_core.zoo.costs import flop_counter


@dataclass(frozen=True)
class Ref:
    """Stands for a recorded tensor inside an operation's arguments."""

    value: int


@dataclass(frozen=True)
class BatchInt:
    """An integer that depends on the batch size B: `factor * B + offset`."""

    factor: int
    offset: int


@dataclass
class RecordedTensor:
    """`producer` is the operation that made it, -1 for the input, parameters and constants.

    `rows` is how many rows of the first axis each image has, whatever the batch size: 1 where that
    axis is the batch, more where windows were folded into it, 0 where it has nothing to do with it.
    `strides` are in memory, which the value shares with all that have the same `storage`: the first
    of them. `attribute` is the model's name for a parameter or buffer; `constant` holds any other tensor
    that no recorded operation made.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype
    producer: int
    depends: bool
    storage: int
    rows: int = 0
    attribute: str | None = None
    constant: Tensor | None = None

    @property
    def batched(self) -> bool:
        """Whether the first axis is the batch."""
        return self.rows == 1


@dataclass
class Op:
    """One torch function call. `mutated` maps a new value to the value it overwrites in place;
    `macs` are its multiply-accumulates.

    A module call that ran no operation (a dropout in eval mode) is an Op without function, so that
    it keeps its place in the network.
    """

    function: Callable[..., Any] | None
    args: Any
    kwargs: Any
    outputs: Any
    call: int
    inputs: tuple[int, ...]
    mutated: dict[int, int]
    depends: bool
    macs: int = 0

    @property
    def name(self) -> str:
        if self.function is None:
            return "identity"
        name = getattr(self.function, "__name__", "")
        owner = getattr(self.function, "__self__", None)
        # x.T arrives as the getter of a property
        return getattr(owner, "__name__", name) if name == "__get__" else name

    @property
    def results(self) -> list[int]:
        return [*refs(self.outputs), *(new for new in self.mutated if new not in refs(self.outputs))]


@dataclass
class Call:
    """One module call; it ran the operations `start` to `end` (excluded)."""

    parent: int
    path: str
    module: nn.Module
    args: Any
    kwargs: Any
    start: int
    end: int = -1
    outputs: Any = None
    body: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Trace:
    """One recorded forward pass. Value 0 is the input, call 0 the model itself."""

    values: list[RecordedTensor]
    ops: list[Op]
    calls: list[Call]
    output: Any

    def depends(self, value: int) -> bool:
        """Whether the value depends on the input."""
        return self.values[value].depends


def refs(tree: Any) -> list[int]:
    """The values referred to in a tree of arguments, in order, each once."""
    found: dict[int, None] = {}

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            found[leaf.value] = None
        return leaf

    map_aggregate(tree, visit)
    return list(found)


def record(model: nn.Module, images: Tensor) -> Trace:
    """Trace of `model(images)`. The model keeps its weights and mode; its own hooks still run.

    On the meta device everything that the model makes goes there too.
    """
    recorder = _Recorder(model, images)
    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(recorder.entering(path), with_kwargs=True))
        handles.append(module.register_forward_hook(recorder.leaving, with_kwargs=True))
    device = torch.device("meta") if images.is_meta else nullcontext()
    try:
        with torch.no_grad(), recorder.counter, device, recorder:
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return Trace(recorder.values, recorder.ops, recorder.calls, recorder.calls[0].outputs)


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.values: list[RecordedTensor] = []
        self.ops: list[Op] = []
        self.calls: list[Call] = []
        self.stack: list[int] = []
        self.counter = flop_counter()
        # weak: a freed tensor's id may come back as another tensor
        self.known: Any = WeakIdKeyDictionary()
        self.names = {id(t): name for name, t in [*model.named_parameters(), *model.named_buffers()]}
        self._define(images, -1, depends=True)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = self._encode((args, kwargs))
        tensors = _tensors((args, kwargs))
        versions = [t._version for t in tensors]
        counted = self.counter.get_total_flops()
        out = function(*args, **kwargs)
        macs = (self.counter.get_total_flops() - counted) // 2
        changed = [t for t, version in zip(tensors, versions, strict=True) if t._version != version]
        made = _tensors(out)
        if not made and not changed:
            return out
        if isinstance(out, Tensor) and any(out is t for t in tensors) and not changed:
            # dropout in eval mode gives back its input: keep the two apart, train mode does
            out = out.detach()
            made = [out]
        self._add(function, given, out, tensors, made, changed)
        self.ops[-1].macs = macs
        return out

    def _add(
        self,
        function: Any,
        given: Any,
        out: Any,
        tensors: list[Tensor],
        made: list[Tensor],
        changed: list[Tensor],
    ) -> None:
        inputs = tuple(refs(given))
        index = len(self.ops)
        depends = any(self.values[value].depends for value in inputs)
        mutated = {}
        for tensor in changed:
            old = self.known[tensor]
            storage = self.values[old].storage
            mutated[self._define(tensor, index, depends, storage)] = old
        for tensor in made:
            if not any(tensor is other for other in changed):
                self._define(tensor, index, depends, self._shared(tensor, tensors))
        args, kwargs = given
        self.ops.append(
            Op(function, args, kwargs, self._encode(out), self.stack[-1], inputs, mutated, depends)
        )
        self.calls[self.stack[-1]].body.append(("op", index))

    def entering(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            parent = self.stack[-1] if self.stack else -1
            args, kwargs = self._encode((args, kwargs))
            if parent >= 0:
                self.calls[parent].body.append(("call", len(self.calls)))
            self.stack.append(len(self.calls))
            self.calls.append(Call(parent, path, module, args, kwargs, len(self.ops)))

        return hook

    def leaving(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        with torch._C.DisableTorchFunction():
            call = self.calls[self.stack[-1]]
            if len(self.ops) == call.start and isinstance(output, Tensor) and not _is_identity(module):
                given = self._encode(((output,), {}))
                source, output = output, output.detach()
                self._add(None, given, output, [source], [output], [])
            call.end = len(self.ops)
            call.outputs = self._encode(output)
            self.stack.pop()
            return output

    def _shared(self, tensor: Tensor, others: list[Tensor]) -> int | None:
        """The storage that the tensor shares with one of the others. Compared while all are alive: a freed
        storage's address may come back as another's."""
        with torch._C.DisableTorchFunction():
            address = _address(tensor)
            for other in others:
                if address is not None and _address(other) == address:
                    return self.values[self.known[other]].storage
        return None

    def _define(
        self, tensor: Tensor, producer: int, depends: bool, storage: int | None = None, **origin: Any
    ) -> int:
        self.known[tensor] = len(self.values)
        strides = tensor.stride() if tensor.layout is torch.strided else ()
        storage = len(self.values) if storage is None else storage
        self.values.append(
            RecordedTensor(tuple(tensor.shape), strides, tensor.dtype, producer, depends, storage, **origin)
        )
        return len(self.values) - 1

    def _encode(self, tree: Any) -> Any:
        """The tree with every tensor replaced by its Ref."""

        def encode(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            with torch._C.DisableTorchFunction():
                value = self.known.get(leaf)
                if value is None:
                    name = self.names.get(id(leaf))
                    constant = None if name else leaf
                    value = self._define(leaf, -1, False, attribute=name, constant=constant)
            return Ref(value)

        return map_aggregate(tree, encode)


def _is_identity(module: nn.Module) -> bool:
    if type(module) is nn.Sequential:
        return all(map(_is_identity, module))
    return type(module) is nn.Identity


def _address(tensor: Tensor) -> int | None:
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else None


def _tensors(tree: Any) -> list[Tensor]:
    found: dict[int, Tensor] = {}

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            found[id(leaf)] = leaf
        return leaf

    map_aggregate(tree, visit)
    return list(found.values())


class BatchDependence(ValueError):
    """Two recordings differ in more than the batch size explains."""


def macs_are_linear(first: Trace, second: Trace) -> bool:
    """Whether the MACs of every operation follow the batch size in a straight line, or not at all."""
    sizes = first.values[0].shape[0], second.values[0].shape[0]
    pairs = [(op.macs, other.macs) for op, other in zip(first.ops, second.ops, strict=False)]
    return all(a == b or a * sizes[1] == b * sizes[0] for a, b in pairs)


def merge_batches(first: Trace, second: Trace) -> Trace:
    """`first`, with every integer that follows the batch size replaced by a `BatchInt`, and
    with the MACs of one image.

    The two traces are of the same model at two batch sizes, not neighbours: between neighbours every
    integer is linear. BatchDependence when they don't run the same operations.
    """
    sizes = first.values[0].shape[0], second.values[0].shape[0]
    counts = [(len(trace.ops), len(trace.values), [c.path for c in trace.calls]) for trace in (first, second)]
    if counts[0] != counts[1]:
        raise BatchDependence("it runs other operations at another batch size")

    def merge(a: Any, b: Any) -> Any:
        if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
            merged = [merge(x, y) for x, y in zip(a, b, strict=True)]
            return merged if isinstance(a, list) else tuple(merged)
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            return {key: merge(a[key], b[key]) for key in a}
        if isinstance(a, slice) and isinstance(b, slice):
            return slice(merge(a.start, b.start), merge(a.stop, b.stop), merge(a.step, b.step))
        if type(a) is int and type(b) is int and a != b:
            return _batch_int(a, b, *sizes)
        plain = isinstance(a, int | float | str | Ref) and a == a  # a NaN equals nothing
        if type(a) is not type(b) or (plain and a != b):
            raise BatchDependence("its operations take other arguments at another batch size")
        return a

    for value, same in zip(first.values, second.values, strict=True):
        if value.shape and same.shape[0] and value.shape[1:] == same.shape[1:]:
            rows = same.shape[0] // sizes[1]
            value.rows = rows if (value.shape[0], same.shape[0]) == (rows * sizes[0], rows * sizes[1]) else 0
    for op, other in zip(first.ops, second.ops, strict=True):
        if op.function != other.function and op.name != other.name:
            raise BatchDependence("it runs other operations at another batch size")
        op.args, op.kwargs = merge(op.args, other.args), merge(op.kwargs, other.kwargs)
        op.macs += (1 - sizes[0]) * (other.macs - op.macs) // (sizes[1] - sizes[0])
    for call, twin in zip(first.calls, second.calls, strict=True):
        call.args, call.kwargs = merge(call.args, twin.args), merge(call.kwargs, twin.kwargs)
    return first


def _batch_int(a: int, b: int, size_a: int, size_b: int) -> BatchInt:
    factor, rest = divmod(b - a, size_b - size_a)
    if rest:
        raise BatchDependence("an integer in it follows the batch size in no linear way")
    return BatchInt(factor, a - factor * size_a)
