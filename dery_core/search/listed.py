"""Answers from a list of all candidates: what a score allows that is measured on every one."""

from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from dery_core.reassembly.value import Budget
from dery_core.search.answers import Extremes
from dery_core.search.objective import MeasuredScore
from dery_core.search.rules import Space
from dery_core.search.table import Table


class Listed:
    """The candidates of `objective` that keep the rules of `space`, whatever the budget."""

    def __init__(self, space: Space, objective: MeasuredScore) -> None:
        kept = np.isfinite(objective.values)
        kept[kept] = space.allowed(objective.choices[kept])
        choices, score = objective.choices[kept], objective.values[kept]
        params, macs = space.candidates.costs(choices)
        self.table = Table.of(choices, params, macs, score)

    def best(self, budget: Budget, top: int) -> Table:
        return self.table.best(budget, top)

    def front(self, budget: Budget) -> tuple[Table, bool]:
        return self.table.front(budget), True

    def extremes(self) -> Extremes | None:
        params, macs = self.table.params, self.table.macs
        if not len(self.table):
            return None
        return Extremes(*(int(end) for end in (params.min(), params.max(), macs.min(), macs.max())))

    def least_excess(self, budget: Budget) -> Fraction | None:
        return self.table.least_excess(budget) if len(self.table) else None

    def cheapest(self, budget: Budget, limit: str, above: float) -> int | None:
        return self.table.cheapest(budget, limit, above)

    def prices(self, budget: Budget) -> dict[str, float]:
        """The dual of the linear relaxation, which mixes candidates."""
        costs = {"params": self.table.params, "macs": self.table.macs}
        rows = {}
        for limit, value in budget.limits.items():
            sign = 1 if limit.startswith("max") else -1
            rows[limit] = sign * (costs[limit[4:]] - value) / max(value, 1)
        if not rows or not len(self.table):
            return dict.fromkeys(rows, 0.0)
        spread = max(float(np.ptp(self.table.score)), 1e-12)
        solved = linprog(
            -(self.table.score - self.table.score.max()) / spread,
            A_ub=np.stack(list(rows.values())),
            b_ub=np.zeros(len(rows)),
            A_eq=np.ones((1, len(self.table))),
            b_eq=[1.0],
            method="highs",
        )
        if solved.status != 0:
            return dict.fromkeys(rows, 0.0)
        duals = dict(zip(rows, (-solved.ineqlin.marginals).tolist(), strict=True))
        return {limit: dual * spread / max(getattr(budget, limit), 1) for limit, dual in duals.items()}

    def draw(self, budget: Budget, random: np.random.Generator) -> Table:
        kept = self.table.within(budget)
        return self.table[kept[random.integers(len(kept), size=1)]]

    def count(self, budget: Budget) -> int:
        return len(self.table.within(budget))
