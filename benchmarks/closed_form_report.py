"""The tables of docs/closed_form_seams.md, from what benchmarks/closed_form.py measured."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t
from tabulate import tabulate

from dery_core.demo import DemoReport
from dery_core.demo import outcome as demo_outcome
from dery_core.files import write_text
from dery_core.reassembly import Candidates
from dery_core.training import Start

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "closed_form_seams.md"
MARKER = "<!-- Below: written by benchmarks/closed_form.py -->"

STAGES, HYBRIDS, SEEDS = 4, 20, (0, 1, 2)
FIT, TEST, FEWER = 1000, 800, (300, 50)
CLOSED, CALIBRATED, RAW = "closed-form", "random, calibrated", "random, as made"
STARTS: tuple[Start, ...] = ("random", "closed-form")
EPOCHS = (0, 1, 2, 4, 8)
Row = dict[str, Any]


def summary(options: Candidates, known: dict[str, Row]) -> str:
    """The tables on real networks, as Markdown."""
    return "\n\n".join(
        [
            means_table(known),
            difference(known, CALIBRATED, SEEDS),
            difference(known, RAW, SEEDS[:1]),
            "Top-1 of the networks' own last features under the same head, and of the hybrids that hold a "
            "block of them:",
            sources_table(options, known),
            against_sources(known),
            "R² of the seams on held-out images, by position:",
            r2_table(known),
            "Closed-form seams fitted on fewer images (the head always on all), seed "
            f"{SEEDS[0]}, mean of {HYBRIDS} hybrids:",
            fewer_table(known),
            "Every hybrid, mean of the seeds. A digit a stage says whose block it is: "
            + ", ".join(f"{i} `{name}`" for i, name in enumerate(options.models))
            + ".",
            hybrids_table(known),
        ]
    )


def row_of(known: dict[str, Row], seed: int, choice: tuple[int, ...], seams: str, images: int = FIT) -> Row:
    return known[f"{seed}/{''.join(map(str, choice))}/{seams}/{images}"]


def over(known: dict[str, Row], seams: str, seeds: Sequence[int], images: int = FIT) -> NDArray[np.float64]:
    """Top-1 (seeds, hybrids)."""
    choices = drawn_again(known)
    return np.array([[row_of(known, s, c, seams, images)["top1"] for c in choices] for s in seeds])


def drawn_again(known: dict[str, Row]) -> list[tuple[int, ...]]:
    """The hybrids, in the order they were drawn."""
    found = dict.fromkeys(key.split("/")[1] for key in known if f"/{CLOSED}/" in key)
    return [tuple(map(int, choice)) for choice in found]


def means_table(known: dict[str, Row]) -> str:
    rows = []
    for seams, seeds in ((CLOSED, SEEDS), (CALIBRATED, SEEDS), (RAW, SEEDS[:1])):
        values = over(known, seams, seeds)
        each = [f"{mean:.1f}" for mean in values.mean(1)] + ["–"] * (len(SEEDS) - len(seeds))
        rows.append([seams, f"{values.mean():.1f}", *each, f"{values.min():.1f}–{values.max():.1f}"])
    return table(rows, ["seams", "top-1 %", *(f"seed {seed}" for seed in SEEDS), "range"])


def difference(known: dict[str, Row], control: str, seeds: Sequence[int]) -> str:
    """The paired difference in a sentence: its interval is over hybrids, each the mean of its seeds."""
    each = over(known, CLOSED, seeds) - over(known, control, seeds)
    gaps = each.mean(0)
    mean = gaps.mean()
    half = t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps))
    outcomes = Counter(
        outcome(row_of(known, s, c, CLOSED)["right"], row_of(known, s, c, control)["right"])
        for s in seeds
        for c in drawn_again(known)
    )
    return (
        f"**Closed-form less {control}: {mean:+.1f} points, 95 % interval {mean - half:+.1f} to "
        f"{mean + half:+.1f}** (over {len(gaps)} random hybrids of two or more of this zoo's networks, "
        f"{len(seeds)} seed{'s' * (len(seeds) > 1)}); smallest {gaps.min():+.1f}, largest {gaps.max():+.1f}. "
        f"Of {each.size} pairs on the same {TEST} test images "
        f"{outcomes['win']} were won, {outcomes['tie']} tied, {outcomes['loss']} lost (a tie: McNemar's "
        f"exact test gives p ≥ 0.05); in {(each < 0).sum()} the closed form was behind at all."
    )


def outcome(closed: str, control: str) -> str:
    better = sum(a > b for a, b in zip(closed, control, strict=True))
    worse = sum(a < b for a, b in zip(closed, control, strict=True))
    if better + worse == 0 or binomtest(better, better + worse).pvalue >= 0.05:
        return "tie"
    return "win" if better > worse else "loss"


def sources_table(options: Candidates, known: dict[str, Row]) -> str:
    choices = drawn_again(known)
    closed, random = (over(known, seams, SEEDS).mean(0) for seams in (CLOSED, CALIBRATED))
    ends = np.array([choice[-1] for choice in choices])
    rows = []
    for i, name in enumerate(options.models):
        own = [row_of(known, seed, (i,) * STAGES, RAW)["top1"] for seed in SEEDS]
        first = [top1 for choice, top1 in zip(choices, closed, strict=True) if choice[0] == i]
        last, gained = closed[ends == i], (closed - random)[ends == i]
        gain = f"{gained.mean():+.1f}" if len(gained) else "–"
        row = [f"{i} `{name}`", f"{np.mean(own):.1f}", mean_and_count(first), mean_and_count(last), gain]
        rows.append(row)
    headers = ["hybrids that begin with it %", "that end with it %", "these less random, calibrated"]
    return table(rows, ["network", "itself %", *headers])


def against_sources(known: dict[str, Row]) -> str:
    """How the hybrids stand to the networks they were made of, in a sentence."""
    gaps = []
    for choice, top1 in zip(drawn_again(known), over(known, CLOSED, SEEDS).mean(0), strict=True):
        own = {i: np.mean([row_of(known, s, (i,) * STAGES, RAW)["top1"] for s in SEEDS]) for i in set(choice)}
        gaps.append([top1 - max(own.values()), top1 - min(own.values())])
    best, worst = np.array(gaps).T
    return (
        f"A closed-form hybrid stands {best.mean():+.1f} points to the best network that it holds a block "
        f"of, {worst.mean():+.1f} to the worst (means); {(best > 0).sum()} of {len(best)} are above the "
        f"best, {(worst < 0).sum()} below the worst."
    )


def mean_and_count(values: Sequence[float] | NDArray[np.float64]) -> str:
    return f"{np.mean(values):.1f} ({len(values)})" if len(values) else "–"


def r2_table(known: dict[str, Row]) -> str:
    rows = []
    for k in range(STAGES - 1):
        values = [row_of(known, s, c, CLOSED)["r2"][k] for s in SEEDS for c in drawn_again(known)]
        found = [value for value in values if value is not None]
        rows.append(
            [f"{k + 1} to {k + 2}", str(len(found) // len(SEEDS)), f"{np.mean(found):.2f}"]
            + [f"{min(found):.2f}–{max(found):.2f}"]
        )
    return table(rows, ["stages", "seams", "mean R²", "range"])


def fewer_table(known: dict[str, Row]) -> str:
    full, random = (over(known, seams, SEEDS[:1]).mean() for seams in (CLOSED, CALIBRATED))
    rows = [[str(n), f"{over(known, CLOSED, SEEDS[:1], n).mean():.1f}"] for n in FEWER]
    return table(
        [[str(FIT), f"{full:.1f}"], *rows, ["none (random)", f"{random:.1f}"]], ["images", "top-1 %"]
    )


def hybrids_table(known: dict[str, Row]) -> str:
    closed, random = (over(known, seams, SEEDS).mean(0) for seams in (CLOSED, CALIBRATED))
    rows = []
    for choice, a, b in sorted(
        zip(drawn_again(known), closed, random, strict=True), key=lambda r: r[2] - r[1]
    ):
        r2 = zip(*(row_of(known, seed, choice, CLOSED)["r2"] for seed in SEEDS), strict=True)
        fits = ["–" if None in values else f"{np.mean(values):.2f}" for values in r2]
        rows.append(["".join(map(str, choice)), f"{a:.1f}", f"{b:.1f}", f"{a - b:+.1f}", *fits])
    return table(rows, ["hybrid", "closed-form %", "random %", "difference", "R² 1", "R² 2", "R² 3"])


def demo_summary(demos: Mapping[Start, DemoReport], curves: dict[str, list[Row]]) -> str:
    """The tables on the embedded zoo, as Markdown."""
    rows = []
    for start in STARTS:
        top1 = np.array([[curves[f"{start}/{seed}"][epoch]["top1"] for epoch in EPOCHS] for seed in SEEDS])
        rows.append(
            [start, *(f"{m:.1f} ± {d:.1f}" for m, d in zip(top1.mean(0), top1.std(0, ddof=1), strict=True))]
        )
    heads = np.array([curves[f"head/{seed}"][0]["top1"] for seed in SEEDS])
    members = {start: {m.name: m for m in demos[start].members} for start in STARTS}
    explained = (
        f"{', '.join(f'{100 * r2:.0f}' for r2 in curves[f'seams/{seed}'][0]['r2'])} % (seed {seed})"
        for seed in SEEDS
    )
    compared = [
        [
            "**the hybrid**",
            *(f"{demos[s].hybrid.top1_before:.1f} → {demos[s].hybrid.top1:.1f}" for s in STARTS),
        ]
    ]
    for name in members[STARTS[0]]:
        each = (members[start][name] for start in STARTS)
        compared.append([f"`{name}`", *(f"{m.top1_before:.1f} → {m.top1:.1f}" for m in each)])
    return "\n\n".join(
        [
            f"The demo's hybrid: top-1 % after so many epochs of a run of {EPOCHS[-1]}, mean ± standard "
            f"deviation of {len(SEEDS)} seeds:",
            table(rows, ["start", *(str(epoch) for epoch in EPOCHS)]),
            f"The closed form's head behind random, calibrated seams, untrained: {heads.mean():.1f} ± "
            f"{heads.std(ddof=1):.1f}.",
            "What its seams explain of what the next blocks saw, on held-out images, in order: "
            f"{'; '.join(explained)}.",
            f"The demo, seed {SEEDS[0]}, top-1 % before → after frozen tuning:",
            table(compared, ["network", *STARTS]),
            "\n".join(f"- {start}: {demo_outcome(demos[start])}" for start in STARTS),
        ]
    )


def table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    aligned = ("left",) + ("right",) * (len(headers) - 1)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=aligned)


def write_figures(real: str, demo: str) -> None:
    """Replace what stands below the marker in the document."""
    before = DOCUMENT.read_text().split(MARKER)[0] if DOCUMENT.exists() else "# Closed-form seams\n\n"
    figures = f"## Figures: real networks\n\n{real}\n\n## Figures: the demo\n\n{demo}\n"
    write_text(DOCUMENT, f"{before}{MARKER}\n\n{figures}")
