"""What every solver of the partition problem gives, and what it may be given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dery_core.partition.problem import Problem
from dery_core.partition.value import TRACE_LENGTH
from dery_core.partition.windows import Floats, Ints

Trace = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Solution:
    """`segments[i, k]` (N, K) is a position in the problem's stage k; `anchors[j]` is one in stage
    `homes[j]`, which is j in the staged variant. `trace` holds (objective, bound) after each step."""

    anchors: tuple[int, ...]
    segments: Ints
    objective: float
    upper_bound: float
    nodes: int = 0
    homes: tuple[int, ...] = ()
    trace: Trace = ()

    def __post_init__(self) -> None:
        if not self.homes:
            object.__setattr__(self, "homes", tuple(range(len(self.anchors))))


def placed(problem: Problem, anchors: Ints, cuts: Ints, objective: float) -> Solution:
    """A solution given by rows, the anchors' (K, 2) starts and ends and all models' cuts (N, K + 1), as
    positions in the problem's stages. The anchors must be among the blocks."""
    k = problem.k
    segments = np.stack([problem.position(j, cuts[:, j], cuts[:, j + 1]) for j in range(k)], axis=1)
    own = cuts[problem.owner(anchors[:, 0])]
    homes = (own[:, :-1] == anchors[:, :1]).argmax(axis=1)
    positions = segments[problem.owner(anchors[:, 0]), homes]
    return Solution(tuple(positions.tolist()), segments, objective, np.inf, homes=tuple(homes.tolist()))


def likeness(problem: Problem, cuts: Ints, anchors: Ints) -> Floats:
    """S of every block with every anchor (N, K, K), given rows: all cuts (N, K + 1), anchors (K, 2)."""
    sim = problem.similarity
    return sim[cuts[:, :-1, None], anchors[:, 0]] + sim[cuts[:, 1:, None], anchors[:, 1]]


def free_sets(problem: Problem, cuts: Ints, anchors: Ints) -> Ints:
    """The set of every block (N, K) in the free variant: that of the anchor which it is most like. An
    anchor among the blocks is in its own set, however many others are just like it."""
    own = (cuts[:, :-1, None] == anchors[:, 0]) & (cuts[:, 1:, None] == anchors[:, 1])
    return np.where(own, np.inf, likeness(problem, cuts, anchors)).argmax(axis=2)


class Warm(NamedTuple):
    """Where a solution is thought to be: `cuts` (N, K + 1) are rows that needn't be whole, `sets` (N, K)
    what set each block is in, -1 where there's no telling."""

    cuts: Floats
    sets: Ints


def thinned(trace: Sequence[tuple[float, float]]) -> Trace:
    """At most TRACE_LENGTH points of a trace: its first, its last and some evenly between them."""
    step = max(1, -(-(len(trace) - 1) // (TRACE_LENGTH - 1)))
    return (*trace[:-1:step], *trace[-1:])
