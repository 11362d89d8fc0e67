"""docs/readings.md from what benchmarks/readings.py measured: tables, and sentences that follow from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from dery_core.partition import Partition
from dery_core.zoo import SizeMeasure

KS, EPSILON = (3, 4, 6), 0.2
SIZES: tuple[SizeMeasure, ...] = ("params", "macs", "nodes")
NAMES = {"params": "parameters", "macs": "MACs", "nodes": "nodes"}
HOLDS, PARTLY = 0.95, 0.8

INTRODUCTION = """# Two readings of a partition

The paper cuts every network into K blocks and puts each block into the equivalence set whose anchor it is
most like; it reads the result so that sets go with the depth of blocks. The official code gives blocks of
different stages a similarity of 0, so it can't find anything else. Made by `python -m benchmarks.readings
--write`: {images} images, ε = {epsilon}, at most {seconds:.0f} s for a partition and its proof, one thread.

**1. Do equivalence sets follow the stage index when nothing forces them to?** The free variant lets every
block choose its set. *In its stage's set*: the share of blocks in the set that belongs to their stage,
where sets and stages are matched one to one as well as they can be. *One in every set*: the share of
networks with a block in each set. *Own anchor*: the share of blocks whose set has an anchor from their own
network, which a staged partition keeps at one block of each set. We say that the reading *holds* from
{holds:.0f} % of the blocks on, *partly* from {partly:.0f} %, and that it *doesn't* below. Two controls,
mean of {shuffles} draws: *cuts shuffled*, every network's cuts (but the picture it begins with) in random
order, which leaves all likenesses and takes depth away; *images shuffled*, every network on the same images
in an order of its own, which takes all likeness between networks away and leaves sizes and the choice of
anchors.

**2. How much does it change the answer whether size means parameters, MACs or nodes?** The staged variant,
which the app uses, solved with each. *Same cuts*: share of the K - 1 inner cuts a network that are the
same. *Shift*: how far a cut moves, in percent of the network's nodes. *Moved*: share of nodes that are in
another stage. *Rand*: adjusted Rand index of the stages of all nodes, 1 being the same partition and 0 what
chance gives. The lines below it say what else changes how much, by the size in parameters.
"""


@dataclass(frozen=True)
class Reading:
    """A free partition: shares of blocks in their stage's set (over all, by stage), of networks with a block
    in every set, of blocks whose set has an anchor of their own network; how much its objective
    exceeds the staged one's, and its own gap to the bound."""

    matched: float
    by_stage: tuple[float, ...]
    whole: float
    kin: float
    edge: float
    gap: float


@dataclass(frozen=True)
class Difference:
    """Between two partitions: shares of equal cuts, mean shift, share of nodes moved, adjusted Rand index."""

    same: float
    shift: float
    moved: float
    rand: float


class Part(NamedTuple):
    """All that was measured on one zoo."""

    title: str
    readings: Sequence[tuple[str, tuple[int, SizeMeasure], Reading]]
    differences: Sequence[tuple[str, int, Difference]]
    partitions: Mapping[tuple[int, SizeMeasure], Partition]

    def of(self, title: str, k: int, size: SizeMeasure) -> list[Reading]:
        return [found for name, at, found in self.readings if name == title and at == (k, size)]

    def mean(self, title: str, k: int, size: SizeMeasure, field: str) -> float:
        return float(np.mean([getattr(found, field) for found in self.of(title, k, size)]))

    @property
    def models(self) -> tuple[str, ...]:
        return next(iter(self.partitions.values())).models

    @property
    def titles(self) -> list[str]:
        """The other probes and measures."""
        names = dict.fromkeys(name for name, _, _ in self.readings)
        return [name for name in names if name not in ("zoo", "cuts", "images")]


def document(parts: Iterable[Sequence[object]], images: int, shuffles: int, seconds: float) -> str:
    text = INTRODUCTION.format(
        images=images,
        epsilon=EPSILON,
        seconds=seconds,
        holds=100 * HOLDS,
        partly=100 * PARTLY,
        shuffles=shuffles,
    )
    measured = [Part(*part) for part in parts]  # type: ignore[arg-type]
    return "\n".join([text, short(measured), *map(section, measured)])


def short(parts: Sequence[Part]) -> str:
    """What holds and what doesn't, in a few sentences."""
    lines = ["## In short\n"]
    for part in parts:
        name = f"- {part.title.capitalize()} zoo"
        cases = [(k, size) for k in KS for size in SIZES]
        shares = np.array([part.mean("zoo", k, size, "matched") for k, size in cases])
        control = np.array([part.mean("cuts", k, size, "matched") for k, size in cases])
        good = [f"K = {k} by {NAMES[size]}" for (k, size), s in zip(cases, shares, strict=True) if s >= HOLDS]
        lines.append(
            f"{name}: sets follow the stage index in {len(good)} of {len(cases)} cases"
            + (f" ({', '.join(good)})" if good else "")
            + f". On average {percent(shares.mean())} % of the blocks are in their stage's set, and "
            f"{percent(control.mean())} % where cuts are shuffled. "
            + (
                'So "stage k is set k" is imposed by the staged variant, not found.'
                if 2 * len(good) < len(cases)
                else 'So "stage k is set k" is mostly what the tables ask for.'
            )
        )
        rand = {title: [d.rand for pair, _, d in part.differences if pair == title] for title in size_pairs()}
        means = ", ".join(f"{in_words(title)} {np.mean(values):.2f}" for title, values in rand.items())
        lines.append(f"{name}: adjusted Rand index of partitions by two sizes, mean over K: {means}.")
    return "\n".join(lines) + "\n"


def in_words(pair: str) -> str:
    return " ".join(NAMES.get(word, word) for word in pair.split())


def section(part: Part) -> str:
    partition = next(iter(part.partitions.values()))
    count = f"{len(partition.models)} networks, {sum(blocks[-1].end for blocks in partition.blocks)} nodes"
    return "\n\n".join(
        [
            f"## The {part.title} zoo: {count}",
            "### Sets and stages",
            first_sentences(part),
            first_table(part),
            "Size by parameters, other images and other measures; blocks in their stage's set, in %:",
            others_table(part),
            "### Parameters, MACs or nodes",
            second_sentences(part),
            second_table(part),
            objective_table(part),
            "",
        ]
    )


def first_sentences(part: Part) -> str:
    lines = []
    for size in SIZES:
        shares = [part.mean("zoo", k, size, "matched") for k in KS]
        shuffled = [part.mean("cuts", k, size, "matched") for k in KS]
        apart = [part.mean("images", k, size, "matched") for k in KS]
        lines.append(
            f"- By {NAMES[size]} the reading {verdict(shares)}: {percents(shares)} % of the blocks are in "
            f"their stage's set for K = {', '.join(map(str, KS))}, against {percents(shuffled)} % with cuts "
            f"shuffled and {percents(apart)} % with images shuffled; "
            f"{percents([part.mean('zoo', k, size, 'whole') for k in KS])} % of the networks have one block "
            "in every set."
        )
    found = [part.of("zoo", k, size)[0] for k in KS for size in SIZES]
    begin, rest = (np.mean([np.mean(each.by_stage[a:b]) for each in found]) for a, b in ((0, 1), (1, None)))
    lines.append(
        f"- First blocks are in their stage's set in {percent(begin)} % of all cases, later ones in "
        f"{percent(rest)} %: all networks begin with the same picture, which counts as a likeness of 1 there."
    )
    kin = [part.mean("zoo", k, size, "kin") for k in KS for size in SIZES]
    lines.append(
        f"- {percent(min(kin))} to {percent(max(kin))} % of the blocks are in a set whose anchor is of their "
        f"own network, where a staged partition has {100 / len(part.models):.0f} %: blocks of one network "
        "are much like each other, and nothing in the paper's objective keeps them apart."
    )
    edges = [part.mean("zoo", k, size, "edge") for k in KS for size in SIZES]
    gaps = [found.gap for name, _, found in part.readings if name == "zoo"]
    proved = sum(gap < 1e-6 for gap in gaps)
    lines.append(
        f"- Freedom adds {100 * min(edges):.1f} to {100 * max(edges):.1f} % to the staged objective. Of "
        f"these {len(gaps)} free partitions {proved} {'is' if proved == 1 else 'are'} proved optimal"
        + (
            f"; the others are at most {100 * max(gaps):.2f} % below the bound."
            if proved < len(gaps)
            else "."
        )
    )
    return "\n".join(lines)


def verdict(shares: Sequence[float]) -> str:
    if min(shares) >= HOLDS:
        return "**holds**"
    if min(shares) >= PARTLY:
        return "**holds partly**"
    if max(shares) >= PARTLY:
        few = ", ".join(str(k) for k, share in zip(KS, shares, strict=True) if share < PARTLY)
        return f"**doesn't hold for K = {few}**"
    return "**doesn't hold**"


def first_table(part: Part) -> str:
    rows = []
    for k in KS:
        for size in SIZES:
            found = part.of("zoo", k, size)[0]
            shares = [percent(getattr(found, name)) for name in ("matched", "whole", "kin")]
            stages = " ".join(percent(share) for share in found.by_stage)
            cuts = percent(part.mean("cuts", k, size, "matched"))
            images = [percent(part.mean("images", k, size, name)) for name in ("matched", "kin")]
            ends = [f"{100 * found.edge:.1f}", f"{100 * found.gap:.2f}"]
            rows.append([str(k), NAMES[size], shares[0], stages, *shares[1:], cuts, *images, *ends])
    headers = [
        "K",
        "size",
        "in its stage's set %",
        "by stage, first to last %",
        "one in every set %",
        "own anchor %",
    ]
    headers += [
        "cuts shuffled: in its stage's set %",
        "images shuffled: in its stage's set %",
        "own anchor %",
    ]
    return github(rows, [*headers, "above staged %", "below bound %"], left=2)


def others_table(part: Part) -> str:
    rows = [
        [name, *(percent(part.mean(name, k, "params", "matched")) for k in KS)]
        for name in ("zoo", *part.titles)
    ]
    rows[0][0] = "as above"
    return github(rows, ["", *(f"K = {k}" for k in KS)])


def second_sentences(part: Part) -> str:
    lines = []
    for one, other in combinations(SIZES, 2):
        name = f"{one} or {other}"
        found = [difference for title, _, difference in part.differences if title == name]
        shift = " / ".join(f"{100 * d.shift:.0f}" for d in found)
        lines.append(
            f"- {sentence_case(in_words(name))}: {percents([d.same for d in found])} % of the cuts are the "
            f"same for K = {', '.join(map(str, KS))}, a cut moves by {shift} % of a network's "
            f"nodes, the adjusted Rand index is {' / '.join(f'{d.rand:.2f}' for d in found)}."
        )
    sizes = [d.rand for title, _, d in part.differences if title in size_pairs()]
    rest: dict[str, list[float]] = {}
    for title, _, d in part.differences:
        if title not in size_pairs():
            rest.setdefault(title, []).append(d.rand)
    means = {title: float(np.mean(values)) for title, values in rest.items()}
    more = [title for title, value in means.items() if value < np.mean(sizes)]
    lines.append(
        f"- Mean Rand index between two sizes: {np.mean(sizes):.2f}. "
        + (
            f"Changing the answer more than that: {', '.join(more)}."
            if more
            else "Nothing else that was tried (other images, measures, a wider ε) changes the answer as much."
        )
    )
    return "\n".join(lines)


def size_pairs() -> list[str]:
    return [f"{one} or {other}" for one, other in combinations(SIZES, 2)]


def second_table(part: Part) -> str:
    rows = []
    for title in dict.fromkeys(title for title, _, _ in part.differences):
        row = [in_words(title) if title in size_pairs() else title]
        for k in KS:
            found = next(d for name, at, d in part.differences if name == title and at == k)
            same, shift, moved, rand = (getattr(found, field.name) for field in fields(Difference))
            row += [percent(same), f"{100 * shift:.1f}", percent(moved), f"{rand:.2f}"]
        rows.append(row)
    columns = ["same cuts %", "shift %", "moved %", "Rand"]
    headers = ["", *(f"K = {k}: {name}" if i == 0 else name for k in KS for i, name in enumerate(columns))]
    return github(rows, headers)


def objective_table(part: Part) -> str:
    rows = []
    for size in SIZES:
        row: list[str] = [NAMES[size]]
        for k in KS:
            found = part.partitions[k, size]
            share = found.objective / (2 * k * len(found.models))
            row += [f"{found.objective:.3f}", f"{100 * share:.1f}", str(len(found.widened))]
        rows.append(row)
    columns = ["objective", "% of the most", "widened"]
    headers = [
        "size",
        *(f"K = {k}: {name}" if i == 0 else name for k in KS for i, name in enumerate(columns)),
    ]
    mean = {
        size: np.mean([part.partitions[k, size].objective / (2 * k * len(part.models)) for k in KS])
        for size in SIZES
    }
    best, worst = max(SIZES, key=lambda size: mean[size]), min(SIZES, key=lambda size: mean[size])
    unproved = sum(not found.proved for found in part.partitions.values())
    proof = "All are proved optimal." if not unproved else f"**{unproved} of them are not proved optimal.**"
    return (
        "Objectives of the staged partitions, in percent of 2 a block, the most there can be; *widened*: "
        f"networks whose limit no partition can keep. Blocks of a set are most alike by {NAMES[best]} "
        f"({percent(float(mean[best]))} % on average), least by {NAMES[worst]} "
        f"({percent(float(mean[worst]))} %). {proof}\n\n{github(rows, headers)}"
    )


def sentence_case(text: str) -> str:
    return text[0].upper() + text[1:]


def percent(share: float) -> str:
    return f"{100 * share:.0f}"


def percents(shares: Sequence[float]) -> str:
    return " / ".join(map(percent, shares))


def github(rows: Sequence[Sequence[str]], headers: Sequence[str], left: int = 1) -> str:
    aligned = ("left",) * left + ("right",) * (len(headers) - left)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=aligned)
