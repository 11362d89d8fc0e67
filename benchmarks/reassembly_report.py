"""The text of docs/reassembly.md, from what benchmarks/reassembly.py measured."""

import os
from collections.abc import Sequence

import numpy as np
from tabulate import tabulate

from benchmarks.reassembly_quality import Quality
from benchmarks.reassembly_times import TOPS, Case, Timed, Times

GOAL = 100.0

Rows = list[dict[str, object]]
Ranked = tuple[str, str, str, Quality]


def report(
    times: Sequence[Timed],
    costs: Sequence[tuple[Case, Times]],
    found: Sequence[Ranked],
    seconds: float,
    every: int,
    hard_seconds: float,
    seeds: tuple[int, int],
) -> str:
    """Tables and what they say; `seeds` are how many of the searches by chance and of the proposals."""
    solved = [timed for timed in times if timed.programs]
    sections = [
        _HEAD.format(load=os.getloadavg()[0], cores=os.cpu_count()),
        _MOVED.format(steps=len(times[0].budgets), seconds=seconds, every=every),
        _table([row for timed in solved for row in _methods(timed)]),
        *(_verdict(timed) for timed in solved),
        _FAST,
        _table([_fast(timed) for timed in times]),
        _within_goal(times),
        _HARD.format(seconds=hard_seconds),
        _table([_hard(case, times) for case, times in costs]),
        _hard_within_goal(costs),
        _infeasible(times),
        _QUALITY.format(seeds=seeds[0], fewer=seeds[1]),
        _table(_qualities(found)),
        _ranks(found),
    ]
    return "\n\n".join(sections) + "\n"


def _methods(timed: Timed) -> Rows:
    methods = [
        ("fast path, fresh", timed.fresh),
        ("fast path, front known", timed.looked_up),
        ("making the front", timed.front),
        *((f"program, {times.method}", times) for times in timed.programs),
    ]
    return [{"zoo": timed.case.zoo, "method": name} | _figures(times) for name, times in methods]


def _figures(times: Times) -> dict[str, object]:
    figures: dict[str, object] = {"budgets": len(times.cpu)}
    figures |= dict(zip(("p50", "p95", "max"), _percentiles(times.cpu), strict=True))
    return figures | {"wall p95": _ms(np.percentile(times.wall, 95)), "stopped": times.stopped or ""}


def _percentiles(values: list[float]) -> list[str]:
    return [_ms(value) for value in np.percentile(values, [50, 95, 100])]


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _verdict(timed: Timed) -> str:
    fresh = np.percentile(timed.fresh.cpu, 50)
    words = [
        f"{np.percentile(times.cpu, 50) / fresh:,.0f}{' or more' if times.stopped else ''} ({times.method})"
        for times in timed.programs
    ]
    candidates = timed.case.candidates
    return (
        f"{timed.case.zoo}: {len(candidates.models) ** candidates.k:,} hybrids, counted through at "
        f"{timed.counted} of the budgets. The programs' median as a multiple of the fresh fast path's: "
        f"{', '.join(words)}."
    )


def _fast(timed: Timed) -> dict[str, object]:
    row: dict[str, object] = {"zoo": timed.case.zoo, "score": timed.case.score}
    row |= dict(zip(("fresh p50", "p95", "max"), _percentiles(timed.fresh.cpu), strict=True))
    row["front"] = f"{timed.points:,}{'' if timed.whole else ' of more'}"
    row["made in"] = _ms(timed.front.cpu[0])
    row["known p95"] = _ms(np.percentile(timed.looked_up.cpu, 95))
    row |= {f"best {top}" if top == TOPS[0] else str(top): _ms(max(timed.tops[top].cpu)) for top in TOPS}
    return row


def _hard(case: Case, times: Times) -> dict[str, object]:
    row: dict[str, object] = {"zoo": case.zoo, "score": case.score, "budgets": len(times.cpu)}
    row |= dict(zip(("p50", "p95", "max"), _percentiles(times.cpu), strict=True))
    return row | {"wall p95": _ms(np.percentile(times.wall, 95)), "stopped": times.stopped or ""}


def _hard_within_goal(costs: Sequence[tuple[Case, Times]]) -> str:
    missed = [
        f"{case.zoo} with {case.score} ({_ms(p95)} ms)"
        for case, times in costs
        if (p95 := np.percentile(times.cpu, 95)) > GOAL
    ]
    kept = f"Here {len(costs) - len(missed)} of {len(costs)} keep {GOAL:.0f} ms at the 95th percentile"
    return kept + (f", not {'; '.join(missed)}." if missed else ".")


def _within_goal(times: Sequence[Timed]) -> str:
    words = []
    for name, of in (("fresh", "fresh"), ("with the front known", "looked_up")):
        missed = [
            f"{timed.case.zoo} with {timed.case.score} ({_ms(p95)} ms)"
            for timed in times
            if (p95 := np.percentile(getattr(timed, of).cpu, 95)) > GOAL
        ]
        kept = f"{len(times) - len(missed)} of {len(times)}"
        words.append(f"{name}: {kept}" + (f", not {'; '.join(missed)}" if missed else ""))
    tops = [max(times.cpu) for timed in times for times in timed.tops.values()]
    return (
        f"The optimum within {GOAL:.0f} ms at the 95th percentile, CPU time, {'; '.join(words)}. The best "
        f"{TOPS[0]} to {TOPS[-1]} take up to {_ms(max(tops))} ms; in {sum(top <= GOAL for top in tops)} of "
        f"{len(tops)} cells no more than {GOAL:.0f}."
    )


def _infeasible(times: Sequence[Timed]) -> str:
    rows = sum(len(timed.budgets) for timed in times)
    on_sliders = sum(timed.infeasible for timed in times)
    nearest = [value for timed in times for value in timed.nearest.cpu]
    return _NEAREST.format(
        rows=rows,
        infeasible=on_sliders,
        beyond=len(nearest) - on_sliders,
        p50=_ms(np.percentile(nearest, 50)),
        p95=_ms(np.percentile(nearest, 95)),
        most=_ms(max(nearest)),
    )


def _qualities(found: Sequence[Ranked]) -> Rows:
    return [
        {
            "zoo": name,
            "budget": f"{budget} ({each.feasible:,})",
            "search": search,
            "scored": each.scored,
            "mean rank": f"{each.mean_rank:,.1f}",
            "median": f"{each.median_rank:,.0f}",
            "of top 20": f"{each.top20:.1f}",
            "optimum": f"{100 * each.optimum:.0f} %",
        }
        for name, budget, search, each in found
    ]


def _ranks(found: Sequence[Ranked]) -> str:
    """Each search with most scored hybrids, over all zoos and budgets."""
    most = max(each.scored for *_, each in found)
    words = []
    for search in dict.fromkeys(search for _, _, search, _ in found):
        rows = [each for *_, name, each in found if name == search and each.scored == most]
        ranks, top20 = [row.mean_rank for row in rows], [row.top20 for row in rows]
        hits = [100 * row.optimum for row in rows]
        words.append(
            f"{search}: mean rank {min(ranks):,.1f} to {max(ranks):,.1f}, {min(top20):.1f} to "
            f"{max(top20):.1f} of the top 20, the optimum in {min(hits):.0f} to {max(hits):.0f} % of the runs"
        )
    return f"With {most} scored hybrids, over the zoos and budgets of each: {'; '.join(words)}."


def _table(rows: Rows) -> str:
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


_HEAD = """# Reassembly: the optimum while a slider moves

Written by `python -m benchmarks.reassembly --write`. The networks are timm's, 2 to 90 M params and 0.2 to
20 G MACs, one a family while there are families, each really cut: params, MACs and seams are true. The
scores are made up. Milliseconds are the CPU's, of one thread: they count work, not what else the machine
does (load average {load:.1f} on {cores} cores when this was written; "wall" is the clock beside it).
Compare within the tables only."""
_MOVED = """## After a slider moved

{steps} budgets: the params slider dragged down from end to end, the MACs slider, then both up again, each
while the other rests low; more steps where it is tight. The score has terms for blocks and for adjacent
pairs. *Fresh* searches anew at every budget; with the *front known* it looks there. The *program* is the
paper's equations 8 to 11 over all blocks and transitions in python-mip: one solve, the model's making
included, at one budget in {every} and for at most {seconds:g} s of the clock, which on a busy machine are
few of the CPU; those *stopped* there count with the time until then. All answers are asserted equal: the
front's to the fresh search's, hybrid by hybrid, the programs' in score; and at a few budgets all hybrids
were counted through, none better."""
_FAST = """## The fast path with any score

*Blocks and seams*: no terms for pairs, as with few samples. *Front*: all its points, and how long it took
to make; *known* is a look-up in it. *Best m*: the slowest of six budgets, fresh."""
_HARD = """## The hardest scores

Where the score is the params or MACs themselves (the baselines that count as scores too), a limit on what
is maximised makes a knapsack: many hybrids come close to it, and bounds hardly tell them apart. Fresh
searches alone, stopped after {seconds:g} s; of trade-offs there are too many for a whole front."""
_NEAREST = """## When nothing fits

Of the {rows} budgets on the sliders {infeasible} are kept by no hybrid: a small network's blocks are
small by both measures. {beyond} more were made infeasible, below the sliders' ends. The nearest feasible
budget was found for all of them, and a hybrid in it; for a few all hybrids were counted through: no
smaller raise helps. Milliseconds: p50 {p50}, p95 {p95}, at most {most}."""
_QUALITY = """## What other searches find with as many scored hybrids

The best hybrid's exact rank among all that fit (1: the optimum) and how many of the true best 20 were
scored, over {seeds} seeds ({fewer} for proposals). *Official-style*: shuffle all blocks, go through them
once, keep what improves, begin again. *Random*: hybrids within the budget, the paper's text with its 500.
Both are counted generously: only distinct hybrids that fit count, nothing is drawn in vain. *Proposals*
is the product's way where not all hybrids can be scored; it is counted with what it scores in vain, and
not run with 100 networks. In *rugged* 7 % of the
variance belongs to single hybrids, so no linear model has it; docs/scoring.md compares the three on
measured scores. Where the score is linear the fast path needs no search: rank 1 and all 20, without
scoring any."""
