"""Answers by searching layers of blocks: what a linear score allows, however many candidates there are."""

import math
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import product
from threading import RLock

import numpy as np

from dery_core.reassembly.terms import Terms
from dery_core.reassembly.value import Budget
from dery_core.search.answers import Extremes
from dery_core.search.draw import count, draw
from dery_core.search.front import front
from dery_core.search.labels import Labels
from dery_core.search.linear import LinearScore
from dery_core.search.paths import MACS, PARAMS, SCORE, Aim, Cap, Paths
from dery_core.search.rules import Space
from dery_core.search.states import States
from dery_core.search.table import Table, excess, widened

_GRID = 10
"""Limits a side at which a front is sampled that is too large to be found whole."""

_COSTS = {"params": PARAMS, "macs": MACS}


class Layered:
    """The candidates that keep the rules of `space`, whatever the budget.

    Once the front is asked for, later questions about budgets without minima are looked up in it:
    the best within limits is always a point of the front.
    """

    def __init__(self, space: Space, linear: LinearScore) -> None:
        terms: tuple[Terms, ...] = (-linear.terms, space.candidates.macs, space.candidates.params)
        self.paths = Paths(States.of(space), terms)
        self._lock = RLock()
        self._front: Table | None = None
        self._front_fails = False
        self.count = lru_cache(maxsize=256)(self._count)

    def best(self, budget: Budget, top: int) -> Table:
        if top == 1 and self._front is not None and not _has_minima(budget):
            return self._front.best(budget, 1)
        return _table(self.paths.best(Aim(SCORE), caps(budget), top))

    def front(self, budget: Budget) -> tuple[Table, bool]:
        """Points of the front, and whether they are all."""
        whole = self._whole_front()
        limits = self._binding(budget)
        if whole is not None and not (limits and _has_minima(budget)):
            return whole.front(budget), True
        if limits and (found := front(self.paths, limits)) is not None:
            return _table(found), True
        return self._sampled_front(budget), False

    def _whole_front(self) -> Table | None:
        """The front without a budget; None when it is too large. Searched for once."""
        with self._lock:
            if self._front is None and not self._front_fails:
                found = front(self.paths)
                self._front = None if found is None else _table(found)
                self._front_fails = found is None
            return self._front

    def _sampled_front(self, budget: Budget) -> Table:
        """The best within each budget of a grid: points of the front, though not all."""
        ends = self.extremes()
        assert ends is not None
        most_params = min(ends.max_params, budget.limits.get("max_params", ends.max_params))
        most_macs = min(ends.max_macs, budget.limits.get("max_macs", ends.max_macs))
        found = []
        for params, macs in product(
            np.linspace(most_params, ends.min_params, _GRID), np.linspace(most_macs, ends.min_macs, _GRID)
        ):
            within = Budget(math.floor(params), math.floor(macs), budget.min_params, budget.min_macs)
            found.append(self.best(within, 1))
        return Table.joined(found).front(Budget())

    @cached_property
    def _ends(self) -> Extremes | None:
        found = [_table(self.paths.best(Aim(cost, sign), [])) for cost in (PARAMS, MACS) for sign in (1, -1)]
        if not all(map(len, found)):
            return None
        params, macs = [int(each.params[0]) for each in found], [int(each.macs[0]) for each in found]
        return Extremes(params[0], params[1], macs[2], macs[3])

    def extremes(self) -> Extremes | None:
        return self._ends

    def least_excess(self, budget: Budget) -> Fraction | None:
        """See `Table.least_excess`; None when there is no candidate."""
        if self.extremes() is None:
            return None
        if not _has_minima(budget):
            sizes = self._front if self._front is not None else self._sizes
            if sizes is not None:
                return sizes.least_excess(budget)
        return self._bisected_excess(budget)

    @cached_property
    def _sizes(self) -> Table | None:
        """The front of params and MACs alone."""
        found = front(self.paths, cost=MACS)
        return None if found is None else _table(found)

    def _bisected_excess(self, budget: Budget) -> Fraction:
        def met(limits: Budget) -> Fraction | None:
            found = self.best(limits, 1)
            return excess(budget, int(found.params[0]), int(found.macs[0])) if len(found) else None

        low, high = Fraction(0), met(Budget())
        assert high is not None
        while high > 0 and (less := met(_tighter(budget, high))) is not None:
            # The next smaller excess there is, or halfway, whichever is smaller.
            high = less
            middle = (low + high) / 2
            halfway = met(widened(budget, middle))
            if halfway is None:
                low = middle
            else:
                high = halfway
        return high

    def cheapest(self, budget: Budget, limit: str, above: float) -> int | None:
        """See `Table.cheapest`."""
        if self._front is not None and not _has_minima(budget):
            return self._front.cheapest(budget, limit, above)
        sign, cost = (1 if limit.startswith("max") else -1), _COSTS[limit[4:]]
        better = Cap(SCORE, 1, -int(above) - 1)
        found = self.paths.best(Aim(cost, sign), [*caps(budget), better])
        return int(found.costs[cost, 0]) if len(found) else None

    def prices(self, budget: Budget) -> dict[str, float]:
        """The dual of the linear relaxation, in quanta."""
        found = self.paths.prices(Aim(SCORE), caps(budget))
        return dict(zip(budget.limits, found.of_caps.tolist(), strict=True))

    def draw(self, budget: Budget, random: np.random.Generator) -> Table:
        return _table(draw(self.paths, caps(budget), random))

    def _count(self, budget: Budget) -> int | None:
        return count(self.paths, self._binding(budget))

    def _binding(self, budget: Budget) -> list[Cap]:
        """The limits of `budget` that forbid something."""
        ends = self.extremes()
        if ends is None:
            return caps(budget)
        costs = {PARAMS: (ends.min_params, ends.max_params), MACS: (ends.min_macs, ends.max_macs)}
        return [cap for cap in caps(budget) if max(cap.sign * end for end in costs[cap.cost]) > cap.most]


def caps(budget: Budget) -> list[Cap]:
    """The limits of `budget`, in its order."""
    found = []
    for limit, value in budget.limits.items():
        sign = 1 if limit.startswith("max") else -1
        found.append(Cap(_COSTS[limit[4:]], sign, sign * value))
    return found


def _has_minima(budget: Budget) -> bool:
    return budget.min_params is not None or budget.min_macs is not None


def _tighter(budget: Budget, share: Fraction) -> Budget:
    """`budget` with every limit given way by as much as is still less than `share` of itself."""
    limits = {}
    for limit, value in budget.limits.items():
        sign = 1 if limit.startswith("max") else -1
        limits[limit] = value + sign * (math.ceil(share * max(value, 1)) - 1)
    return Budget(**limits)


def _table(labels: Labels) -> Table:
    """Labels as a table: best first."""
    return Table.of(labels.choices, labels.costs[PARAMS], labels.costs[MACS], -labels.costs[SCORE])
