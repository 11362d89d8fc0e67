"""`Finder`: the best hybrids under rules, the whole front, and what to do when nothing fits."""

from dataclasses import replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.value import Budget, Choice
from dery_core.search.answers import Extremes, Front, Gain, Nearest
from dery_core.search.infeasible import too_small, too_strict
from dery_core.search.layered import Layered
from dery_core.search.listed import Listed
from dery_core.search.objective import MeasuredScore, Objective
from dery_core.search.rules import Rules, space
from dery_core.search.table import Table, clamped, containing, excess, widened

_KEPT = 4
"""Sets of rules that a finder remembers what it knows about."""


class Finder:
    """Answers for one set of candidates and one score, for any rules. Safe to share by threads.

    Best means: higher score, then fewer MACs, then fewer params, then the lexicographically smaller
    choice. What is known about the last few rules is kept for every budget: after `front(rules)` the best
    hybrid and the gains within another budget are looked up, if it has no minima. Every method raises
    a DeryError of one sentence for rules that contradict themselves.
    """

    def __init__(self, candidates: Candidates, objective: Objective) -> None:
        self.candidates, self.objective = candidates, objective
        self._lock = Lock()
        self._searches: dict[Rules, Listed | Layered] = {}

    def best(self, rules: Rules, top: int = 1) -> list[Choice]:
        """The `top` best candidates under `rules`, best first, or as many as there are.

        DeryError that names the nearest feasible budget, or the rule that is too strict, when there
        is none.
        """
        found = self._search(rules).best(clamped(rules.budget), top)
        if not len(found):
            raise self._infeasible(rules)
        return self._choices(found)

    def front(self, rules: Rules) -> Front:
        """All trade-offs under `rules`, budget included; DeryError when nothing fits."""
        self.best(rules)
        found, complete = self._search(rules).front(clamped(rules.budget))
        found = found[np.lexsort((-found.score, found.params, found.macs))]
        return Front(found.choices, found.params, found.macs, self._scores(found.score), complete)

    def extremes(self, rules: Rules) -> Extremes:
        """Smallest and largest params and MACs under `rules`, their budget left out."""
        found = self._search(rules).extremes()
        if found is None:
            raise self._infeasible(rules)
        return found

    def nearest(self, rules: Rules) -> Nearest | None:
        """The feasible budget nearest to that of `rules`; None when they allow no hybrid of any size."""
        search, budget = self._search(rules), clamped(rules.budget)
        share = search.least_excess(budget)
        if share is None:
            return None
        (choice,) = self._choices(search.best(widened(budget, share), 1))
        share = excess(rules.budget, choice.params, choice.macs)
        return Nearest(float(share), containing(rules.budget, choice.params, choice.macs), choice)

    def gains(self, rules: Rules, choice: Choice, within: float = 0.10) -> tuple[Gain, ...]:
        """What each limit of `rules`, moved by at most `within` of itself, would buy beyond `choice`."""
        search, budget = self._search(rules), clamped(rules.budget)
        above, prices = self._exact(choice), search.prices(budget)
        gains = []
        for limit, now in budget.limits.items():
            furthest = now + int(within * now) if limit.startswith("max") else now - int(within * now)
            to = search.cheapest(replace(budget, **{limit: furthest}), limit, above)
            better = None
            if to is not None:
                (better,) = self._choices(search.best(replace(budget, **{limit: to}), 1))
            gains.append(Gain(limit, rules.budget.limits[limit], to, better, prices[limit] * self._unit))
        return tuple(gains)

    def surprise(self, rules: Rules, seed: int = 0) -> Choice:
        """A hybrid that keeps `rules`, every one as likely as every other; DeryError when none does."""
        self.best(rules)
        return self._choices(self._search(rules).draw(clamped(rules.budget), np.random.default_rng(seed)))[0]

    def count(self, rules: Rules) -> int | None:
        """How many candidates keep `rules`; None when they are too many to be counted quickly."""
        return self._search(rules).count(clamped(rules.budget))

    def _search(self, rules: Rules) -> Listed | Layered:
        here = space(self.candidates, rules)
        with self._lock:
            found = self._searches.pop(rules.unlimited, None)
            if found is None:
                found = (
                    Listed(here, self.objective)
                    if isinstance(self.objective, MeasuredScore)
                    else Layered(here, self.objective)
                )
            # The last one asked stands last, and the first goes: each may hold hundreds of megabytes.
            self._searches[rules.unlimited] = found
            if len(self._searches) > _KEPT:
                del self._searches[next(iter(self._searches))]
            return found

    @property
    def _unit(self) -> float:
        """What 1 in a table's scores is."""
        return 1.0 if isinstance(self.objective, MeasuredScore) else self.objective.quantum

    def _exact(self, choice: Choice) -> float:
        """The score as tables have it."""
        if isinstance(self.objective, MeasuredScore):
            return self.objective.of(choice.choice)
        return self.objective.terms.at(choice.choice)

    def _scores(self, values: NDArray) -> NDArray[np.float64]:
        if isinstance(self.objective, MeasuredScore):
            return values
        return self.objective.intercept + values * self.objective.quantum

    def _choices(self, table: Table) -> list[Choice]:
        measured = isinstance(self.objective, MeasuredScore)
        rows = zip(
            table.choices.tolist(),
            table.params.tolist(),
            table.macs.tolist(),
            self._scores(table.score).tolist(),
            strict=True,
        )
        return [
            Choice(tuple(choice), params, macs, score, score if measured else None)
            for choice, params, macs, score in rows
        ]

    def _infeasible(self, rules: Rules) -> DeryError:
        if (nearest := self.nearest(rules)) is not None:
            return too_small(rules, nearest.choice.params, nearest.choice.macs)
        return too_strict(rules, self._possible)

    def _possible(self, rules: Rules) -> bool:
        try:
            return len(self._search(rules).best(Budget(), 1)) > 0
        except DeryError:
            return False
