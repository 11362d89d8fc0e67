"""The best candidates where bounds don't tell beginnings apart: two halves, joined by value.

Where the score is itself a sum that a limit bounds (as when more params are better), nearly all
beginnings promise the same. Then all second halves are listed once, in order of value, and for
each first half those are looked up that come to a value between what is proved and what is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dery_core.search.labels import Extender, Labels
from dery_core.search.states import Ints

_MOST_HALVES = 4_000_000
_MOST_JOINED = 500_000
_MOST_WINDOWS = 40


@dataclass(frozen=True, eq=False)
class Halves:
    """Second halves (R,): what may follow the stage `at` in every state, in order of state and one cost.

    `key` is that order as one number, `span` the numbers a state takes, `costs` (3, R).
    """

    at: int
    choices: Ints
    costs: Ints
    key: Ints
    low: int
    span: int
    models: int

    @classmethod
    def of(cls, extender: Extender, cost: int) -> "Halves | None":
        """None where there are too many."""
        k, n = extender.space.candidates.k, len(extender.states.start)
        at = (k - 1) // 2
        states = np.argwhere(extender.states.after[at].max(axis=2) >= 0)
        if len(states) * n ** (k - 1 - at) > _MOST_HALVES:
            return None
        costs = np.zeros((3, len(states)), np.int64)
        mode, last = states.T
        origin = mode * n + last
        choices = np.zeros((len(states), 0), np.int64)
        for stage in range(at, k - 1):
            after = extender.states.after[stage][mode, last]
            rows, came = np.nonzero(after >= 0)
            costs = costs[:, rows] + extender.block[:, stage + 1, came]
            costs += extender.pair[:, stage, last[rows], came]
            choices = np.concatenate([choices[rows], came[:, None]], axis=1)
            mode, last, origin = after[rows, came], came, origin[rows]
        ended = extender.states.end[mode, last]
        costs, choices, origin = costs[:, ended], choices[ended], origin[ended]
        low = int(costs[cost].min()) if len(origin) else 0
        span = int(np.ptp(costs[cost])) + 2 if len(origin) else 2
        key = origin * span + costs[cost] - low
        order = np.argsort(key, kind="stable")
        return cls(at, choices[order], costs[:, order], key[order], low, span, n)

    def places(self, firsts: Labels, cost: int, most: int) -> Ints:
        """For each of `firsts` (S,): behind the last second half with which `cost` is at most `most`."""
        left = np.clip(most - firsts.costs[cost] - self.low, -1, self.span - 2)
        return np.searchsorted(self.key, self.state(firsts) * self.span + left, side="right")

    def state(self, firsts: Labels) -> Ints:
        return firsts.mode * self.models + firsts.last


def joined(halves: Halves, firsts: Labels, cost: int, low: int, high: int) -> Iterator[Labels | None]:
    """All that `firsts` come to with second halves, window by window of `cost` from `low` to `high`.

    None, and an end, when too many come to one value, or there are too many windows.
    """
    begin = halves.places(firsts, cost, low - 1)
    for _ in range(_MOST_WINDOWS):
        if low > high:
            return
        upto, end = high, halves.places(firsts, cost, high)
        if (end - begin).sum() > _MOST_JOINED:
            upto, end = low, halves.places(firsts, cost, low)
            if (end - begin).sum() > _MOST_JOINED:
                yield None
                return
            while True:
                wider = 2 * upto - low + 1
                further = halves.places(firsts, cost, wider)
                if (further - begin).sum() > _MOST_JOINED:
                    break
                upto, end = wider, further
        yield _joined(halves, firsts, begin, end)
        begin, low = end, upto + 1
    yield None


def _joined(halves: Halves, firsts: Labels, begin: Ints, end: Ints) -> Labels:
    counts = end - begin
    rows = np.repeat(np.arange(len(counts)), counts)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + begin[rows]
    choices = np.concatenate([firsts.choices[rows], halves.choices[places]], axis=1)
    costs = firsts.costs[:, rows] + halves.costs[:, places]
    return Labels(choices, np.zeros(len(rows), np.int64), costs, firsts.used[rows])
