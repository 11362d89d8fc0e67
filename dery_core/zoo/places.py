"""Where a recorded network can be cut, and the layout of what is alive there."""

import math

from dery_core.zoo.axes import Axes, follow_axes
from dery_core.zoo.layout import Layout
from dery_core.zoo.layout_rules import found_layouts, token_layout
from dery_core.zoo.liveness import live_values, overwritten, pooled, unopened
from dery_core.zoo.plan import Cut
from dery_core.zoo.recorder import RecordedTensor, Trace

MOST_STREAMS = 4


class Places:
    """`single`: position -> cut where one feature map is alive. `packed`: position -> cut where up to
    `MOST_STREAMS` tensors are, or one that is no plain feature map (windows folded into the batch)."""

    def __init__(self, trace: Trace, prefix: int, refused: frozenset[int]) -> None:
        self.trace = trace
        self.found = found_layouts(trace, prefix)
        self.axes = follow_axes(trace)
        self.gone = pooled(trace)
        self.barred = overwritten(trace) | refused | {0}
        self.single: dict[int, Cut] = {}
        self.packed: dict[int, Cut] = {}
        within = unopened(trace)
        for position, values in live_values(trace, MOST_STREAMS).items():
            if position not in within and self.barred.isdisjoint(values):
                self._add(position, values)

    def _add(self, position: int, values: tuple[int, ...]) -> None:
        if len(values) == 1 and values[0] in self.found:
            known = self.found[values[0]]
            self.single[position] = Cut(position, values, known.layouts, known.sure)
            return
        parts = {value: part for value in values if (part := self._part(value)) is not None}
        grids = any(part.kind != "vector" for part in parts.values())
        dtypes = {self.trace.values[value].dtype for value in values}
        if len(parts) == len(values) and grids and len(dtypes) == 1:
            # the finest first, so that the order doesn't hang on which was computed last
            order = sorted(values, key=lambda value: -parts[value].height * parts[value].width)
            layout = Layout.of_parts([parts[value] for value in order])
            self.packed[position] = Cut(position, tuple(order), (layout,), packed=True)

    def _part(self, value: int) -> Layout | None:
        recorded = self.trace.values[value]
        # no probe looks into a packed tensor
        if value in self.found and self.found[value].sure:
            return self.found[value].layouts[0]
        if not recorded.rows:
            return None
        if value in self.gone:
            return Layout.vector(_per_image(recorded))
        return self._folded(recorded, self.axes[value])

    def _folded(self, recorded: RecordedTensor, axes: Axes) -> Layout | None:
        """Tokens on a grid, where an image's positions come before all channels, however many axes
        they are spread over; a vector where it has none."""
        first, *rest = (factor for axis in axes for factor in axis)
        if first.kind != "batch" or first.size != self.trace.values[0].shape[0]:
            return None
        count = next((i for i, factor in enumerate(rest) if not factor.spatial), len(rest))
        channels = math.prod(factor.size for factor in rest[count:])
        if any(factor.spatial or factor.kind == "batch" for factor in rest[count:]):
            return None
        if count:
            height, width = self.trace.values[0].shape[2:]
            return token_layout(tuple(rest[:count]), channels, (height, width))
        if any(factor.kind == "unknown" for factor in rest) and len(recorded.shape) > 2:
            return None
        return Layout.vector(_per_image(recorded))


def _per_image(recorded: RecordedTensor) -> int:
    return recorded.rows * math.prod(recorded.shape[1:])
