"""Best-first branch and bound, for whatever the nodes are."""

import heapq
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from dery_core.partition.solution import Trace, thinned
from dery_core.progress import ProgressFn, Ticker

TOLERANCE = 1e-6  # a branch is closed when it can't beat the incumbent by more

Node = TypeVar("Node")


class BranchAndBound(ABC, Generic[Node]):
    """Keeps the objective of the best solution found and the bound on what is left.

    A subclass explores nodes: it lowers their bound, raises `objective`, says with `drop` what it
    leaves out, calls `step` after every step and `alive` amid long ones.
    """

    def __init__(self, max_seconds: float, report: ProgressFn) -> None:
        self.deadline = time.monotonic() + max_seconds
        self.objective = self._closed = -float("inf")
        self._above = self._rest = self._bound = float("inf")
        self._trace: list[tuple[float, float]] = []
        self._tick = Ticker("Partition", 1, "nodes", report)

    @abstractmethod
    def explore(self, node: Node, above: float) -> tuple[float, Sequence[Node]]:
        """The node's bound, at most `above`, and the nodes that hold all solutions in it which may beat
        the incumbent: none when it is settled."""

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() > self.deadline

    @property
    def nodes(self) -> int:
        return self._tick.done

    @property
    def upper_bound(self) -> float:
        return max(self._bound, self.objective)

    @property
    def trace(self) -> Trace:
        return thinned(self._trace)

    def closes(self, bound: float) -> bool:
        """Whether solutions up to `bound` needn't be looked for; they are dropped if so."""
        if bound > self.objective + TOLERANCE:
            return False
        self._closed = max(self._closed, bound)
        return True

    def alive(self) -> None:
        """Report that the step in hand goes on: whoever wants it cancelled can only say so then."""
        self._tick(0)

    def step(self, bound: float) -> None:
        """Note how things stand when the node in hand has this bound."""
        self._bound = min(self._bound, max(bound, self._rest, self._closed))
        self._trace.append((self.objective, self.upper_bound))
        gap = 100 * (1 - self.objective / self.upper_bound)
        self._tick(0, f"best {self.objective:.4f}, bound {self.upper_bound:.4f}, gap {gap:.3f} %")

    def search(self, root: Node, above: float, max_nodes: int) -> None:
        """Explore `root`, which no solution is better than `above` in, until all is settled or a limit
        runs out; the root's own steps are always begun."""
        order = itertools.count()
        heap = [(-above, next(order), root)]
        while heap and (self.nodes == 0 or (self.nodes < max_nodes and not self.out_of_time)):
            above, _, node = heapq.heappop(heap)
            above = -above
            if self.closes(above):
                continue
            self._rest = -heap[0][0] if heap else -float("inf")
            bound, parts = self.explore(node, above)
            for part in parts:
                heapq.heappush(heap, (-bound, next(order), part))
            self._tick.total = self.nodes + 1 + len(heap)
            self._tick()
        self._rest = -heap[0][0] if heap else -float("inf")
        self.step(-float("inf"))
