"""From a similarity table to a `Partition`."""

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np

from dery_core.errors import DeryError
from dery_core.partition.exact import solve
from dery_core.partition.problem import Problem, build_problem
from dery_core.partition.value import Block, Partition
from dery_core.partition.windows import Floats, Ints
from dery_core.progress import ProgressFn, silent
from dery_core.similarity import SimilarityTable
from dery_core.zoo import SizeMeasure


def solve_partition(
    table: SimilarityTable,
    k: int = 4,
    epsilon: float = 0.2,
    size: SizeMeasure = "params",
    models: Sequence[str] | None = None,
    report: ProgressFn = silent,
    max_seconds: float = 120.0,
) -> Partition:
    """Cut `models` (all of the table's by default) into K blocks that form K equivalence sets.

    The staged variant: the k-th block of every model belongs to set k. Solved to a proof, or until
    `max_seconds` are over; `upper_bound` says which. Needs the table alone.

    Raises DeryError for K < 2 or larger than a model's node count, ε < 0, an unknown size
    measure, fewer than two models, and a model the table doesn't have.
    """
    names = list(dict.fromkeys(table.models if models is None else models))
    problem = partition_problem(table, names, k, epsilon, size)
    solution = solve(problem, max_seconds=max_seconds, report=report)
    return as_partition(
        problem,
        names,
        solution.anchors,
        solution.segments,
        upper_bound=solution.upper_bound,
        epsilon=epsilon,
        size=size,
        table=table.key,
    )


def partition_problem(
    table: SimilarityTable, names: Sequence[str], k: int, epsilon: float, size: SizeMeasure
) -> Problem:
    """The arrays of `solve_partition`'s problem, checked."""
    if size not in get_args(SizeMeasure):
        raise DeryError(f"Unknown size measure {size!r}: choose {', '.join(get_args(SizeMeasure))}.")
    if len(names) < 2:
        raise DeryError("Equivalence sets need at least two models: add another one.")
    rows = [table.rows(name) for name in names]
    chosen = np.concatenate(rows)
    index = table.index.iloc[chosen]
    return build_problem(
        table.values[np.ix_(chosen, chosen)],
        np.repeat(np.arange(len(rows)), [len(r) for r in rows]),
        index["cut"].to_numpy(),
        index["cut" if size == "nodes" else size].to_numpy(),
        k,
        epsilon,
        names,
    )


def as_partition(
    problem: Problem,
    names: Sequence[str],
    anchors: Sequence[int],
    segments: Ints,
    *,
    upper_bound: float,
    epsilon: float,
    size: SizeMeasure,
    table: str = "",
) -> Partition:
    """A solution of the problem (positions in its stages) as the value other rooms use."""
    similarity = np.stack(
        [problem.earned(k, anchor)[segments[:, k]] for k, anchor in enumerate(anchors)], axis=1
    )
    objective = math.fsum(similarity.ravel())

    def block(k: int, segment: int) -> Block:
        stage = problem.stages[k]
        model = int(stage.model[segment])
        first = int(problem.first[model])
        return Block(names[model], int(stage.start[segment]) - first, int(stage.end[segment]) - first - 1)

    return Partition(
        k=problem.k,
        epsilon=float(epsilon),
        size=size,
        models=tuple(names),
        blocks=tuple(tuple(block(k, s) for k, s in enumerate(row)) for row in segments.tolist()),
        sets=(tuple(range(problem.k)),) * len(names),
        similarity=tuple(map(tuple, similarity.tolist())),
        anchors=tuple(block(k, anchor) for k, anchor in enumerate(anchors)),
        objective=objective,
        upper_bound=max(float(upper_bound), objective),
        widened=tuple(names[i] for i in problem.widened),
        table=table,
    )


def solve_arrays(
    similarity: Floats,
    model: Ints,
    cut: Ints,
    size: Floats,
    names: Sequence[str],
    k: int = 4,
    epsilon: float = 0.2,
    *,
    measure: SizeMeasure = "params",
    report: ProgressFn = silent,
    max_seconds: float = 120.0,
) -> Partition:
    """As `solve_partition`, from bare arrays: similarity (M, M) over all cuts; model, cut and size up
    to the cut, each (M,), as `build_problem` asks for them. `measure` only labels the answer."""
    problem = build_problem(similarity, model, cut, size, k, epsilon, names)
    solution = solve(problem, max_seconds=max_seconds, report=report)
    return as_partition(
        problem,
        list(map(str, names)),
        solution.anchors,
        solution.segments,
        upper_bound=solution.upper_bound,
        epsilon=epsilon,
        size=measure,
    )


def block_similarity(table: SimilarityTable, block_a: Block, block_b: Block) -> float:
    """S(B, B') = s(in, in') + s(out, out') in [0, 2], `in` being the tensor that enters the block
    (the paper's section 3.2)."""
    rows_a, rows_b = table.rows(block_a.model), table.rows(block_b.model)
    return float(
        table.values[rows_a[block_a.start], rows_b[block_b.start]]
        + table.values[rows_a[block_a.end], rows_b[block_b.end]]
    )
