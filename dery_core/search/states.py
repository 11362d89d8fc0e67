"""`States`: what of the blocks chosen so far decides which may come next, stage by stage.

A candidate is a path through K layers. Beside the last model its state has a mode: whether all
blocks are one model's so far (where hybrids need two), which sets are filled (where sets aren't
stages) and which required models are in. Numbers of sources beyond that aren't states but looked
at when labels are extended.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dery_core.search.rules import Space

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Mode:
    alone: bool
    sets: int
    required: int


@dataclass(frozen=True, eq=False)
class States:
    """The layers of `space`.

    `start` (N,) is the mode after the first block, `after[k]` (M_k, N, N) the mode after stage k+1 for
    the mode after stage k, the model there and the next; -1 where that is forbidden. `end` (M, N)
    tells which states may be the last.
    """

    space: Space
    start: Ints
    after: tuple[Ints, ...]
    end: NDArray[np.bool_]

    @classmethod
    def of(cls, space: Space) -> "States":
        modes: dict[_Mode, int] = {}
        blocks = space.blocks
        start = np.full(blocks.shape[1], -1, np.int64)
        for i in np.flatnonzero(blocks[0]).tolist():
            mode = _Mode(space.min_models > 1, _set_bit(space, 0, i), _required_bit(space, i))
            start[i] = modes.setdefault(mode, len(modes))
        after = []
        for k in range(len(blocks) - 1):
            steps, modes = _layer(space, k, list(modes))
            after.append(steps)
        everything = (1 << len(space.required)) - 1
        done = [not mode.alone and mode.required == everything for mode in modes]
        return cls(space, start, tuple(after), np.repeat(np.array(done, bool)[:, None], len(start), axis=1))

    @cached_property
    def _targets(self) -> tuple[Ints, ...]:
        """`after` as places in the flattened next layer; forbidden ones point behind its end."""
        n = len(self.start)
        places = []
        for k, after in enumerate(self.after):
            modes = len(self.after[k + 1]) if k + 1 < len(self.after) else len(self.end)
            places.append(np.where(after < 0, modes * n, after * n + np.arange(n)))
        return tuple(places)

    def through(self, block: NDArray, pair: NDArray) -> tuple[Floats, tuple[Floats, ...], tuple[Floats, ...]]:
        """Smallest sums of paths: of the whole (N,) by first model; to go after stage k, (M_k, N), by
        state; and to go by state and next model, (M_k, N, N), that model's block included. inf where
        no path is."""
        to_go = [np.where(self.end, 0.0, np.inf)]
        steps: list[Floats] = []
        for k in reversed(range(len(self.after))):
            behind = np.append(to_go[0].ravel(), np.inf)
            steps.insert(0, behind[self._targets[k]] + (pair[k] + block[k + 1]))
            to_go.insert(0, steps[0].min(axis=2))
        whole = np.where(self.start < 0, np.inf, block[0] + to_go[0][self.start, np.arange(len(self.start))])
        return whole, tuple(to_go), tuple(steps)

    def ways(self) -> tuple[Floats, ...]:
        """How many ways lead on from every state to an end: (M_k, N), stage by stage."""
        counts = [self.end.astype(float)]
        for targets in reversed(self._targets):
            counts.insert(0, np.append(counts[0].ravel(), 0.0)[targets].sum(axis=2))
        return tuple(counts)

    def shortest(self, block: NDArray, pair: NDArray) -> tuple[int, ...] | None:
        """A path of the smallest sum; None where there is none. Counts of sources are not looked at."""
        whole, _, steps = self.through(block, pair)
        path = [int(whole.argmin())]
        if not np.isfinite(whole[path[0]]):
            return None
        mode = self.start[path[0]]
        for k, step in enumerate(steps):
            path.append(int(step[mode, path[-1]].argmin()))
            mode = self.after[k][mode, path[-2], path[-1]]
        return tuple(path)


def _layer(space: Space, k: int, modes: list[_Mode]) -> tuple[Ints, dict[_Mode, int]]:
    n = space.blocks.shape[1]
    steps, following = np.full((len(modes), n, n), -1, np.int64), dict[_Mode, int]()
    for m, mode in enumerate(modes):
        for j in np.flatnonzero(space.blocks[k + 1]).tolist():
            bit = _set_bit(space, k + 1, j)
            if mode.sets & bit:
                continue
            sets, required = mode.sets | bit, mode.required | _required_bit(space, j)
            mixed = _Mode(False, sets, required)
            steps[m, :, j] = following.setdefault(mixed, len(following))
            if mode.alone:
                alone = _Mode(True, sets, required)
                steps[m, j, j] = following.setdefault(alone, len(following))
        steps[m][~space.pairs[k]] = -1
    return steps, following


def _set_bit(space: Space, k: int, i: int) -> int:
    return 1 << int(space.candidates.set_of[k, i]) if space.free_sets else 0


def _required_bit(space: Space, i: int) -> int:
    return 1 << space.required.index(i) if i in space.required else 0
