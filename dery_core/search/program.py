"""Reassembly as the paper's 0-1 program (eq. 8 to 11), solved by python-mip: the yardstick of `Finder`.

x[k, i] = 1 when stage k is model i's block; t[k, i, j] = 1 when stage k is model i's and stage k+1
model j's. Seams and head are priced inside the budget, which is why the transitions are needed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, Literal

import numpy as np

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.terms import Terms
from dery_core.reassembly.value import Choice
from dery_core.search.linear import LinearScore
from dery_core.search.rules import Limit, Rules, Space, space

# Solvers keep rows to within 1e-6. At this largest coefficient that is the last unit of some ten
# billion; what slips through all the same is caught by exact arithmetic afterwards.
_ROW_SCALE = 1e4
_OBJECTIVE_SCALE = 1e6

Variables = Mapping[Any, Any]
Chosen = tuple[int, ...]


class Program:
    """The 0-1 program of one set of candidates, with all blocks and all rules as they are written.

    Slower than `Finder` and the same answers: each is the other's test. `seconds` bounds every solve;
    one that takes longer raises TimeoutError.
    """

    def __init__(
        self,
        candidates: Candidates,
        linear: LinearScore,
        backend: Literal["HIGHS", "CBC"] = "HIGHS",
        seconds: float | None = None,
    ) -> None:
        self.candidates, self.linear = candidates, linear
        self.backend, self.seconds = backend, seconds

    def best(self, rules: Rules, top: int = 1) -> list[Choice]:
        """The `top` best candidates under `rules`, best first (see `Finder`), or as many as there are."""
        here = space(self.candidates, rules)
        return [
            Choice(choice, *self.candidates.cost(choice), self.linear.predict(choice))
            for choice in islice(self._ordered(here), top)
        ]

    def _ordered(self, space: Space) -> Iterator[Chosen]:
        """Candidates best first. One is given out once no other is known to lose as little."""
        loss, banned = -self.linear.terms, list[Chosen]()
        while (best := self._solve(space, loss, space.limits, banned)) is not None:
            level = (*space.limits, Limit(loss, loss.at(best)))
            tied = self._solve(space, loss, level, [*banned, best]) is not None
            for choice in self._level(space, level, banned) if tied else iter([best]):
                banned.append(choice)
                yield choice

    def _level(self, space: Space, limits: tuple[Limit, ...], banned: list[Chosen]) -> Iterator[Chosen]:
        """All candidates within `limits`: fewer MACs first, then fewer params, then by choice."""
        banned = list(banned)
        while (choice := self._solve(space, self.candidates.macs, limits, banned)) is not None:
            within = limits
            for terms in (self.candidates.macs, self.candidates.params, *self._digits()):
                found = self._solve(space, terms, within, banned)
                assert found is not None
                choice = found
                within = (*within, Limit(terms, terms.at(choice)))
            banned.append(choice)
            yield choice

    def _digits(self) -> Iterator[Terms]:
        """The choice's indices, one stage after the other, as objectives."""
        for stage in range(self.candidates.k):
            block = np.zeros_like(self.candidates.params.block)
            block[stage] = np.arange(len(self.candidates.models))
            yield Terms(block, np.zeros_like(self.candidates.params.pair))

    def _solve(
        self, space: Space, objective: Terms, limits: tuple[Limit, ...], banned: Sequence[Chosen]
    ) -> Chosen | None:
        """The choice within `limits` that minimises `objective`, banned ones left out; None without one."""
        without = list(banned)
        while True:
            found = self._optimum(space, objective, limits, without)
            if found is None or _keeps(space, limits, found):
                return found
            # A limit broken within the solver's tolerance.
            without.append(found)

    def _optimum(
        self, space: Space, objective: Terms, limits: tuple[Limit, ...], banned: Sequence[Chosen]
    ) -> Chosen | None:
        mip = _mip()
        model = mip.Model(sense=mip.MINIMIZE, solver_name=self.backend)
        model.verbose, model.threads = 0, 1
        pairs = space.pairs & space.blocks[:-1, :, None] & space.blocks[1:, None, :]
        x = {(k, i): model.add_var(var_type=mip.BINARY) for k, i in np.argwhere(space.blocks).tolist()}
        t = {(k, i, j): model.add_var(ub=1) for k, i, j in np.argwhere(pairs).tolist()}
        for row in (*_stages_and_sets(space, x), *_flow(x, t), *_sources(space, x, model)):
            model.add_constr(row)
        for limit in limits:
            value, scale = _value(limit.terms, x, t, _ROW_SCALE)
            # Half a unit is room for rounding.
            model.add_constr(value <= (limit.most + 0.5) * scale)
        for choice in banned:
            model.add_constr(_sum(x[block] for block in enumerate(choice)) <= len(choice) - 1)
        model.objective, scale = _value(objective, x, t, _OBJECTIVE_SCALE)
        # Values are whole numbers, so half a unit proves the optimum.
        model.max_mip_gap, model.max_mip_gap_abs = 0.0, 0.5 * scale
        status = model.optimize() if self.seconds is None else model.optimize(max_seconds=self.seconds)
        if status in (mip.OptimizationStatus.INFEASIBLE, mip.OptimizationStatus.UNBOUNDED):
            # All variables are bounded, so "unbounded or infeasible" can only be the latter.
            return None
        if status == mip.OptimizationStatus.INT_INFEASIBLE:
            return None
        if status != mip.OptimizationStatus.OPTIMAL:
            raise TimeoutError(f"{self.backend} stopped with status {status.name}")
        return tuple(i for (_, i), variable in sorted(x.items(), key=itemgetter(0)) if variable.x > 0.5)


def _keeps(space: Space, limits: tuple[Limit, ...], choice: Chosen) -> bool:
    return bool(space.allowed(np.array([choice], np.int64))[0]) and all(
        limit.terms.at(choice) <= limit.most for limit in limits
    )


def _stages_and_sets(space: Space, x: Variables) -> Iterator[Any]:
    """Eq. 11, one block a stage, and eq. 10, one block a set."""
    set_of = space.candidates.set_of
    for k in range(len(set_of)):
        yield _sum(variable for (stage, _), variable in x.items() if stage == k) == 1
        # Where every set is its stage the second says nothing new.
        if space.free_sets:
            yield _sum(variable for block, variable in x.items() if set_of[block] == k) == 1


def _flow(x: Variables, t: Variables) -> Iterator[Any]:
    """A transition into and out of every chosen block."""
    out, into = defaultdict(list), defaultdict(list)
    for (k, i, j), arc in t.items():
        out[k, i].append(arc)
        into[k + 1, j].append(arc)
    last = max(k for k, _ in x)
    for (k, i), chosen in x.items():
        if k < last:
            yield _sum(out[k, i]) == chosen
        if k > 0:
            yield _sum(into[k, i]) == chosen


def _sources(space: Space, x: Variables, model: Any) -> Iterator[Any]:
    """Blocks of at least `min_models` and at most `max_models` models, the required ones among them."""
    blocks = defaultdict(list)
    for (_, i), variable in x.items():
        blocks[i].append(variable)
    for i in space.required:
        yield _sum(blocks[i]) >= 1
    if space.min_models > 1:
        taken = {i: model.add_var(ub=1) for i in blocks}
        for i, variables in blocks.items():
            yield taken[i] <= _sum(variables)
        yield _sum(taken.values()) >= space.min_models
    if space.max_models < space.candidates.k:
        open_ = {i: model.add_var(ub=1) for i in blocks}
        for i, variables in blocks.items():
            for variable in variables:
                yield variable <= open_[i]
        yield _sum(open_.values()) <= space.max_models


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
            "the 0-1 program needs python-mip with HiGHS: install it with pip install 'mip[highs]'."
        ) from error
    return mip
