"""Choose where to cut: between blocks, at places where a single tensor is alive.

A block is a module whose own forward joins two input-dependent tensors (a residual sum, a gate, a
concatenation) around most of its weights, one of a class that occurs often, or a few layers in a row.
Everything that a network's own code does between blocks (norms, activations, position embeddings)
joins the node before it; what follows the last block with a spatial output is the head.
"""

from collections import Counter
from dataclasses import dataclass

from torch import nn

from dery_core.zoo.layout import Layout
from dery_core.zoo.layout_rules import found_layouts
from dery_core.zoo.liveness import is_weighted, overwritten, pooled, single_values
from dery_core.zoo.recorder import Call, Trace, refs

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_PILE = 4


@dataclass(frozen=True)
class Cut:
    """A place to cut: before operation `position`, where only `value` is alive.

    `layouts` are the layouts it can have, likeliest first; `sure` when no probe is needed.
    """

    position: int
    value: int
    layouts: tuple[Layout, ...]
    sure: bool


@dataclass(frozen=True)
class Unit:
    """Operations `start` to `end` (excluded) that stay together; `path` names the module."""

    path: str
    start: int
    end: int
    bare: bool = False


@dataclass(frozen=True)
class Plan:
    """Where to cut: `cuts[i]` ends node i; the last one begins the head.

    `units[i]` are the blocks inside node i.
    """

    cuts: tuple[Cut, ...]
    units: tuple[tuple[Unit, ...], ...]


def plan_cuts(trace: Trace, prefix: int, refused: frozenset[int] = frozenset()) -> Plan:
    """Cuts at block granularity; between single layers where that gives fewer than two nodes.

    `prefix` is the number of class and register tokens that the network declares, `refused` are
    values that turned out to be no feature map.
    """
    places = _usable_places(trace, prefix, refused)
    plan = _plan(trace, places, _Blocks(trace).units())
    if len(plan.cuts) < 2:
        plan = _plan(trace, places, _Blocks(trace, fine=True).units())
    return plan


def _plan(trace: Trace, places: dict[int, Cut], units: list[Unit]) -> Plan:
    collapse = _collapse(trace)
    units = [unit for unit in units if unit.end <= collapse]
    cuts: list[Cut] = []
    groups: list[tuple[Unit, ...]] = []
    group: list[Unit] = []
    for index, unit in enumerate(units):
        group.append(unit)
        final = index + 1 == len(units)
        limit = collapse if final else units[index + 1].start
        between = [places[p] for p in range(unit.end, limit + 1) if p in places]
        if not between:
            continue
        # a bare last convolution takes its norm and activation along, a block leaves them to the head
        cuts.append(between[0] if final and not unit.bare else between[-1])
        groups.append(tuple(group))
        group = []
    return Plan(tuple(cuts), tuple(groups))


def _usable_places(trace: Trace, prefix: int, refused: frozenset[int]) -> dict[int, Cut]:
    found = found_layouts(trace, prefix)
    barred = overwritten(trace) | refused | {0}
    places = {}
    for position, value in single_values(trace).items():
        if value in found and value not in barred:
            places[position] = Cut(position, value, found[value].layouts, found[value].sure)
    return places


def _collapse(trace: Trace) -> int:
    """First position at which the image's positions are pooled away for good."""
    single = single_values(trace)
    gone = pooled(trace)
    for position, value in sorted(single.items()):
        shape = trace.values[value].shape
        if value in gone or len(shape) <= 2 or (len(shape) == 3 and shape[1] == 1):
            return _before(single, position)
    return len(trace.ops)


def _before(single: dict[int, int], position: int) -> int:
    return max((p for p in single if p < position), default=0)


class _Blocks:
    """Divides the tree of module calls into units that are never cut inside."""

    def __init__(self, trace: Trace, fine: bool = False) -> None:
        self.trace = trace
        self.fine = fine
        gone = pooled(trace)
        self.weighted = [
            i for i, op in enumerate(trace.ops) if is_weighted(trace, op) and not gone.issuperset(op.results)
        ]
        self.weights = [self._count(call) for call in trace.calls]
        self.block_classes = self._block_classes()

    def units(self) -> list[Unit]:
        return self._units(0)

    def _units(self, index: int) -> list[Unit]:
        found = []
        for kind, child in self.trace.calls[index].body:
            if kind == "op":
                if child in self.weighted:
                    path = self.trace.calls[index].path
                    found.append(Unit(path or self.trace.ops[child].name, child, child + 1, bare=True))
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
        return _is_library(module) or (not self.fine and self._is_pile(index))

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
            if 8 * self.weights[index] > len(self.weighted):
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
