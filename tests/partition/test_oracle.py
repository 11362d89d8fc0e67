"""The staged optimum against a 0-1 program of the same problem in python-mip."""

import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dery_core.partition import Problem, build_problem, solve

mip = pytest.importorskip("mip")


def program_optimum(problem: Problem) -> float:
    """Anchors y[k, A]; paths x[k, s] through every model's segments, which take the anchors' own; products
    of a path's cut and an anchor's, linearised as transports between the two."""
    model = mip.Model(sense=mip.MAXIMIZE, solver_name=mip.HIGHS)
    model.verbose = 0
    profit = []
    begun: dict[tuple[int, int], list[Any]] = defaultdict(list)
    ended: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for k, stage in enumerate(problem.stages):
        y = [model.add_var(var_type=mip.BINARY) for _ in range(len(stage))]
        x = [model.add_var(var_type=mip.BINARY) for _ in range(len(stage))]
        model.add_constr(mip.xsum(y) == 1)
        for taken, anchor in zip(x, y, strict=True):
            model.add_constr(taken >= anchor)
        for side, use in ((stage.start, begun), (stage.end, ended)):
            by_row, anchored = defaultdict(list), defaultdict(list)
            for row, taken, anchor in zip(side.tolist(), x, y, strict=True):
                by_row[row].append(taken)
                anchored[row].append(anchor)
                use[k, row].append(taken)
            for i in range(problem.models):
                rows = [r for r in by_row if problem.first[i] <= r <= problem.last[i]]
                moved = {pair: model.add_var(ub=1) for pair in itertools.product(rows, anchored)}
                for row in rows:
                    out = mip.xsum(moved[row, other] for other in anchored)
                    model.add_constr(out == mip.xsum(by_row[row]))
                for other in anchored:
                    into = mip.xsum(moved[row, other] for row in rows)
                    model.add_constr(into == mip.xsum(anchored[other]))
                profit += [float(problem.similarity[pair]) * variable for pair, variable in moved.items()]
    for k in range(1, problem.k):
        for row in {r for stage, r in (*begun, *ended) if stage in (k - 1, k)}:
            if begun[k, row] or ended[k - 1, row]:
                model.add_constr(mip.xsum(begun[k, row]) == mip.xsum(ended[k - 1, row]))
    model.objective = mip.xsum(profit)
    model.max_mip_gap = model.max_mip_gap_abs = 1e-9
    assert model.optimize() == mip.OptimizationStatus.OPTIMAL
    return float(model.objective_value)


@pytest.mark.parametrize(("k", "epsilon", "seed"), [(3, 0.3, 0), (4, 0.2, 1)])
def test_optimum_of_eight_networks_is_that_of_the_program(
    arrays: Callable[..., Any], k: int, epsilon: float, seed: int
) -> None:
    nodes = np.random.default_rng(seed).integers(9, 16, 8).tolist()
    made = arrays(nodes, seed)
    problem = build_problem(made.similarity, made.model, made.cut, made.size, k, epsilon, made.names)
    found = solve(problem)
    assert found.objective == pytest.approx(program_optimum(problem), abs=1e-5)
    assert found.upper_bound - found.objective <= 1e-6
