"""Turn a stretch of a recorded forward pass into a module of its own.

A stretch that is exactly one call of one module becomes that module; any other becomes a small
`torch.fx.GraphModule` that calls the largest original modules it can.
"""

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.nn import functional

from dery_core.zoo.liveness import follows_mode, last_uses
from dery_core.zoo.plan import Cut
from dery_core.zoo.recorder import BatchInt, Call, Op, Ref, Trace, refs
from dery_core.zoo.streams import pack, unpack

_DROPOUTS: dict[Any, Callable[..., nn.Module]] = {
    functional.dropout: nn.Dropout,
    functional.dropout1d: nn.Dropout1d,
    functional.dropout2d: nn.Dropout2d,
    functional.dropout3d: nn.Dropout3d,
    functional.alpha_dropout: nn.AlphaDropout,
    functional.feature_alpha_dropout: nn.FeatureAlphaDropout,
}


@dataclass(frozen=True)
class Step:
    """One module call or one operation of a stretch."""

    call: Call | None
    op: Op | None
    inputs: tuple[int, ...]
    results: tuple[int, ...]


class Emitter:
    """Cuts modules out of `model`; `trace` is a recording of it or of a copy. The modules that it
    returns are the model's own or share its parameters."""

    def __init__(self, trace: Trace, model: nn.Module) -> None:
        self.trace = trace
        self.model = model
        self.last_uses = last_uses(trace)
        self.closed = [self._is_closed(call) for call in trace.calls]

    def stretch(self, given: Cut, wanted: Cut) -> tuple[nn.Module, str]:
        """The module that computes what one cut carries from what an earlier one does, by the
        operations between them and whatever before them doesn't depend on the input. With it, the path
        of the original module it is, or ""."""
        start, end = given.position, wanted.position
        steps = self._needed(
            [*self._steps(0, 0, start, False), *self._steps(0, start, end, True)], given, wanted
        )
        if len(steps) == 1 and steps[0].call is not None and not given.packed and not wanted.packed:
            values = given.values[0], wanted.values[0]
            if self._is_unary(steps[0].call, *values):
                call = self._unwrapped(steps[0].call)
                return self.model.get_submodule(call.path), call.path
        return _GraphBuilder(self.trace, self.model).build(steps, given, wanted), ""

    def _steps(self, index: int, start: int, end: int, depends: bool) -> list[Step]:
        """The largest closed calls, and the loose operations, within a range."""
        steps = []
        for kind, child in self.trace.calls[index].body:
            if kind == "op":
                op = self.trace.ops[child]
                if start <= child < end and (depends or not op.depends):
                    steps.append(Step(None, op, op.inputs, tuple(op.results)))
                continue
            call = self.trace.calls[child]
            inputs = tuple(refs((call.args, call.kwargs)))
            within = start <= call.start and call.end <= end and call.start < call.end
            if within and self.closed[child] and (depends or not any(map(self.trace.depends, inputs))):
                steps.append(Step(call, None, inputs, tuple(refs(call.outputs))))
            elif call.start < end and start < call.end:
                steps += self._steps(child, start, end, depends)
        return steps

    def _needed(self, steps: list[Step], given: Cut, wanted: Cut) -> list[Step]:
        needed, kept = set(wanted.values), []
        for step in reversed(steps):
            if any(value in needed and value not in given.values for value in step.results):
                needed.update(step.inputs)
                kept.append(step)
        return kept[::-1]

    def _is_closed(self, call: Call) -> bool:
        """Whether the call takes everything it reads, and gives everything others read, openly."""
        inside: set[int] = set()
        read: set[int] = set()
        for op in self.trace.ops[call.start : call.end]:
            read.update(op.inputs)
            inside.update(op.results)
        taken = set(refs((call.args, call.kwargs)))
        hidden = {v for v in read - inside - taken if self.trace.values[v].producer >= 0 or v == 0}
        outputs = set(refs(call.outputs))
        leaked = inside - outputs
        leaks = any(self.last_uses.get(value, -1) >= call.end for value in leaked)
        return not hidden and not leaks and _is_plain(call)

    def _unwrapped(self, call: Call) -> Call:
        """The one module call that a wrapper hands its input to and its output back from."""
        while len(call.body) == 1 and call.body[0][0] == "call":
            inner = self.trace.calls[call.body[0][1]]
            if not self._is_unary(inner, refs(call.args)[0], refs(call.outputs)[0]):
                break
            call = inner
        return call

    def _is_unary(self, call: Call, given: int, wanted: int) -> bool:
        if call.outputs != Ref(wanted):
            return False
        args, kwargs = _without_defaults(call)
        return args == (Ref(given),) and not kwargs


def _is_plain(call: Call) -> bool:
    """Whether fx can write down the call's arguments and outputs."""
    plain = True

    def check(leaf: Any) -> Any:
        nonlocal plain
        kinds = (Ref, BatchInt, int, float, str, bool, torch.dtype, torch.device, type(None), type(...))
        plain = plain and isinstance(leaf, kinds)
        return leaf

    map_aggregate((call.args, call.kwargs, call.outputs), check)
    return plain


def _without_defaults(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call's arguments, those that equal their defaults left out."""
    try:
        signature = inspect.signature(call.module.forward)
        bound = signature.bind(*call.args, **call.kwargs)
    except (TypeError, ValueError):
        return tuple(call.args), dict(call.kwargs)
    for name, value in list(bound.arguments.items()):
        default = signature.parameters[name].default
        if type(value) is type(default) and not refs(value) and value == default:
            del bound.arguments[name]
    return bound.args, bound.kwargs


class _GraphBuilder:
    def __init__(self, trace: Trace, model: nn.Module) -> None:
        self.trace = trace
        self.model = model
        self.graph = fx.Graph()
        self.root: dict[str, Any] = {}
        self.buffers: dict[str, tuple[Tensor, bool]] = {}
        self.env: dict[int, fx.Node] = {}

    def build(self, steps: list[Step], given: Cut, wanted: Cut) -> fx.GraphModule:
        self.input = self.graph.placeholder("x")
        self._add_given(given)
        for step in steps:
            if step.call is not None:
                self._add_call(step.call)
            elif step.op is not None:
                self._add_op(step.op)
        results = [self._value(value) for value in wanted.values]
        if wanted.packed:
            name = self._unused("pack")
            self.root[name] = pack([self.trace.values[value] for value in wanted.values])
            results = [self.graph.call_module(name, (results,))]
        self.graph.output(results[0])
        module = fx.GraphModule(self.root, self.graph, class_name="Stretch")
        for name, (tensor, persistent) in self.buffers.items():
            path, _, leaf = name.rpartition(".")
            owner = module.get_submodule(path)
            delattr(owner, leaf)
            owner.register_buffer(leaf, tensor, persistent=persistent)
        return module.eval()

    def _add_given(self, given: Cut) -> None:
        if not given.packed:
            self.env[given.values[0]] = self.input
            return
        name = self._unused("unpack")
        self.root[name] = unpack([self.trace.values[value] for value in given.values])
        node = self.graph.call_module(name, (self.input,))
        self._bind([Ref(value) for value in given.values], node)

    def _add_call(self, call: Call) -> None:
        self.root[call.path] = self.model.get_submodule(call.path)
        node = self.graph.call_module(call.path, self._written(call.args), self._written(call.kwargs))
        self._bind(call.outputs, node)

    def _add_op(self, op: Op) -> None:
        if follows_mode(self.trace, op):
            raise ValueError(
                f"a {op.name} between its blocks would not follow train mode: put it in a module of its own"
            )
        args, kwargs = self._written(op.args), self._written(op.kwargs)
        name = getattr(op.function, "__name__", "")
        if op.function is None:
            node = args[0]
        elif op.function in _DROPOUTS:
            node = self._dropout(op, args, kwargs)
        elif name == "__get__":
            node = self.graph.call_function(getattr, (args[0], op.name))
        elif getattr(torch.Tensor, name, None) is op.function and isinstance(args[0], fx.Node):
            node = self.graph.call_method(name, args, kwargs)
        else:
            node = self.graph.call_function(op.function, args, kwargs)
        for new, old in op.mutated.items():
            self.env[new] = self._value(old)
        self._bind(op.outputs, node)

    def _dropout(self, op: Op, args: Any, kwargs: Any) -> fx.Node:
        """A dropout module, which follows train and eval, for a functional dropout, whose mode was
        fixed when it was recorded."""
        assert op.function is not None
        bound = inspect.signature(op.function).bind(*args, **kwargs)
        bound.apply_defaults()
        name = self._unused(f"dropout_{len(self.root)}")
        self.root[name] = _DROPOUTS[op.function](bound.arguments["p"], bound.arguments["inplace"])
        return self.graph.call_module(name, (bound.arguments["input"],))

    def _unused(self, name: str) -> str:
        """The name, with underscores until the network has nothing so called."""
        while hasattr(self.model, name):
            name += "_"
        return name

    def _bind(self, outputs: Any, node: fx.Node) -> None:
        if isinstance(outputs, Ref):
            self.env[outputs.value] = node
        elif isinstance(outputs, list | tuple):
            for index, item in enumerate(outputs):
                if refs(item):
                    self._bind(item, self.graph.call_function(operator.getitem, (node, index)))
        elif isinstance(outputs, dict):
            for key, item in outputs.items():
                if refs(item):
                    self._bind(item, self.graph.call_function(operator.getitem, (node, key)))

    def _written(self, tree: Any) -> Any:
        def write(leaf: Any) -> Any:
            if isinstance(leaf, Ref):
                return self._value(leaf.value)
            if isinstance(leaf, BatchInt):
                size: Any = self.graph.call_method("size", (self.input, 0))
                if leaf.factor != 1:
                    size = self.graph.call_function(operator.mul, (size, leaf.factor))
                return self.graph.call_function(operator.add, (size, leaf.offset)) if leaf.offset else size
            if isinstance(leaf, torch.device):
                return self.graph.call_function(getattr, (self.input, "device"))
            return leaf

        return map_aggregate(tree, write)

    def _value(self, value: int) -> fx.Node:
        if value in self.env:
            return self.env[value]
        recorded = self.trace.values[value]
        name = recorded.attribute
        if name is None:
            assert recorded.constant is not None
            name = self._unused(f"constant_{value}")
            self.root[name] = recorded.constant
            self.buffers[name] = (recorded.constant, False)
        else:
            path, _, leaf = name.rpartition(".")
            owner = self.model.get_submodule(path)
            self.root[name] = getattr(owner, leaf)
            if leaf in owner._buffers:
                self.buffers[name] = (self.root[name], leaf not in owner._non_persistent_buffers_set)
        self.env[value] = self.graph.get_attr(name)
        return self.env[value]
