"""`Finder`: the best hybrids under rules, the whole front, and what to do when nothing fits."""

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.terms import Choices
from dery_core.reassembly.value import Budget, Choice
from dery_core.search.linear import LinearScore
from dery_core.search.order import Extremes
from dery_core.search.rules import Rules, Space, space
from dery_core.search.table import Table, containing, excess, nondominated, widened

LIMITS = ("max_params", "max_macs", "min_params", "min_macs")
_MOST = 5_000_000


@dataclass(frozen=True, eq=False)
class MeasuredScore:
    """A score that is known exactly: `values` (S,) of `choices` (S, K).

    Candidates that aren't listed, and those of -inf, which can't be scored, are never chosen.
    """

    choices: Choices
    values: NDArray[np.float64]

    def of(self, choice: tuple[int, ...]) -> float:
        found = np.flatnonzero((self.choices == choice).all(axis=1))
        return float(self.values[found[0]]) if len(found) else -np.inf


Objective = LinearScore | MeasuredScore


@dataclass(frozen=True, eq=False)
class Front:
    """The Pareto front: no other candidate has as much score for as few params and MACs.

    `choices` (F, K), `params`, `macs` and `score` (F,), in order of MACs. Of equal candidates the
    lexicographically smallest stands. `complete` is False where the front is too large to be found
    whole: then these are points of it, each the best within some budget.
    """

    choices: Choices
    params: NDArray[np.int64]
    macs: NDArray[np.int64]
    score: NDArray[np.float64]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class Nearest:
    """The feasible budget that is nearest to one that isn't.

    `excess` is the smallest share by which limits must give way (0.1: ten percent), `choice` the best
    hybrid when all give way by it, `budget` the limits given way just as far as that hybrid needs.
    """

    excess: float
    budget: Budget
    choice: Choice


@dataclass(frozen=True)
class Gain:
    """What moving one limit would buy.

    `limit` is a field of `Budget` and `now` its value; `to` the smallest change that allows a better
    hybrid, `choice` the best one then, both None when none is near. `price` is what one more param or
    MAC is worth in score: the linear relaxation's dual.
    """

    limit: str
    now: int
    to: int | None
    choice: Choice | None
    price: float


class Finder:
    """Answers for one set of candidates and one score, for any rules. Safe to share by threads."""

    def __init__(self, candidates: Candidates, objective: Objective) -> None:
        self.candidates, self.objective = candidates, objective
        self._lock = Lock()
        self._tables: dict[Rules, Table] = {}

    def best(self, rules: Rules, top: int = 1) -> list[Choice]:
        """The `top` best candidates under `rules`, best first, or as many as there are.

        DeryError that names the nearest feasible budget when there is none.
        """
        table = self._table(space(self.candidates, rules))
        kept = table.within(rules.budget)[:top]
        if not len(kept):
            raise self._infeasible(rules)
        return [self._choice(table, i) for i in kept]

    def front(self, rules: Rules) -> Front:
        """All trade-offs under `rules`, budget included; DeryError when nothing fits."""
        table = self._table(space(self.candidates, rules))
        table = table[table.within(rules.budget)]
        if not len(table):
            raise self._infeasible(rules)
        table = table[nondominated(table.params, table.macs, table.score)]
        table = table[np.lexsort((-table.score, table.params, table.macs))]
        return Front(table.choices, table.params, table.macs, self._score(table.score))

    def extremes(self, rules: Rules) -> Extremes:
        """Smallest and largest params and MACs under `rules`, their budget left out."""
        table = self._table(space(self.candidates, rules.unlimited))
        if not len(table):
            raise self._infeasible(rules.unlimited)
        params, macs = table.params, table.macs
        return Extremes(*(int(end) for end in (params.min(), params.max(), macs.min(), macs.max())))

    def nearest(self, rules: Rules) -> Nearest | None:
        """The nearest feasible budget; None when the rules allow no hybrid under any budget."""
        table = self._table(space(self.candidates, rules))
        if not len(table):
            return None
        wide = widened(rules.budget, table.least_excess(rules.budget))
        choice = self._choice(table, table.within(wide)[0])
        share = float(excess(rules.budget, choice.params, choice.macs))
        return Nearest(share, containing(rules.budget, choice.params, choice.macs), choice)

    def gains(self, rules: Rules, choice: Choice, within: float = 0.10) -> tuple[Gain, ...]:
        """What each limit of `rules`, moved by at most `within` of itself, would buy beyond `choice`."""
        table = self._table(space(self.candidates, rules))
        better = table[table.score > self._value(choice)]
        found = []
        for limit in LIMITS:
            now = getattr(rules.budget, limit)
            if now is not None:
                found.append(self._gain(better, rules.budget, limit, now, within))
        return tuple(found)

    def _gain(self, better: Table, budget: Budget, limit: str, now: int, within: float) -> Gain:
        sign = 1 if limit.startswith("max") else -1
        furthest = now + sign * int(within * now)
        kept = better[better.within(replace(budget, **{limit: furthest}))]
        if not len(kept):
            return Gain(limit, now, None, None, 0.0)
        value = kept.params if limit.endswith("params") else kept.macs
        to = sign * int((sign * value).min())
        return Gain(limit, now, to, self._choice(kept, np.flatnonzero(value == to)[0]), 0.0)

    def surprise(self, rules: Rules, seed: int = 0) -> Choice:
        """A hybrid that keeps `rules`, every one as likely as every other; DeryError when none does."""
        table = self._table(space(self.candidates, rules))
        kept = table.within(rules.budget)
        if not len(kept):
            raise self._infeasible(rules)
        return self._choice(table, kept[np.random.default_rng(seed).integers(len(kept))])

    def count(self, rules: Rules) -> int:
        """How many candidates keep `rules`."""
        return len(self._table(space(self.candidates, rules)).within(rules.budget))

    def _table(self, space: Space) -> Table:
        key = space.rules.unlimited
        with self._lock:
            if key not in self._tables:
                self._tables[key] = self._listed(space)
            return self._tables[key]

    def _listed(self, space: Space) -> Table:
        if isinstance(self.objective, MeasuredScore):
            kept = np.isfinite(self.objective.values)
            choices, score = self.objective.choices[kept], np.asarray(self.objective.values[kept])
        else:
            if len(self.candidates.models) ** self.candidates.k > _MOST:
                raise DeryError("too many hybrids to list.")
            choices = self.candidates.every()
            score = self.objective.quanta(choices).astype(float)
        allowed = space.allowed(choices)
        choices, score = choices[allowed], score[allowed]
        params, macs = self.candidates.costs(choices)
        return Table.of(choices, params, macs, score)

    def _score(self, value: NDArray) -> NDArray[np.float64]:
        if isinstance(self.objective, MeasuredScore):
            return value
        return self.objective.intercept + value * self.objective.quantum

    def _value(self, choice: Choice) -> float:
        """The score in the table's units."""
        if isinstance(self.objective, MeasuredScore):
            return self.objective.of(choice.choice)
        return self.objective.terms.at(choice.choice)

    def _choice(self, table: Table, index: int) -> Choice:
        choice = tuple(table.choices[index].tolist())
        params, macs = int(table.params[index]), int(table.macs[index])
        score = float(self._score(table.score[index : index + 1])[0])
        return Choice(
            choice, params, macs, score, score if isinstance(self.objective, MeasuredScore) else None
        )

    def _infeasible(self, rules: Rules) -> DeryError:
        nearest = self.nearest(rules)
        if nearest is None:
            return DeryError("no hybrid keeps these rules under any budget: drop some of them.")
        choice = nearest.choice
        return DeryError(
            f"no hybrid fits in this budget: the nearest has {choice.params:,} params and "
            f"{choice.macs:,} MACs, so raise the budget to that."
        )
