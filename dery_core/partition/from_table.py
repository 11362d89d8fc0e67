"""From a similarity table to a `Partition`."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from dery_core.errors import DeryError
from dery_core.partition.exact import solve
from dery_core.partition.free import solve_free
from dery_core.partition.problem import Problem, build_problem
from dery_core.partition.solution import Solution, Warm, free_sets, likeness
from dery_core.partition.value import Block, Partition, Variant
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
    variant: Variant = "staged",
    warm: Partition | None = None,
    max_seconds: float = 120.0,
    report: ProgressFn = silent,
) -> Partition:
    """Cut `models` (all of the table's by default) into K blocks that form K equivalence sets.

    Staged: the k-th block of every model belongs to set k. Free: every block belongs to the set whose
    anchor it is most like. Solved to a proof, or until `max_seconds` are over; `proved` and `gap` say
    how far it came. `warm` is an earlier answer, for any K, ε, size and models: the search begins near
    it. Needs the table alone.

    Raises DeryError for K outside K_RANGE or larger than a model's node count, ε < 0, an unknown size
    measure or variant, a time limit that is none, fewer than two models, and a model the table doesn't
    have.
    """
    names = list(dict.fromkeys(table.models if models is None else models))
    problem = partition_problem(table, names, k, epsilon, size)
    index = table.index
    weights = {}
    if "weights" in index:
        weights = dict(zip(index["model"], index["weights"], strict=True))
    return _solved(
        problem,
        names,
        variant,
        warm,
        max_seconds,
        report,
        epsilon=float(epsilon),
        size=size,
        table=table.key,
        weights=tuple(str(weights.get(name, "")) for name in names),
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
    variant: Variant = "staged",
    warm: Partition | None = None,
    max_seconds: float = 120.0,
    report: ProgressFn = silent,
) -> Partition:
    """As `solve_partition`, from bare arrays: similarity (M, M) over all cuts; model, cut and size up
    to the cut, each (M,), as `build_problem` asks for them. `measure` only labels the answer."""
    problem = build_problem(similarity, model, cut, size, k, epsilon, names)
    return _solved(
        problem,
        list(map(str, names)),
        variant,
        warm,
        max_seconds,
        report,
        epsilon=float(epsilon),
        size=measure,
    )


def _solved(
    problem: Problem,
    names: Sequence[str],
    variant: Variant,
    warm: Partition | None,
    max_seconds: float,
    report: ProgressFn,
    **said: Any,
) -> Partition:
    if variant not in get_args(Variant):
        raise DeryError(f"Unknown variant {variant!r}: choose {', '.join(get_args(Variant))}.")
    if not 0 <= max_seconds < math.inf:  # which nan isn't either
        raise DeryError(f"The time limit is {max_seconds} seconds: give a number from 0 on.")
    solver = solve if variant == "staged" else solve_free
    near = None if warm is None else warm_start(problem, names, warm)
    solution = solver(problem, max_seconds=max_seconds, report=report, warm=near)
    return as_partition(problem, names, solution, variant=variant, **said)


def as_partition(
    problem: Problem, names: Sequence[str], solution: Solution, *, variant: Variant = "staged", **said: Any
) -> Partition:
    """A solution of the problem (positions in its stages) as the value other rooms use; `said` are the
    fields that the problem doesn't know."""
    cuts = problem.cuts(solution.segments)
    anchors = [
        (int(problem.stages[k].start[at]), int(problem.stages[k].end[at]))
        for k, at in zip(solution.homes, solution.anchors, strict=True)
    ]
    if variant == "staged":
        sets = np.tile(np.arange(problem.k), (problem.models, 1))
    else:
        sets = free_sets(problem, cuts, np.array(anchors))
    likes = likeness(problem, cuts, np.array(anchors))
    similarity = np.take_along_axis(likes, sets[:, :, None], axis=2)[:, :, 0]
    objective = math.fsum(similarity.ravel())

    def block(start: int, end: int) -> Block:
        model = int(np.searchsorted(problem.first, start, side="right")) - 1
        first = int(problem.first[model])
        return Block(names[model], start - first, end - first - 1)

    upper = max(float(solution.upper_bound), objective)
    return Partition(
        k=problem.k,
        models=tuple(names),
        blocks=tuple(tuple(map(block, row[:-1], row[1:])) for row in cuts.tolist()),
        sets=tuple(map(tuple, sets.tolist())),
        similarity=tuple(map(tuple, similarity.tolist())),
        anchors=tuple(block(*anchor) for anchor in anchors),
        objective=objective,
        upper_bound=upper,
        widened=tuple(names[i] for i in problem.widened),
        limits=tuple(problem.limits.tolist()),
        variant=variant,
        trace=(*solution.trace[:-1], (objective, upper)),
        **said,
    )


def warm_start(problem: Problem, names: Sequence[str], earlier: Partition) -> Warm:
    """Where the earlier answer lies in this problem: its cuts, set apart evenly in between where K
    differs. A model that it doesn't have is cut as deep as its models are on average."""
    k = problem.k
    steps = np.linspace(0, earlier.k, k + 1)
    rows = dict(zip(earlier.models, zip(earlier.blocks, earlier.sets, strict=True), strict=True))
    known = {
        name: np.interp(steps, np.arange(earlier.k + 1), [0, *(block.end for block in blocks)])
        for name, (blocks, _) in rows.items()
    }
    share = np.mean([cuts / cuts[-1] for cuts in known.values()], axis=0)
    cuts, sets = np.empty((len(names), k + 1)), np.full((len(names), k), -1)
    for i, name in enumerate(names):
        nodes = problem.last[i] - problem.first[i]
        cuts[i] = problem.first[i] + np.minimum(known.get(name, share * nodes), nodes)
        if name in rows and earlier.k == k:
            sets[i] = rows[name][1]
    return Warm(cuts, sets if earlier.k == k else np.tile(np.arange(k), (len(names), 1)))


class BlockTable(NamedTuple):
    """S between all blocks of a partition: `values` (N·K, N·K) in [0, 2]. `blocks` and `sets` (N·K) say
    what the rows are: set after set, in a set model after model, in a model stage after stage."""

    values: Floats
    blocks: tuple[Block, ...]
    sets: tuple[int, ...]


def block_table(partition: Partition, table: SimilarityTable) -> BlockTable:
    """How similar all blocks are to each other; DeryError when the table lacks one of the models."""
    pairs = [
        (j, block)
        for j in range(partition.k)
        for sets, row in zip(partition.sets, partition.blocks, strict=True)
        for at, block in zip(sets, row, strict=True)
        if at == j
    ]
    sets, blocks = zip(*pairs, strict=True)
    values = np.clip(table.values, 0, 1)
    starts, ends = (
        np.array([table.rows(block.model)[cut] for block, cut in zip(blocks, cuts, strict=True)])
        for cuts in ([b.start for b in blocks], [b.end for b in blocks])
    )
    return BlockTable(values[np.ix_(starts, starts)] + values[np.ix_(ends, ends)], blocks, sets)


def block_similarity(table: SimilarityTable, block_a: Block, block_b: Block) -> float:
    """S(B, B') = s(in, in') + s(out, out') in [0, 2], `in` being the tensor that enters the block
    (the paper's section 3.2)."""
    rows_a, rows_b = table.rows(block_a.model), table.rows(block_b.model)
    begin = table.values[rows_a[block_a.start], rows_b[block_b.start]]
    end = table.values[rows_a[block_a.end], rows_b[block_b.end]]
    return float(np.clip([begin, end], 0, 1).sum())
