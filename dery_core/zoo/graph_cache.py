"""Line graphs that were built before in this process."""

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from dery_core.zoo.line_graph import LineGraph


class GraphCache:
    """The line graphs used last, as many as their weights fit in `limit` bytes; for any thread.

    Everyone gets a copy of their own: what they run, move or train is not what the next one gets.
    Two threads that miss the same graph at once both build it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[Hashable, LineGraph] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, build: Callable[[], LineGraph]) -> LineGraph:
        """The graph under `key`, which `build` makes where it isn't kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
        if kept is not None:
            return copy.deepcopy(kept)
        graph = build()
        if _weight_bytes(graph) <= self.limit:
            kept = copy.deepcopy(graph)
            with self._lock:
                self._kept[key] = kept
                while sum(map(_weight_bytes, self._kept.values())) > self.limit:
                    self._kept.popitem(last=False)
        return graph


def _weight_bytes(graph: LineGraph) -> int:
    return sum(t.nbytes for module in graph.modules() for t in [*module.parameters(), *module.buffers()])
