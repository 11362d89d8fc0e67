"""Reassembly as the paper's 0-1 program (eq. 8 to 11), solved by python-mip with HiGHS.

x[k, i] = 1 when stage k is model i's block; t[k, i, j] = 1 when stage k is model i's and stage k+1
model j's. Seams and head are priced inside the budget, which is why the transitions are needed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from operator import itemgetter
from typing import Any, Literal

import numpy as np

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.terms import Terms
from dery_core.reassembly.value import Budget, Choice
from dery_core.search.linear import LinearScore
from dery_core.search.order import Extremes, check_min_models, infeasible
from dery_core.search.pruning import Limit, Search, surviving

# HiGHS keeps rows to within 1e-6. At this largest coefficient that is the last unit of some ten
# billion; what slips through all the same is caught by exact arithmetic afterwards.
_ROW_SCALE = 1e4
_OBJECTIVE_SCALE = 1e6

Variables = Mapping[Any, Any]


class Program:
    """The 0-1 program of one set of candidates, for any number of budgets. Safe to share by threads."""

    def __init__(
        self, candidates: Candidates, linear: LinearScore | None = None, min_models: int = 2
    ) -> None:
        check_min_models(candidates, min_models)
        self.candidates, self.linear, self.min_models = candidates, linear, min_models

    def best(self, budget: Budget, top: int = 1) -> list[Choice]:
        """The `top` best candidates within `budget`, best first (see `search`), or as many as there are.

        DeryError that names the smallest hybrids when there is none.
        """
        if self.linear is None:
            raise ValueError("a program without scores has no best candidate")
        found = list(islice(self._ordered(-self.linear.terms, self._limits(budget)), top))
        if not found:
            raise infeasible(budget, self.min_models, self.smallest)
        return [self._choice(choice) for choice in found]

    def smallest(self, measure: Literal["params", "macs"], budget: Budget) -> Choice | None:
        """A candidate with the fewest params or MACs within `budget`; None when there is none."""
        terms = self.candidates.params if measure == "params" else self.candidates.macs
        found = self._solve(terms, self._limits(budget))
        return None if found is None else self._choice(found)

    def extremes(self) -> Extremes:
        """Smallest and largest params and MACs of any candidate; DeryError when there is none."""
        ends: list[int] = []
        for terms in (self.candidates.params, self.candidates.macs):
            for objective in (terms, -terms):
                found = self._solve(objective, ())
                if found is None:
                    raise infeasible(Budget(), self.min_models, self.smallest)
                ends.append(terms.at(found))
        return Extremes(*ends)

    def _choice(self, choice: tuple[int, ...]) -> Choice:
        predicted = 0.0 if self.linear is None else self.linear.predict(choice)
        return Choice(choice, *self.candidates.cost(choice), predicted)

    def _limits(self, budget: Budget) -> tuple[Limit, ...]:
        """Eq. 9."""
        limits = ((self.candidates.params, budget.max_params), (self.candidates.macs, budget.max_macs))
        return tuple(Limit(terms, most) for terms, most in limits if most is not None)

    def _ordered(self, loss: Terms, limits: tuple[Limit, ...]) -> Iterator[tuple[int, ...]]:
        """Candidates best first. One is given out once no other is known to lose as little."""
        banned: list[tuple[int, ...]] = []
        while (best := self._solve(loss, limits, banned)) is not None:
            least = Limit(loss, loss.at(best))
            tied = self._solve(loss, (*limits, least), [*banned, best]) is not None
            for choice in self._level((*limits, least), banned) if tied else iter([best]):
                banned.append(choice)
                yield choice

    def _level(self, limits: tuple[Limit, ...], banned: list[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
        """All candidates within `limits`: fewer MACs first, then fewer params, then by choice."""
        banned = list(banned)
        while (choice := self._solve(self.candidates.macs, limits, banned)) is not None:
            within = limits
            for terms in (self.candidates.macs, self.candidates.params, *self._digits()):
                found = self._solve(terms, within, banned)
                assert found is not None
                choice = found
                within = (*within, Limit(terms, terms.at(choice)))
            banned.append(choice)
            yield choice

    def _digits(self) -> Iterator[Terms]:
        """The choice's indices, one stage after the other, as objectives."""
        nothing = self.candidates.params.block * 0, self.candidates.params.pair * 0
        for stage in range(self.candidates.k):
            block = nothing[0].copy()
            block[stage] = np.arange(len(self.candidates.models))
            yield Terms(block, nothing[1])

    def _solve(
        self, objective: Terms, limits: tuple[Limit, ...], banned: list[tuple[int, ...]] | None = None
    ) -> tuple[int, ...] | None:
        """The choice within `limits` that minimises `objective`, banned ones left out; None without one."""
        banned = list(banned or [])
        everything = np.ones(objective.block.shape, bool)
        while True:
            search = Search(self.candidates, self.min_models, objective, limits, tuple(banned), everything)
            found = _optimum(search)
            if found is None or search.feasible(np.array([found], np.int64))[0]:
                return found
            # A limit broken within the solver's tolerance.
            banned.append(found)


def _optimum(search: Search) -> tuple[int, ...] | None:
    """Solve the 0-1 program over the blocks and transitions that may be in an optimum."""
    blocks, pairs = surviving(search)
    if not blocks.any():
        return None
    mip = _mip()
    model = mip.Model(sense=mip.MINIMIZE, solver_name=mip.HIGHS)
    model.verbose = 0
    x = {(k, i): model.add_var(var_type=mip.BINARY) for k, i in np.argwhere(blocks).tolist()}
    t = {(k, i, j): model.add_var(ub=1) for k, i, j in np.argwhere(pairs).tolist()}
    for row in (*_stages_and_sets(search, x), *_flow(x, t), *_sources(search, x, model)):
        model.add_constr(row)
    for limit in search.limits:
        value, scale = _value(limit.terms, x, t, _ROW_SCALE)
        # Half a unit is room for rounding.
        model.add_constr(value <= (limit.most + 0.5) * scale)
    for choice in search.banned:
        chosen = [x[block] for block in enumerate(choice) if block in x]
        model.add_constr(mip.xsum(chosen) <= len(choice) - 1)
    model.objective, scale = _value(search.objective, x, t, _OBJECTIVE_SCALE)
    # Values are whole numbers, so half a unit proves the optimum.
    model.max_mip_gap, model.max_mip_gap_abs = 0.0, 0.5 * scale
    status = model.optimize()
    if status in (mip.OptimizationStatus.INFEASIBLE, mip.OptimizationStatus.UNBOUNDED):
        # All variables are bounded, so "unbounded or infeasible" can only be the latter.
        return None
    if status != mip.OptimizationStatus.OPTIMAL:
        raise RuntimeError(f"HiGHS stopped with status {status.name}")
    return tuple(i for (_, i), variable in sorted(x.items(), key=itemgetter(0)) if variable.x > 0.5)


def _stages_and_sets(search: Search, x: Variables) -> Iterator[Any]:
    """Eq. 11, one block a stage, and eq. 10, one block a set."""
    set_of = search.candidates.set_of
    for k in range(len(set_of)):
        yield _sum(variable for (stage, _), variable in x.items() if stage == k) == 1
        # Where set k is stage k the second says nothing new.
        if not ((set_of == k) == (np.arange(len(set_of)) == k)[:, None]).all():
            yield _sum(variable for block, variable in x.items() if set_of[block] == k) == 1


def _flow(x: Variables, t: Variables) -> Iterator[Any]:
    """A transition into and out of every chosen block."""
    out, into = defaultdict(list), defaultdict(list)
    for (k, i, j), arc in t.items():
        out[k, i].append(arc)
        into[k + 1, j].append(arc)
    for arcs in (out, into):
        for block, through in arcs.items():
            yield _sum(through) == x[block]


def _sources(search: Search, x: Variables, model: Any) -> Iterator[Any]:
    """Blocks of at least `min_models` models."""
    if search.min_models == 1:
        return
    used = []
    for model_index in sorted({i for _, i in x}):
        blocks = _sum(variable for (_, i), variable in x.items() if i == model_index)
        yield blocks <= len(search.blocks) - search.min_models + 1
        used.append(model.add_var(ub=1))
        yield used[-1] <= blocks
    yield _sum(used) >= search.min_models


def _value(terms: Terms, x: Variables, t: Variables, largest: float) -> tuple[Any, float]:
    """`terms` of the variables, scaled so that no coefficient exceeds `largest`; and the scale."""
    weighted = [(int(terms.block[block]), variable) for block, variable in x.items()]
    weighted += [(int(terms.pair[arc]), variable) for arc, variable in t.items()]
    scale = min(1.0, largest / max(max(abs(weight) for weight, _ in weighted), 1))
    return _sum(weight * scale * variable for weight, variable in weighted if weight), scale


def _sum(terms: Iterable[Any]) -> Any:
    return _mip().xsum(terms)


def _mip() -> Any:
    try:
        import mip
    except ImportError as error:
        raise DeryError(
            "reassembly needs python-mip with HiGHS: install it with pip install 'mip[highs]'."
        ) from error
    return mip
