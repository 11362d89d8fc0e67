"""Line graphs of timm's architectures: how many can be cut, and whether nodes and network agree.

    python -m benchmarks.line_graphs [families] [random] [structure] [docs] [--workers N]

families   the smallest network of every family file of timm, trained for a step as well (on a smaller
           input where the default one is dear)
random     200 architectures drawn with seed 0 from those whose weights fit into memory thrice
structure  every architecture on the meta device, without numbers
docs       writes docs/line_graphs.md and assets/timm_catalogue.csv from the results so far

Without a name all four. Results are kept per architecture and version of the code, so a run that was
interrupted goes on, and changed code runs anew.
"""

import argparse
import csv
import io
import os
import random
import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import timm

from benchmarks.job_pool import Cache, Job, Result, run_jobs
from benchmarks.line_graph_report import Results, report
from benchmarks.line_graph_trials import run_trial
from dery_core.files import digest, write_text
from dery_core.progress import TerminalProgress
from dery_core.zoo.architecture import family_of

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "dery" / "line_graphs.jsonl"
STAGES = ("families", "random", "structure", "docs")
DRAWN = 200
MOST_PARAMS = 1_300_000_000
MEMORY = 12 * 2**30


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], metavar="STAGE")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit", type=float, default=900, help="seconds for one network")
    parser.add_argument("--cache", type=Path, default=CACHE, help="JSONL file of results")
    parser.add_argument(
        "--accept", nargs="+", default=[], metavar="CODE", help="versions of the code whose results count too"
    )
    args = parser.parse_args()
    stages = args.stages or STAGES
    kept = Kept(Cache(args.cache), args.accept)
    print(f"Code: {_code('structure')} (structure and numbers), {_code('sizes')} (sizes)", file=sys.stderr)
    _run("sizes", architectures(), kept, args)
    chosen = {"families": smallest(kept), "random": drawn(kept), "structure": architectures()}
    for stage, names in chosen.items():
        if stage in stages:
            _run(stage, names, kept, args)
    chosen["default"] = reduced(chosen["families"], kept)
    if "families" in stages:
        _run("default", chosen["default"], kept, args)
    if "docs" in stages:
        results = Results(
            **{stage: kept.collected(stage, names) for stage, names in chosen.items()},
            sizes=kept.collected("sizes", architectures()),
        )
        write_text(ROOT / "docs" / "line_graphs.md", report(results, MOST_PARAMS))
        write_text(ROOT / "assets" / "timm_catalogue.csv", catalogue(results))
        if missing := results.missing():
            print(f"Results are missing: {', '.join(missing)}.", file=sys.stderr)
            return 1
    return 0


class Kept:
    """Results of the present code, and where they're missing of earlier versions that are accepted."""

    def __init__(self, cache: Cache, accepted: list[str]) -> None:
        self.cache = cache
        self.accepted = accepted

    def find(self, stage: str, name: str) -> Result | None:
        keys = [f"{stage} {name} {code}" for code in (_code(stage), *self.accepted)]
        found = next((key for key in keys if key in self.cache.results), None)
        return None if found is None else self.cache.results[found] | {"code": found.split()[-1]}

    def add(self, job: str, result: Result) -> None:
        self.cache.add(f"{job} {_code(job.split(' ')[0])}", result)

    def collected(self, stage: str, names: Iterable[str]) -> dict[str, Result]:
        """A result for every name; {"missing": True} where there is none."""
        return {name: self.find(stage, name) or {"missing": True} for name in names}

    def params(self, name: str) -> int:
        size = self.find("sizes", name)
        assert size is not None
        params: int = size["params"]
        return params


@cache
def architectures() -> list[str]:
    """Everything that timm itself registers; our own small networks left out."""
    return [n for n in timm.list_models() if timm.model_entrypoint(n).__module__.startswith("timm.")]


def smallest(kept: Kept) -> list[str]:
    """The network with the fewest parameters of every family, timm's test models left out."""
    best: dict[str, str] = {}
    for name in sorted(_earnest(), key=lambda name: kept.params(name)):
        best.setdefault(family_of(name), name)
    return [best[name] for name in sorted(best)]


def reduced(names: list[str], kept: Kept) -> list[str]:
    """Those of the families' networks that were trained on a smaller input than their default one."""
    rows, sizes = kept.collected("families", names), kept.collected("sizes", names)
    return [
        n
        for n, row in rows.items()
        if row.get("input_size", sizes[n]["input_size"]) != sizes[n]["input_size"]
    ]


def drawn(kept: Kept) -> list[str]:
    fitting = [name for name in sorted(_earnest()) if kept.params(name) <= MOST_PARAMS]
    return random.Random(0).sample(fitting, DRAWN)


def catalogue(results: Results) -> str:
    """The table that the Zoo page reads: sizes of every architecture and what became of cutting it.

    `nodes` and `reason` are both empty where that isn't known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["architecture", "family", "input_size", "params", "macs", "nodes", "streams", "reason"])
    for name, size in results.sizes.items():
        cut = results.structure[name]
        whole = ["x".join(map(str, size["input_size"])), size["params"], size["macs"]]
        found = [cut.get(key, "") for key in ("nodes", "streams", "refusal")]
        writer.writerow([name, family_of(name), *whole, *found])
    return text.getvalue()


def _run(stage: str, names: Iterable[str], kept: Kept, args: argparse.Namespace) -> None:
    """Fills the cache, the smallest networks first; what failed in an earlier run is tried again."""
    results = kept.collected(stage, names)
    again = [name for name, row in results.items() if "missing" in row or "failure" in row]
    missing = [Job(f"{stage} {name}", _memory(stage, name, kept)) for name in again]
    missing.sort(key=lambda job: job.memory)
    with TerminalProgress() as progress:
        run_jobs(
            missing,
            run_trial,
            kept.add,
            workers=args.workers,
            limit_s=args.limit,
            memory=MEMORY,
            step=stage.capitalize(),
            report=progress,
        )


def _earnest() -> list[str]:
    return [name for name in architectures() if not name.startswith("test_")]


def _memory(stage: str, name: str, kept: Kept) -> int:
    """The network, what it's compared with, the nodes, and gradients or activations."""
    return 0 if stage in ("sizes", "structure") else 4 * 4 * kept.params(name) + 2**30


@cache
def _code(stage: str) -> str:
    """Changes with whatever the stage's results follow from."""
    first = "costs" if stage == "sizes" else "building"
    sources = [path.read_text() for path in _imported(ROOT / "dery_core" / "zoo" / f"{first}.py")]
    trials = [ROOT / "benchmarks" / "line_graph_trials.py"] if stage != "sizes" else []
    return digest(*sources, *(path.read_text() for path in trials), version("torch"), version("timm"))


def _imported(path: Path) -> list[Path]:
    """The file and all of dery_core.zoo that it imports, directly or not; zoos and what builds their
    members left out, for a line graph doesn't follow from them."""
    found = {path}
    waiting = [path]
    while waiting:
        text = waiting.pop().read_text()
        for module in re.findall(r"^from dery_core\.zoo\.(\w+) import", text, re.MULTILINE):
            other = path.with_name(f"{module}.py")
            if module not in ("zoo", "download", "graph_cache") and other not in found:
                found.add(other)
                waiting.append(other)
    return sorted(found)


if __name__ == "__main__":
    sys.exit(main())
