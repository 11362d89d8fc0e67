"""Blocks: the module calls inside which a network isn't cut.

A block is a module whose own forward joins two input-dependent tensors (a residual sum, a gate, a
concatenation) around most of its weights, one of a class that occurs often, a row of layers that
occurs often, a downsampling, or a few layers in a row.
"""

from collections import Counter

from torch import nn

from dery_core.zoo.liveness import is_weighted, pooled
from dery_core.zoo.plan import Unit
from dery_core.zoo.recorder import Call, Trace, refs

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_PILE = 4
_MANY = 8


class Blocks:
    """Divides the tree of module calls into units; `depth` is how many levels it has."""

    def __init__(self, trace: Trace, fine: bool = False) -> None:
        self.trace = trace
        self.fine = fine
        gone = pooled(trace)
        self.weighted = [
            i for i, op in enumerate(trace.ops) if is_weighted(trace, op) and not gone.issuperset(op.results)
        ]
        self.depth = max(call.path.count(".") + 1 for call in trace.calls)
        self.weights = [self._count(call) for call in trace.calls]
        self.block_classes = self._block_classes()
        self.rows = self._frequent_rows()

    def units(self) -> list[Unit]:
        return self._units(0)

    def cover(self, start: int, end: int, depth: int) -> list[Unit]:
        """The weighted calls and operations within a range, opened down to `depth` levels below the
        model; only what holds several blocks is opened."""
        return self._cover(0, start, end, depth)

    def _cover(self, index: int, start: int, end: int, depth: int) -> list[Unit]:
        found = []
        for kind, child in self.trace.calls[index].body:
            if kind == "op":
                if child in self.weighted and start <= child < end:
                    found.append(self._loose(index, child))
            elif self.weights[child]:
                call = self.trace.calls[child]
                inside = start <= call.start and call.end <= end
                if inside and (depth <= 1 or not self._is_opened(child)):
                    found.append(Unit(call.path, call.start, call.end, _is_library(call.module)))
                elif call.start < end and start < call.end:
                    found += self._cover(child, start, end, depth - 1)
        return found

    def _loose(self, index: int, op: int) -> Unit:
        path = self.trace.calls[index].path
        return Unit(path or self.trace.ops[op].name, op, op + 1, bare=True)

    def _is_opened(self, index: int) -> bool:
        call = self.trace.calls[index]
        return not _is_library(call.module) and len(self._outer_blocks(index)) > 1

    def _outer_blocks(self, index: int) -> list[int]:
        """The blocks inside a call, those inside others left out."""
        found = []
        for child in self._children(index):
            module = self.trace.calls[child].module
            if type(module) in self.block_classes and not _is_library(module):
                found.append(child)
            else:
                found += self._outer_blocks(child)
        return found

    def _units(self, index: int) -> list[Unit]:
        found = []
        for kind, child in self.trace.calls[index].body:
            if kind == "op":
                if child in self.weighted:
                    found.append(self._loose(index, child))
            elif self.weights[child]:
                call = self.trace.calls[child]
                if self._is_block(child):
                    found.append(Unit(call.path, call.start, call.end, _is_library(call.module)))
                else:
                    found += self._units(child)
        return found

    def _is_block(self, index: int) -> bool:
        module = self.trace.calls[index].module
        if type(module) in self.block_classes or self.weights[index] == 1:
            return not self._wraps_block(index)
        if self._is_downsampling(index) or (not self.fine and self._layers(index) in self.rows):
            return True
        return _is_library(module) or (not self.fine and self._is_pile(index))

    def _is_downsampling(self, index: int) -> bool:
        """What the network itself calls a downsampling, however many layers or blocks it has."""
        call = self.trace.calls[index]
        return call.path.rpartition(".")[2] == "downsample" and self._is_small(index)

    def _is_small(self, index: int) -> bool:
        return 8 * self.weights[index] <= len(self.weighted)

    def _layers(self, index: int) -> tuple[type[nn.Module], ...]:
        """Kinds of the layers of a row; () for any other module."""
        module = self.trace.calls[index].module
        return tuple(map(type, module)) if type(module) is nn.Sequential and len(module) > 1 else ()

    def _frequent_rows(self) -> set[tuple[type[nn.Module], ...]]:
        """The rows that occur so often that they must be the network's blocks, not its stages."""
        small = [i for i in range(len(self.trace.calls)) if len(self._children(i)) > 1 and self._is_small(i)]
        count = Counter(layers for i in small if (layers := self._layers(i)))
        return {layers for layers, number in count.items() if number >= _MANY}

    def _wraps_block(self, index: int) -> bool:
        children = self._children(index)
        return (
            isinstance(self.trace.calls[index].module, nn.Sequential)
            and len(children) == 1
            and not _is_library(self.trace.calls[children[0]].module)
        )

    def _is_pile(self, index: int) -> bool:
        """A few layers in a row: a stem, a downsampling. In a plain container only layers of a
        library count, for there a few blocks may stand, each with one convolution."""
        children = self._children(index)
        plain = type(self.trace.calls[index].module) in _CONTAINERS
        return 2 <= len(children) <= _PILE and all(
            _is_library(self.trace.calls[child].module) or (not plain and self.weights[child] == 1)
            for child in children
        )

    def _children(self, index: int) -> list[int]:
        return [c for kind, c in self.trace.calls[index].body if kind == "call" and self.weights[c]]

    def _block_classes(self) -> set[type[nn.Module]]:
        classes: set[type[nn.Module]] = set()
        often: Counter[type[nn.Module]] = Counter()
        large: set[type[nn.Module]] = set()
        for index, call in enumerate(self.trace.calls[1:], start=1):
            kind = type(call.module)
            if kind in _CONTAINERS or not self.weights[index]:
                continue
            if 2 * self._forked(call) >= self.weights[index]:
                classes.add(kind)
            often[kind] += 1
            if not self._is_small(index):
                large.add(kind)
        if self.fine:
            return classes
        return classes | {kind for kind, count in often.items() if count >= 4 and kind not in large}

    def _forked(self, call: Call) -> int:
        """Weighted operations inside the forks that the module's own forward, not a child's, joins."""
        forked: set[int] = set()
        for kind, child in call.body:
            if kind == "op":
                end, inputs = child, list(self.trace.ops[child].inputs)
            else:
                end, inputs = self.trace.calls[child].end, _arguments(self.trace.calls[child])
            born = [self.trace.values[v].producer for v in inputs if self.trace.depends(v)]
            if len(born) > 1:
                forked.update(i for i in self.weighted if max(call.start, min(born) + 1) <= i < end)
        return len(forked)

    def _count(self, call: Call) -> int:
        return sum(call.start <= i < call.end for i in self.weighted)


def _arguments(call: Call) -> list[int]:
    return refs((call.args, call.kwargs))


def _is_library(module: nn.Module) -> bool:
    return type(module).__module__.startswith(("torch.nn", "timm.layers")) and not isinstance(
        module, _CONTAINERS
    )
