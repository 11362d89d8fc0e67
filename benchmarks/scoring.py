"""Scoring many hybrids: what shared beginnings save, and what the proposals find where not all are scored.

    python -m benchmarks.scoring [--folder FOLDER] [--whole]

Writes docs/scoring.md. Bit-identity is asserted in the run; a figure is kept in the folder (build/scoring)
once measured, so an interrupted run goes on. One thread; about a quarter of an hour on a quiet machine.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np
import timm
import torch
from scipy.stats import kendalltau, rankdata
from tabulate import tabulate

from benchmarks.job_pool import Cache, Result
from benchmarks.reassembly_quality import (
    Listed,
    Quality,
    official_search,
    quality,
    random_search,
    ranked,
)
from benchmarks.similarity import make_zoo
from dery_core.data import TARGET_TASK, Probe, load_task
from dery_core.files import write_text
from dery_core.partition import Partition, solve_partition
from dery_core.progress import ProgressFn, TerminalProgress
from dery_core.reassembly import Budget, Candidates, candidates
from dery_core.scoring import SAMPLE, Trie, alone, propose, sampled, score_candidates, score_probe
from dery_core.scoring.kept import Choice
from dery_core.scoring.naswot_carrier import NaswotCarrier
from dery_core.scoring.proposals import allowed_choices, surrogate
from dery_core.similarity import similarity_table
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, embedded_zoo, load_zoo

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "scoring.md"
STAGES, SIDE, NETWORKS, FEWER = 4, 48, 8, 5
COUNTS = (100, 300, None)
IMAGES = 32
STAND_IN = 300
AIM = 2.0
MEASURED = (100, SAMPLE, 500)
SHARES = (0.1, 0.3, None)
SEEDS = 10

TEXT = """# Scoring many hybrids

Made by `python -m benchmarks.scoring` with torch {torch} and timm {timm}, one thread.

## What shared beginnings save

NASWOT of hybrids of eight networks, K = {stages}, {images} images: each alone (all its blocks run), and down
the trie of choices in sorted order, where hybrids that begin with the same blocks share what these give.
Both ways had the networks cut before; values are compared to the last bit, and the run stops where they
differ. Where fewer hybrids were *compared* than there are, seconds of each alone are scaled up from those.
*Blocks* is how many times fewer blocks were run. Seconds are the processor's. 100 and 300 are `sampled`, each
block about equally often. Where all are measured they come in this order; proposals (below) come in rounds of
some 26, and share within a round only. `embedded` are every second one of the networks that ship with DeRy
Studio; `timm` eight small architectures at {side} px with random weights.

{savings}

{verdict}

## Where not all are measured

With more than about 10,000 hybrids, `propose` measures {sample}: a quarter by `sampled`, then in rounds of a
tenth what a linear model of all measured so far holds for the best within each of nine budgets, and one in
ten at random. The linear model is then what the search maximises, and what it finds is measured. To see
what that loses, all hybrids of three small zoos were measured: *fit* compares the model after {sample}
measurements with all hybrids that were not among them; *its first* is the true rank of the hybrid that the
model holds for the best of all; *its ten best* is the true rank of the best of its ten best.

{fits}

Mean rank of the best hybrid found · share of the true top 20 found, after so many measurements, over {seeds}
seeds; at three limits of parameters, which leave a tenth, three tenths and all of the hybrids. Random draws
and the official-style local search (`benchmarks/reassembly_quality.py`) were run for each limit anew and only
spent measurements on hybrids within it. The proposals were run **once for all limits**: a slider can go
anywhere after them. Their settings were chosen on the first of these landscapes; the others test them.

{searches}
"""


@dataclass(frozen=True)
class Case:
    """Networks, cut, with what their hybrids cost."""

    zoo: Zoo
    partition: Partition
    options: Candidates


@dataclass(frozen=True)
class Landscape:
    """The score of every hybrid of a case, in the order of `choices`."""

    title: str
    options: Candidates
    choices: list[Choice]
    values: list[float]

    @property
    def known(self) -> dict[Choice, float]:
        return dict(zip(self.choices, self.values, strict=True))

    def listed(self) -> Listed:
        values = np.full((len(self.options.models),) * STAGES, -np.inf)
        for choice, value in self.known.items():
            values[choice] = value
        return Listed(self.options, values)


def case(zoo: Zoo, names: Sequence[str], workspace: Workspace, report: ProgressFn) -> Case:
    table = similarity_table(zoo, names, Probe(TARGET_TASK, 256), workspace, report=report)
    partition = solve_partition(table, STAGES)
    classes = len(load_task(TARGET_TASK).classes)
    return Case(zoo, partition, candidates(zoo, partition, classes, report=report))


def timed(case: Case, count: int | None, whole: bool) -> Result:
    """CPU seconds of one by one and of shared beginnings, for the same hybrids in the same order. All of
    them one by one only with `whole`; else an even sample stands for all."""
    choices = allowed_choices(case.options) if count is None else sampled(case.options, count, seed=0)
    some = choices if count is not None or whole else sampled(case.options, STAND_IN, seed=0)
    carrier = NaswotCarrier(case.zoo, case.options, Probe(TARGET_TASK, IMAGES), seed=0)
    for i in range(len(case.options.models)):
        alone(carrier, (i,) * STAGES)  # cuts the networks, for both
    trie = Trie(carrier)
    started = time.process_time()
    shared = {choice: trie.measure(choice) for choice in choices}
    middle = time.process_time()
    one_by_one = {choice: alone(carrier, choice) for choice in some}
    ended = time.process_time()
    if any(shared[choice] != values for choice, values in one_by_one.items()):
        raise AssertionError("shared beginnings changed a score")
    return {
        "hybrids": len(choices),
        "compared": len(some),
        "blocks": STAGES * len(choices) / len({c[:k] for c in choices for k in range(1, STAGES + 1)}),
        "alone": (ended - middle) * len(choices) / len(some),
        "shared": middle - started,
        "values": [values["naswot"] for values in shared.values()] if count is None else [],
    }


def measured(case: Case, score: str, title: str, workspace: Workspace, report: ProgressFn) -> Landscape:
    found = score_candidates(
        case.zoo,
        case.partition,
        case.options,
        score_probe(TARGET_TASK, score),
        workspace,
        score,
        report=report,
    )
    choices = [each.choice for each in found.measured]
    return Landscape(title, case.options, choices, [_value(each.score) for each in found.measured])


def fit_row(land: Landscape) -> list[object]:
    """How well the linear model of the proposals knows the hybrids that were not measured."""
    known = land.known
    found = propose(land.options, lambda choices: [known[c] for c in choices], SAMPLE)
    linear = surrogate(land.options, list(found), list(found.values()), seed=0)
    predicted = np.array([linear.predict(choice) for choice in land.choices])
    true = np.array(land.values)
    rest = np.array([choice not in found for choice in land.choices]) & np.isfinite(true)
    missed = np.square(true[rest] - predicted[rest]).sum()
    r2 = 1 - missed / np.square(true[rest] - true[rest].mean()).sum()
    tau = kendalltau(predicted[rest], true[rest]).statistic
    ranks = rankdata(-true, method="min")[np.argsort(-predicted, kind="stable")]
    return [land.title, len(true), f"{r2:.3f}", f"{tau:.3f}", int(ranks[0]), int(ranks[:10].min())]


def budgets(options: Candidates) -> list[tuple[str, Budget]]:
    """Parameters that a share of all hybrids keep."""
    choices = options.every()
    params = options.costs(choices[options.allowed(choices, 2)])[0]
    return [
        ("all", Budget()) if share is None else (f"{share:.0%}", Budget(int(np.quantile(params, share))))
        for share in SHARES
    ]


def search_rows(land: Landscape) -> list[list[object]]:
    """A row a limit and a search."""
    listed, known = land.listed(), land.known
    counts = [count for count in MEASURED if count < len(land.choices)]
    ours = {
        count: [
            propose(land.options, lambda choices: [known[c] for c in choices], count, seed)
            for seed in range(SEEDS)
        ]
        for count in counts
    }
    rows: list[list[object]] = []
    for title, budget in budgets(land.options):
        found = {
            "random": quality(listed, budget, random_search, counts, SEEDS),
            "official-style": quality(listed, budget, official_search, counts, SEEDS),
            "**proposals**": [ranked(listed, budget, ours[count]) for count in counts],
        }
        rows += [[land.title, title, name, *map(_cell, row)] for name, row in found.items()]
    return rows


def _cell(found: Quality) -> str:
    return f"{found.mean_rank:.1f} · {5 * found.top20:.0f} %"


def _value(score: float | None) -> float:
    return -np.inf if score is None else score


def document(savings: dict[str, list[Result]], lands: list[Landscape]) -> str:
    rows = [
        [
            name,
            row["hybrids"],
            row["compared"],
            f"{row['blocks']:.2f}×",
            f"{row['alone']:.1f}",
            f"{row['shared']:.1f}",
            f"**{row['alone'] / row['shared']:.2f}×**",
        ]
        for name, found in savings.items()
        for row in found
    ]
    at300 = {name: found[1]["alone"] / found[1]["shared"] for name, found in savings.items()}
    told = " and ".join(f"{ratio:.2f} with `{name}`" for name, ratio in at300.items())
    held = "holds" if min(at300.values()) >= AIM else "does not hold everywhere"
    heads = ["landscape", "limit keeps", "search", *(f"{count} measured" for count in MEASURED)]
    return TEXT.format(
        torch=torch.__version__,
        timm=timm.__version__,
        stages=STAGES,
        images=IMAGES,
        side=SIDE,
        sample=SAMPLE,
        seeds=SEEDS,
        savings=_table(
            rows, ["networks", "hybrids", "compared", "blocks", "alone, s", "shared, s", "ratio"], "lrrrrrr"
        ),
        verdict=f"The aim of {AIM:.0f} at 300 hybrids {held}: {told}.",
        fits=_table(
            [fit_row(land) for land in lands],
            ["landscape", "hybrids", "R²", "Kendall's τ", "its first", "its ten best"],
            "lrrrrr",
        ),
        searches=_table(
            [row for land in lands for row in search_rows(land)], heads, "lll" + "r" * len(MEASURED)
        ),
    )


def _table(rows: list[list[object]], heads: list[str], aligned: str) -> str:
    sides = {"l": "left", "r": "right"}
    align = tuple(sides[side] for side in aligned)
    return tabulate(rows, heads, tablefmt="pipe", colalign=align, disable_numparse=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "scoring")
    parser.add_argument("--whole", action="store_true", help="measure all hybrids one by one, too")
    arguments = parser.parse_args()
    folder = arguments.folder
    torch.set_num_threads(1)
    workspace, cache = Workspace.open(folder), Cache(folder / "timed.jsonl")
    ours = embedded_zoo()
    random = load_zoo(make_zoo(folder / "timm", SIDE, 1))
    with TerminalProgress() as report:
        cases = {
            "embedded": case(ours, ours.names[: 2 * NETWORKS : 2], workspace, report),
            "timm": case(random, random.names[:NETWORKS], workspace, report),
        }
        fewer = case(ours, ours.names[1 : 2 * FEWER : 2], workspace, report)
        # Small counts first: what takes long is what may be interrupted.
        for count in COUNTS:
            for name, each in cases.items():
                if f"{name}/{count}" not in cache.results:
                    cache.add(f"{name}/{count}", timed(each, count, arguments.whole))
                    print(name, {k: v for k, v in cache.results[f"{name}/{count}"].items() if k != "values"})
        lands = [
            measured(cases["embedded"], "naswot", "NASWOT, `embedded`", workspace, report),
            measured(fewer, "ridge-probe", f"ridge probe, {FEWER} networks", workspace, report),
        ]
    savings = {name: [cache.results[f"{name}/{count}"] for count in COUNTS] for name in cases}
    options = cases["timm"].options
    values = [_value(value) for value in savings["timm"][-1]["values"]]
    lands.insert(1, Landscape("NASWOT, `timm`", options, allowed_choices(options), values))
    write_text(DOCUMENT, document(savings, lands))
    print(DOCUMENT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
