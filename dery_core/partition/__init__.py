"""Cutting every network into K blocks that form K equivalence sets, exactly."""

from dery_core.partition.baseline import kl_kmeans
from dery_core.partition.exact import Solution, solve
from dery_core.partition.from_table import (
    as_partition,
    block_similarity,
    partition_problem,
    solve_arrays,
    solve_partition,
)
from dery_core.partition.problem import Problem, build_problem
from dery_core.partition.value import Block, Partition
from dery_core.partition.windows import Windows, size_windows

__all__ = [
    "Block",
    "Partition",
    "Problem",
    "Solution",
    "Windows",
    "as_partition",
    "block_similarity",
    "build_problem",
    "kl_kmeans",
    "partition_problem",
    "size_windows",
    "solve",
    "solve_arrays",
    "solve_partition",
]
