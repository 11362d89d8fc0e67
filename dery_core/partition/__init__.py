"""Cutting every network into K blocks that form K equivalence sets, exactly."""

from dery_core.partition.bare import BareTable, bare_table, is_bare_table
from dery_core.partition.baseline import kl_kmeans
from dery_core.partition.exact import solve
from dery_core.partition.free import solve_free
from dery_core.partition.from_table import (
    BlockTable,
    as_partition,
    block_similarity,
    block_table,
    partition_problem,
    solve_arrays,
    solve_partition,
)
from dery_core.partition.problem import K_RANGE, Problem, build_problem
from dery_core.partition.solution import Solution, Warm
from dery_core.partition.value import Block, Partition, Variant
from dery_core.partition.windows import Windows, size_windows

__all__ = [
    "K_RANGE",
    "BareTable",
    "Block",
    "BlockTable",
    "Partition",
    "Problem",
    "Solution",
    "Variant",
    "Warm",
    "Windows",
    "as_partition",
    "bare_table",
    "block_similarity",
    "block_table",
    "build_problem",
    "is_bare_table",
    "kl_kmeans",
    "partition_problem",
    "size_windows",
    "solve",
    "solve_arrays",
    "solve_free",
    "solve_partition",
]
