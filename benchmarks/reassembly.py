"""How fast the best hybrid is found when a slider moves, and how good what other searches find is.

    python -m benchmarks.reassembly [--keep FOLDER] [--seconds 60] [--write]

Zoos are timm's networks really cut, with made-up scores (`benchmarks/synthetic_candidates.py`). The
fast path beside the paper's 0-1 program in python-mip (HiGHS and CBC), with every answer compared;
and the published local search, random search and the product's proposals at equal numbers of scored
candidates, with exact ranks. FOLDER keeps the priced zoos and the ranks, which hang on no clock, for
another run. One thread. Takes about ten minutes; --write keeps it as
docs/reassembly.md.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np

from benchmarks.reassembly_quality import (
    Landscape,
    Linear,
    Listed,
    Quality,
    official_search,
    proposals,
    quality,
    random_search,
)
from benchmarks.reassembly_report import Ranked, report
from benchmarks.reassembly_times import Case, Timed, hard, measured, outside, programs
from benchmarks.synthetic_candidates import (
    cost_score,
    dragged,
    networks,
    synthetic_candidates,
    synthetic_score,
)
from dery_core.files import write_text
from dery_core.reassembly import Budget, Candidates
from dery_core.search import Finder, Rules

ROOT = Path(__file__).resolve().parents[1]
ZOOS = {"30_4": (30, 4), "100_4": (100, 4), "30_6": (30, 6)}
MAIN = "blocks and pairs"
STEPS, TOP_EVERY, HARD_SECONDS = 48, 8, 5.0
COUNTS, PROPOSED_SEEDS = (100, 500), 2
BUDGETS = {
    "30 M, 6 G": Budget(30_000_000, 6_000_000_000),
    "10 M, 3 G": Budget(10_000_000, 3_000_000_000),
}
_UNEXPLAINED = 0.07


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="a folder to keep priced zoos and ranks in")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of one program (default 60)")
    parser.add_argument(
        "--every", type=int, default=16, help="programs at one budget in so many (default 16)"
    )
    parser.add_argument("--seeds", type=int, default=20, help="of the searches by chance (default 20)")
    parser.add_argument("--write", action="store_true", help="write docs/reassembly.md")
    args = parser.parse_args()
    zoos = priced(args.keep)
    times, costs = [], []
    for name, candidates in zoos.items():
        for case in scored(name, candidates):
            times.append(timed(case))
            if case.score == MAIN:
                programs(times[-1], args.every, args.seconds)
    for name, candidates in zoos.items():
        for case in by_cost(name, candidates):
            costs.append((case, hard(case, list(dragged(*ends(case), STEPS))[2::4], HARD_SECONDS)))
            print(case.zoo, case.score, costs[-1][1], file=sys.stderr)
    found = list(kept_qualities(zoos, args.seeds, args.keep))
    seeds = args.seeds, PROPOSED_SEEDS
    text = report(times, costs, found, args.seconds, args.every, HARD_SECONDS, seeds)
    print(text)
    if args.write:
        write_text(ROOT / "docs" / "reassembly.md", text)
    return 0


def priced(folder: Path | None) -> dict[str, Candidates]:
    """The zoos, from `folder` where it has them all."""
    paths = {name: folder / f"{name}.json" for name in ZOOS} if folder else {}
    if paths and all(path.is_file() for path in paths.values()):
        return {name: Candidates.from_dict(json.loads(path.read_text())) for name, path in paths.items()}
    graphs = networks(max(count for count, _ in ZOOS.values()))
    zoos = {name: synthetic_candidates(graphs[:count], k) for name, (count, k) in ZOOS.items()}
    for name, path in paths.items():
        write_text(path, json.dumps(zoos[name].to_dict()))
    return zoos


def scored(name: str, candidates: Candidates) -> Iterator[Case]:
    yield Case(title(name), MAIN, candidates, synthetic_score(candidates))
    yield Case(title(name), "blocks and seams", candidates, synthetic_score(candidates, pairs=0.0))


def by_cost(name: str, candidates: Candidates) -> Iterator[Case]:
    yield Case(title(name), "#params", candidates, cost_score(candidates.params))
    yield Case(title(name), "#MACs", candidates, cost_score(candidates.macs))


def title(name: str) -> str:
    count, k = ZOOS[name]
    return f"{count}, K = {k}"


def ends(case: Case) -> tuple[tuple[int, int], tuple[int, int]]:
    """Params and MACs at the sliders' ends."""
    found = Finder(case.candidates, case.linear).extremes(Rules())
    return (found.min_params, found.min_macs), (found.max_params, found.max_macs)


def timed(case: Case) -> Timed:
    low, high = ends(case)
    counted = 0 if case.score != MAIN else 4 if case.candidates.k == 4 else 1
    result = measured(case, list(dragged(low, high, STEPS)), list(outside(low)), TOP_EVERY, counted)
    print(case.zoo, case.score, np.percentile(result.fresh.cpu, [50, 95, 100]), file=sys.stderr)
    return result


def kept_qualities(zoos: dict[str, Candidates], seeds: int, folder: Path | None) -> Iterator[Ranked]:
    """`qualities`, from `folder` where it has them."""
    path = folder / "quality.json" if folder else None
    if path and path.is_file():
        for *words, figures in json.loads(path.read_text()):
            yield (*words, Quality(**figures))
        return
    found = list(qualities(zoos, seeds))
    if path:
        write_text(path, json.dumps([(*words, dataclasses.asdict(each)) for *words, each in found]))
    yield from found


def qualities(zoos: dict[str, Candidates], seeds: int) -> Iterator[Ranked]:
    """Landscape, budget, search and what it is worth."""
    for name, landscape in landscapes(zoos):
        for words, budget in BUDGETS.items():
            for title, search in (("random", random_search), ("official-style", official_search)):
                for each in quality(landscape, budget, search, COUNTS, seeds):
                    yield name, words, title, each
            if len(landscape.candidates.models) <= 30:  # with 100 the model's fits take minutes
                yield name, words, "proposals", proposals(landscape, budget, max(COUNTS), PROPOSED_SEEDS)
            print(name, words, "ranked", file=sys.stderr, flush=True)


def landscapes(zoos: dict[str, Candidates]) -> Iterator[tuple[str, Landscape]]:
    for name, candidates in zoos.items():
        count, k = ZOOS[name]
        linear = synthetic_score(candidates)
        if k == 4:  # all of K = 6 can be counted, but hardly as often as it takes
            yield title(name), Linear(candidates, linear)
        if name == "30_4":
            values = linear.quanta(candidates.every()).astype(float)
            noise = np.random.default_rng(1).normal(size=len(values))
            values += noise * values.std() * np.sqrt(_UNEXPLAINED / (1 - _UNEXPLAINED))
            yield f"{title(name)}, rugged", Listed(candidates, values.reshape((count,) * k))


if __name__ == "__main__":
    sys.exit(main())
