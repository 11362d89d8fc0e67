"""The exact partition beside the paper's heuristic, same tables, same run, one thread.

    python benchmarks/partition.py [TABLE.npz ...] [-k 4] [--epsilon 0.2] [--restarts 200]

A table holds `cka` (M, M), `model`, `cut`, `cum_size` (M,) and `names`. Without arguments the tables
of ../shared/bench/partition are read, each with the settings of its reference.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np

from dery_core.partition import Problem, build_problem, kl_kmeans, solve

BENCH = Path(__file__).resolve().parents[1].parent / "shared" / "bench" / "partition"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", type=Path)
    parser.add_argument("-k", type=int, default=4)
    parser.add_argument("--epsilon", type=float, default=0.2)
    parser.add_argument("--restarts", type=int, default=200)
    args = parser.parse_args()
    settings = dict.fromkeys(args.tables, (args.k, args.epsilon)) or shared_tables()
    if not settings:
        print(f"No tables given and {BENCH} is not here.", file=sys.stderr)
        return 2
    print(
        f"{'table':<12} {'models':>6} {'cuts':>5} {'objective':>11} {'bound':>11} {'nodes':>5} {'CPU s':>8}"
        f" | {'heuristic':>10} {'below %':>8} {'CPU s':>8}"
    )
    for path, (k, epsilon) in settings.items():
        started = time.process_time()
        problem = load(path, k, epsilon)
        loaded = time.process_time()
        exact = solve(problem)
        proved = time.process_time()
        paper = kl_kmeans(problem, restarts=args.restarts)
        searched = time.process_time()
        below = 100 * (exact.objective - paper.objective) / exact.objective
        print(
            f"{path.stem:<12} {problem.models:>6} {len(problem.similarity):>5} {exact.objective:>11.5f}"
            f" {exact.upper_bound:>11.5f} {exact.nodes:>5} {proved - started:>8.3f}"
            f" | {paper.objective:>10.4f} {below:>8.3f} {loaded - started + searched - proved:>8.3f}"
        )
    return 0


def shared_tables() -> dict[Path, tuple[int, float]]:
    if not BENCH.is_dir():
        return {}
    reference = json.loads((BENCH / "reference.json").read_text())
    return {BENCH / f"{name}.npz": (entry["K"], entry["eps"]) for name, entry in reference.items()}


def load(path: Path, k: int, epsilon: float) -> Problem:
    with np.load(path) as file:
        cka, model, cut, size = (file[name] for name in ("cka", "model", "cut", "cum_size"))
        return build_problem(cka, model, cut, size, k, epsilon, list(map(str, file["names"])))


if __name__ == "__main__":
    sys.exit(main())
