"""Finer cuts where a network has few nodes, or one that holds too much of its work.

A single tensor is preferred; where there is no such place several tensors may be alive. A residual
block is never opened, only what holds two blocks or more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from dery_core.zoo.blocks import Blocks
from dery_core.zoo.places import Places
from dery_core.zoo.plan import Cut, Plan, Unit
from dery_core.zoo.recorder import Trace

# for a split into four blocks no node may hold more work than a block should
_LARGEST = 0.25
_FEWEST = 5
# of the network's work, what a piece of a node has at the least, the last one excepted
_SMALLEST = 0.02
# of a node's work, the share that the largest of its pieces may have
_WORTHWHILE = 0.8


def balanced(trace: Trace, plan: Plan, blocks: Blocks, places: Places) -> Plan:
    """`plan` with nodes split until none holds over a quarter of the MACs, or over a sixth where there
    are fewer than 5 cuts, or nothing finer is left."""
    work = [0, *accumulate(op.macs for op in trace.ops)]
    regions = _regions(trace, plan)
    stuck: set[int] = set()
    while (index := _next(regions, work, stuck)) is not None:
        pieces = _split(regions[index], work, blocks, places)
        if len(pieces) > 1:
            regions[index : index + 1] = pieces
        else:
            stuck.add(regions[index].start)
    nodes = regions[:-1]
    return Plan(tuple(node.cut for node in nodes if node.cut), tuple(node.units for node in nodes))


@dataclass(frozen=True)
class _Region:
    """Operations `start` to `end`: a node with the cut after it, or the head."""

    start: int
    end: int
    units: tuple[Unit, ...]
    cut: Cut | None

    def share(self, work: list[int]) -> float:
        return (work[self.end] - work[self.start]) / max(work[-1], 1)


def _regions(trace: Trace, plan: Plan) -> list[_Region]:
    starts = [0, *(cut.position for cut in plan.cuts)]
    nodes = [
        _Region(start, cut.position, units, cut)
        for start, cut, units in zip(starts, plan.cuts, plan.units, strict=False)
    ]
    return [*nodes, _Region(starts[-1], len(trace.ops), (), None)]


def _next(regions: list[_Region], work: list[int], stuck: set[int]) -> int | None:
    """The region to split next: the largest of those that may be."""
    largest = _LARGEST if len(regions) > _FEWEST else 1 / (_FEWEST + 1)
    able = [
        (region.share(work), index)
        for index, region in enumerate(regions)
        if region.start not in stuck and region.share(work) > largest
    ]
    return max(able)[1] if able else None


def _split(region: _Region, work: list[int], blocks: Blocks, places: Places) -> list[_Region]:
    """The region in pieces, by the coarsest calls between which it can be cut to some use."""
    limit = _WORTHWHILE * (work[region.end] - work[region.start])
    for known in (places.single, places.packed):
        for units in _covers(blocks, region):
            pieces = list(_pieces(region, units, known, work))
            if len(pieces) > 1 and max(work[p.end] - work[p.start] for p in pieces) <= limit:
                return pieces
    return [region]


def _covers(blocks: Blocks, region: _Region) -> Iterator[list[Unit]]:
    """The weighted calls of a region, opened one level after the other."""
    covers = (blocks.cover(region.start, region.end, depth) for depth in range(1, blocks.depth + 1))
    return (units for units, _ in groupby(covers))


def _pieces(
    region: _Region, units: list[Unit], places: Mapping[int, Cut], work: list[int]
) -> Iterator[_Region]:
    start, group = region.start, list[Unit]()
    for unit, following in pairwise(units):
        group.append(unit)
        between = [p for p in range(unit.end, following.start + 1) if p in places and p < region.end]
        if between and work[unit.end] - work[start] >= _SMALLEST * work[-1]:
            fewest = min(len(places[p].values) for p in between)
            cut = places[max(p for p in between if len(places[p].values) == fewest)]
            yield _Region(start, cut.position, tuple(group), cut)
            start, group = cut.position, []
    yield _Region(start, region.end, (*group, *units[-1:]), region.cut)
