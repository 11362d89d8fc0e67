"""Reassembly as the paper's 0-1 program (eq. 8 to 11), solved by python-mip with HiGHS.

x[k][i] = 1 when stage k is model i's block; t[k][i][j] = 1 when stage k is model i's and stage k+1
model j's. Seams and head are priced inside the budget, which is why the transitions are needed.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.linear import LinearScore
from dery_core.reassembly.search import Extremes, check_min_models, infeasible, quanta
from dery_core.reassembly.value import Budget, Choice

# HiGHS keeps a row to within 1e-6: rows scaled to this largest coefficient keep budgets of up to
# ten billion to the last unit, and what slips through is caught by exact arithmetic afterwards.
_ROW_SCALE = 1e4


class Program:
    """The 0-1 program of one set of candidates; `best` may be called for any number of budgets."""

    def __init__(
        self, candidates: Candidates, linear: LinearScore | None = None, min_models: int = 2
    ) -> None:
        check_min_models(candidates, min_models)
        mip = _mip()
        self._mip = mip
        self.candidates, self.linear, self.min_models = candidates, linear, min_models
        self._model = mip.Model(sense=mip.MINIMIZE, solver_name=mip.HIGHS)
        self._model.verbose = 0
        # Objectives are whole numbers, so half a unit proves the optimum.
        self._model.max_mip_gap, self._model.max_mip_gap_abs = 0.0, 0.5
        self._add_choice()
        block, seam = candidates.block_costs.copy(), candidates.seam_costs
        block[:, -1] += candidates.head_costs
        self._params = _Row(self, block[0], seam[0])
        self._macs = _Row(self, block[1], seam[1])
        self._loss: _Row | None = None
        if linear is not None:
            self._loss = _Row(self, -linear.block_terms, -linear.pair_terms)
        self._banned: list[Any] = []

    def _add_choice(self) -> None:
        """Variables; eq. 11 (one block a stage), eq. 10 (one a set), flow, source models."""
        mip, model = self._mip, self._model
        stages, models = range(self.candidates.k), range(len(self.candidates.models))
        self.x = [[model.add_var(var_type=mip.BINARY) for _ in models] for _ in stages]
        self.t = [[[model.add_var(ub=1) for _ in models] for _ in models] for _ in stages[1:]]
        for k in stages:
            model.add_constr(mip.xsum(self.x[k]) == 1)
        for members in self._other_sets():
            model.add_constr(mip.xsum(self.x[k][i] for k, i in members) == 1)
        for k, flow in enumerate(self.t):
            for i in models:
                model.add_constr(mip.xsum(flow[i]) == self.x[k][i])
                model.add_constr(mip.xsum(row[i] for row in flow) == self.x[k + 1][i])
        if self.min_models > 1:
            self._add_sources()

    def _other_sets(self) -> Iterator[list[tuple[int, int]]]:
        """Members (stage, model) of the sets that are not one whole stage."""
        for j in range(self.candidates.k):
            members = [(int(k), int(i)) for k, i in np.argwhere(self.candidates.set_of == j)]
            if {k for k, _ in members} != {members[0][0]} if members else True:
                yield members

    def _add_sources(self) -> None:
        """At least `min_models` models give a block."""
        mip, model = self._mip, self._model
        used = []
        for i in range(len(self.candidates.models)):
            blocks = mip.xsum(stage[i] for stage in self.x)
            model.add_constr(blocks <= self.candidates.k - self.min_models + 1)
            used.append(model.add_var(ub=1))
            model.add_constr(used[-1] <= blocks)
        model.add_constr(mip.xsum(used) >= self.min_models)

    def best(self, budget: Budget, top: int = 1) -> list[Choice]:
        """The `top` best candidates within `budget`, best first (see `search`), or as many as there are.

        DeryError that names the smallest hybrids when there is none.
        """
        found = list(islice(self._ordered(budget), top))
        self._free()
        if not found:
            raise infeasible(budget, self.min_models, self.smallest)
        return found

    def smallest(self, measure: Literal["params", "macs"], budget: Budget) -> Choice | None:
        """A candidate with the fewest params or MACs within `budget`; None when there is none."""
        found = self._solve(self._params if measure == "params" else self._macs, budget)
        self._free()
        return found

    def extremes(self) -> Extremes:
        """Smallest and largest params and MACs of any candidate; DeryError when there is none."""
        ends: list[int] = []
        for k, row in enumerate((self._params, self._macs)):
            for sign in (1, -1):
                found = self._solve(row, Budget(), sign)
                if found is None:
                    raise infeasible(Budget(), self.min_models, self.smallest)
                ends.append((found.params, found.macs)[k])
        return Extremes(*ends)

    def _ordered(self, budget: Budget) -> Iterator[Choice]:
        """Candidates best first. A solution is given out once the next one is known to score less."""
        assert self._loss is not None
        best = self._solve(self._loss, budget)
        while best is not None:
            self._ban(best)
            following = self._solve(self._loss, budget)
            if following is None or self._score(following) < self._score(best):
                yield best
                best = following
            else:
                self._free(keep=len(self._banned) - 1)
                yield from self._level(budget, self._score(best))
                best = self._solve(self._loss, budget)

    def _level(self, budget: Budget, score: int) -> Iterator[Choice]:
        """All candidates with exactly this score: fewer MACs first, then fewer params, then by choice."""
        assert self._loss is not None
        while True:
            self._loss.limit(-score)
            least = self._solve(self._macs, budget)
            if least is None:
                self._loss.limit(None)
                return
            least = self._solve(self._params, Budget(budget.max_params, least.macs))
            assert least is not None
            choice = self._first_choice(Budget(least.params, least.macs))
            self._loss.limit(None)
            self._ban(choice)
            yield choice

    def _first_choice(self, budget: Budget) -> Choice:
        """The lexicographically smallest choice that is left."""
        choice: Choice | None = None
        for k, stage in enumerate(self.x):
            order = self._mip.xsum(i * x for i, x in enumerate(stage))
            choice = self._solve_expression(order, budget)
            assert choice is not None
            stage[choice.choice[k]].lb = 1
        for x in (x for stage in self.x for x in stage):
            x.lb = 0
        assert choice is not None
        return choice

    def _score(self, choice: Choice) -> int:
        assert self.linear is not None
        return quanta(self.linear, choice.choice)

    def _solve(self, row: "_Row", budget: Budget, sign: int = 1) -> Choice | None:
        return self._solve_expression(sign * row.objective, budget)

    def _solve_expression(self, objective: Any, budget: Budget) -> Choice | None:
        """The candidate within `budget` that minimises `objective`, banned ones left out."""
        self._params.limit(budget.max_params)
        self._macs.limit(budget.max_macs)
        self._model.objective = objective
        while True:
            status = self._model.optimize()
            if status in (self._mip.OptimizationStatus.INFEASIBLE, self._mip.OptimizationStatus.UNBOUNDED):
                # All variables are bounded: "unbounded or infeasible" can only be the latter.
                return None
            if status != self._mip.OptimizationStatus.OPTIMAL:
                raise RuntimeError(f"HiGHS stopped with status {status.name}")
            choice = self._found()
            if budget.allows(choice.params, choice.macs):
                return choice
            self._ban(choice)

    def _found(self) -> Choice:
        choice = tuple(int(np.argmax([x.x for x in stage])) for stage in self.x)
        params, macs = self.candidates.cost(choice)
        predicted = 0.0 if self.linear is None else self.linear.predict(choice)
        return Choice(choice, params, macs, predicted)

    def _ban(self, choice: Choice) -> None:
        """No-good cut: not all of these blocks together."""
        chosen = [stage[i] for stage, i in zip(self.x, choice.choice, strict=True)]
        self._banned.append(self._model.add_constr(self._mip.xsum(chosen) <= self.candidates.k - 1))

    def _free(self, keep: int = 0) -> None:
        """Take back all but the first `keep` no-good cuts."""
        if self._banned[keep:]:
            self._model.remove(self._banned[keep:])
        del self._banned[keep:]


class _Row:
    """A linear quantity of the candidate: an objective, and a limit that can be moved."""

    def __init__(self, program: Program, block: NDArray[np.int64], pair: NDArray[np.int64]) -> None:
        terms = [
            *zip(block.ravel().tolist(), (x for stage in program.x for x in stage), strict=True),
            *zip(pair.ravel().tolist(), (t for k in program.t for row in k for t in row), strict=True),
        ]
        terms = [(value, variable) for value, variable in terms if value]
        xsum = program._mip.xsum
        self.objective = xsum(value * variable for value, variable in terms)
        self._scale = _ROW_SCALE / max((abs(value) for value, _ in terms), default=1)
        self._loose = sum(abs(value) for value, _ in terms) + 1
        left = xsum(value * self._scale * variable for value, variable in terms)
        self._row = program._model.add_constr(left <= self._loose * self._scale)

    def limit(self, most: int | None) -> None:
        """Keep the quantity at or below `most`, None for no limit. Half a unit is room for rounding."""
        self._row.rhs = ((self._loose if most is None else most) + 0.5) * self._scale


def _mip() -> Any:
    try:
        import mip
    except ImportError as error:
        raise DeryError(
            "reassembly needs python-mip with HiGHS: install it with pip install 'mip[highs]'."
        ) from error
    return mip
