"""docs/ablations.md from what benchmarks/ablations.py trained: tables, and verdicts that follow from them."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, t, ttest_ind
from tabulate import tabulate

from benchmarks.job_pool import Result
from dery_core.reassembly import Budget
from dery_core.scoring import SCORES
from dery_core.training import Start
from dery_core.units import quantity

SEEDS = (0, 1, 2)
KS = (4, 5, 6)
EPOCHS = 4
POOL = 30
DRAWN = {4: 8, 5: 4, 6: 4}
RETRAINED = 10
SCORED = ("naswot", "ridge-probe")
BASE = "resnet_m.clutter"
TARGETS = {
    "resnet_l.larger": "layer{stage}",
    "regnet.clutter": "s{stage}",
    "convnext.clutter": "stages.{before}",
}
"""Networks that give a block in place of the base's, and what the nodes of their stages are called."""
STAGES = (1, 2, 3, 4)
STARTS: dict[str, Start] = {"random seams": "random", "from scratch": "random", "closed form": "closed-form"}

ALL = "drawn"

Floats = NDArray[np.float64]
Choice = tuple[int, ...]
Known = Mapping[str, Result]

TEXT = """# The paper's ablations at our scale

Sections 4.1 and 4.3 of the paper, on the embedded zoo (15 networks for 32 px pictures) and its target task,
with three seeds. The budget is the demo's: {budget}. A seed draws the hybrids (and the
random cuts) and trains them. *Frozen* trains seams and head alone, *full* all weights; {epochs} epochs by the
product's recipe, where the paper trains 100 on ImageNet with eight graphics cards: its accuracies can't be
compared with these, only the signs of its differences. Frozen tuning also stands in where the paper tuned
in full, unless said otherwise. ± is the standard deviation of the seeds, brackets are 95 % intervals
(Student's t, over the seeds unless it says otherwise). A claim *held* where its interval lies above 0, it
*failed* where it lies below, else it is *open*: three seeds tell large effects only. Made by
`python -m benchmarks.ablations`.

{summary}

## Partition and selection

Every seed draws {pool} hybrids of two networks or more within the budget of the demo. *Best by a score*:
the one of them that the score puts first, trained. *Best of {drawn} trained*: the first {drawn} are trained
and the best is taken; as that is partly luck, it is trained again with another seed, and this counts.
*Drawn*: the mean of the {drawn}. *Ours* is the exact partition, *random cuts* cuts every network at three
places drawn evenly, whatever the sizes of its blocks. Both keep blocks in the order of their stages (the
paper's random partition doesn't; what order is worth is asked below). Frozen, top-1 %:

{selection}

The paper, DeRy(4, 50, 10) on ImageNet: partition and score 72.0, random partition and score 70.5, partition
and the best of 25 trained 73.5, neither 72.2.

{selection_said}

## The number of blocks

The same for K = 4, 5 and 6, with {fewer} drawn hybrids a seed trained. Frozen, top-1 %:

{granularity}

The paper, DeRy(K, 30, 6), full: 79.6, 79.7 and 79.8 for K = 4, 5 and 6, which it calls stable or slightly
rising.

{granularity_said}

## Architecture or weights

The hybrids that the scores chose of seed {first}'s pool (K = 4), tuned in full from three beginnings: the
zoo's weights with random seams (as the product does), all weights random, and the zoo's weights with seams
and head fitted in closed form. The paper reports that training its architecture from scratch loses much,
without a number in the main text. Top-1 %:

{weights}

{weights_said}

{weights_why}

## Position

As the paper's figure 4: stage 3 or 4 of `{base}` gives way to a stage of another network, frozen.
The stages are the architectures' own, not the partition's; *S* is the similarity of the block that goes and
the one that comes (0 to 2). `{base}` as it is, frozen: {own} %. Top-1 %:

{position}

The paper: a block of the same stage gives 70 % or more (ResNet-50 has 76.8), of other stages less, and
S orders the stages of one target network as their accuracy does.

{position_said}
"""


@dataclass(frozen=True)
class Place:
    """Stage `position` of the base network replaced by stage `stage` of the target, both counted from 1;
    `similarity` is S of the two blocks."""

    position: int
    target: str
    stage: int
    similarity: float

    def key(self, seed: int) -> str:
        return f"place/{self.position}/{self.target}/{self.stage}/{seed}"


@dataclass(frozen=True)
class Claim:
    """A difference that the paper says is above 0, and its 95 % interval."""

    sentence: str
    mean: float
    low: float
    high: float
    unit: str = " points"

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return "held"
        return "failed" if self.high < 0 else "open"

    def __str__(self) -> str:
        digits = 1 if self.unit else 2
        low, high = f"{self.low:+.{digits}f}", f"{self.high:+.{digits}f}"
        figures = f"{self.mean:+.{digits}f}{self.unit} [{low}, {high}]"
        said = f"- **{self.verdict.capitalize()}**: {self.sentence} ({figures})."
        return textwrap.fill(said, 110, subsequent_indent="  ")


def key(cutting: str, choice: Choice, what: str, seed: int) -> str:
    """How a training is called in the file that keeps it."""
    return f"{cutting}/{'-'.join(map(str, choice))}/{what}/{seed}"


def own_key(seed: int) -> str:
    """The same of the base network as it is."""
    return f"place/own/{seed}"


def claim(sentence: str, differences: Sequence[float] | Floats) -> Claim:
    """A claim whose difference was measured once a seed."""
    values = np.asarray(differences)
    mean, count = float(values.mean()), len(values)
    width = float(t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return Claim(sentence, mean, mean - width, mean + width)


@dataclass(frozen=True)
class Selections:
    """Top-1 by way of selection, once a seed, of one way of cutting; `drawn` holds all drawn hybrids."""

    rows: dict[str, Floats]
    drawn: Floats


def selections(
    pools: Mapping[str, Mapping[int, list[Choice]]],
    chosen: Mapping[str, Mapping[str, Choice]],
    known: Known,
    cutting_of: Mapping[int, str],
    count: int,
    retrained: bool = True,
) -> Selections:
    """What selecting in each way gave, where `cutting_of[seed]` is the cutting of that seed; the best of
    those trained only where it was `retrained`."""
    rows: dict[str, list[float]] = {}
    everything = []
    for seed, name in cutting_of.items():
        drawn = pools[name][seed][:count]
        top1 = [known[key(name, choice, "frozen", seed)]["top1"] for choice in drawn]
        everything += top1
        for score in SCORED:
            best = chosen[name][f"{score}/{seed}"]
            value = known[key(name, best, "frozen", seed)]["top1"]
            rows.setdefault(f"best by {SCORES[score].title} of {POOL}", []).append(value)
        if retrained:
            best = drawn[int(np.argmax(top1))]
            again = known[key(name, best, "frozen", seed + RETRAINED)]["top1"]
            rows.setdefault(f"best of {count} trained", []).append(again)
            rows.setdefault("the same, as first trained", []).append(max(top1))
        rows.setdefault(ALL, []).append(float(np.mean(top1)))
    return Selections({name: np.array(values) for name, values in rows.items()}, np.array(everything))


def document(
    budget: Budget,
    pools: Mapping[str, Mapping[int, list[Choice]]],
    chosen: Mapping[str, Mapping[str, Choice]],
    best: Mapping[str, Choice],
    places: Sequence[Place],
    known: Known,
) -> str:
    """The whole of docs/ablations.md."""
    k = KS[0]
    ways = {
        "ours": selections(pools, chosen, known, dict.fromkeys(SEEDS, f"ours-{k}"), DRAWN[k]),
        "random cuts": selections(pools, chosen, known, {s: f"random-{k}-{s}" for s in SEEDS}, DRAWN[k]),
    }
    fewest = min(DRAWN.values())
    by_k = {
        k: selections(pools, chosen, known, dict.fromkeys(SEEDS, f"ours-{k}"), fewest, retrained=False)
        for k in KS
    }
    said = {
        "selection_said": _selection_claims(ways),
        "granularity_said": _granularity_claims(by_k),
        "weights_said": _weights_claims(best, known),
        "position_said": _position_claims(places, known),
    }
    claims = [claim for found in said.values() for claim in found]
    counts = {v: sum(c.verdict == v for c in claims) for v in ("held", "failed", "open")}
    within = f"{quantity(budget.max_params or 0)} params, {quantity(budget.max_macs or 0)} MACs"
    return TEXT.format(
        budget=within,
        epochs=EPOCHS,
        summary=textwrap.fill(
            f"Of {len(claims)} claims {counts['held']} held, {counts['failed']} failed, {counts['open']} are "
            f"open. {_losses(known)}",
            110,
        ),
        pool=POOL,
        drawn=DRAWN[k],
        fewer=fewest,
        first=SEEDS[0],
        base=BASE,
        selection=_selection_table(ways),
        granularity=_selection_table({f"K = {k}": found for k, found in by_k.items()}),
        weights=_weights_table(best, known),
        weights_why=_weights_why(best, known),
        own=_spread([known[own_key(seed)]["top1"] for seed in SEEDS]),
        position=_position_table(places, known),
        **{name: "\n".join(map(str, found)) for name, found in said.items()},
    )


def _losses(known: Known) -> str:
    """How often frozen training ends below the closed form it started from."""
    curves = [result["curve"] for name, result in known.items() if "/frozen/" in name]
    lost = sum(curve[-1] < curve[0] for curve in curves)
    return (
        f"Of the {len(curves)} frozen trainings of hybrids behind the first two tables {lost} end below the "
        "accuracy that their closed-form start had before the first step: part of the spread is the "
        "training's, not the hybrid's."
    )


def _selection_claims(ways: Mapping[str, Selections]) -> list[Claim]:
    ours, cut = ways["ours"], ways["random cuts"]
    found = []
    trained = next(name for name in ours.rows if name.endswith(" trained"))
    for name in ours.rows:
        if name.startswith("best"):
            found.append(
                claim(f"our partition is better than random cuts, {name}", ours.rows[name] - cut.rows[name])
            )
    test = ttest_ind(ours.drawn, cut.drawn, equal_var=False)
    interval = test.confidence_interval()
    found.append(
        Claim(
            f"our partition is better than random cuts for hybrids drawn at random (interval over "
            f"{len(ours.drawn)} hybrids each)",
            float(ours.drawn.mean() - cut.drawn.mean()),
            float(interval.low),
            float(interval.high),
        )
    )
    for name in ours.rows:
        if name.startswith("best"):
            found.append(
                claim(f"with our partition, {name} is better than drawing", ours.rows[name] - ours.rows[ALL])
            )
    for name in ours.rows:
        if name.startswith("best by"):
            found.append(
                claim(
                    f"with our partition, {trained} is better than {name}",
                    ours.rows[trained] - ours.rows[name],
                )
            )
    return found


def _granularity_claims(by_k: Mapping[int, Selections]) -> list[Claim]:
    first = by_k[KS[0]]
    return [
        claim(f"K = {k} is better than K = {KS[0]}, {name}", by_k[k].rows[name] - first.rows[name])
        for k in KS[1:]
        for name in by_k[k].rows
        if name.startswith("best by") or name == ALL
    ]


def _weights(known: Known, choice: Choice, what: str) -> Floats:
    return np.array([known[key(f"ours-{KS[0]}", choice, what, seed)]["top1"] for seed in SEEDS])


def _weights_claims(best: Mapping[str, Choice], known: Known) -> list[Claim]:
    gains = {
        name: _weights(known, choice, "random seams") - _weights(known, choice, "from scratch")
        for name, choice in best.items()
    }
    return [
        claim(f"{name}: the zoo's weights are better than random ones", gain) for name, gain in gains.items()
    ]


def _weights_table(best: Mapping[str, Choice], known: Known) -> str:
    rows = [
        [name, *(_spread(_weights(known, choice, what)) for what in STARTS)] for name, choice in best.items()
    ]
    return _table(rows, ["", "zoo's weights", "from scratch", "zoo's weights, closed form"])


def _weights_why(best: Mapping[str, Choice], known: Known) -> str:
    """What happens to the closed-form start in its first epoch."""
    curves = np.array(
        [
            known[key(f"ours-{KS[0]}", choice, "closed form", seed)]["curve"]
            for choice in best.values()
            for seed in SEEDS
        ]
    )
    before, first, last = (f"{curves[:, epoch].mean():.1f}" for epoch in (0, 1, -1))
    if not (curves[:, 1] < curves[:, 0]).all():
        return ""
    return textwrap.fill(
        "Every training from a closed-form start loses in its first epoch what the fit had given: "
        f"{before} % before it, {first} % after it, {last} % at the end (means). The steps that suit random "
        "seams are too large for fitted ones. docs/trust.md compares the two starts on more hybrids, full "
        "and frozen.",
        110,
    )


def _top1(place: Place, known: Known) -> Floats:
    return np.array([known[place.key(seed)]["top1"] for seed in SEEDS])


def _position_table(places: Sequence[Place], known: Known) -> str:
    rows = []
    for (position, target), group in groupby(places, lambda p: (p.position, p.target)):
        cells = []
        for place in group:
            cell = f"{_spread(_top1(place, known))} (S {place.similarity:.2f})"
            cells.append(f"**{cell}**" if place.stage == position else cell)
        rows.append([f"{position}", f"`{target}`", *cells])
    return _table(rows, ["replaced", "by", *(f"its stage {stage}" for stage in STAGES)])


def _position_claims(places: Sequence[Place], known: Known) -> list[Claim]:
    groups = [list(group) for _, group in groupby(places, lambda p: (p.position, p.target))]
    same, others, taus = [], [], []
    for group in groups:
        top1 = np.array([_top1(place, known) for place in group])  # (stages, seeds)
        own = np.array([place.stage == place.position for place in group])
        same.append(top1[own][0])
        others.append(top1[~own].mean(axis=0))
        taus.append([kendalltau([p.similarity for p in group], column).statistic for column in top1.T])
    wins = sum(float(s.mean()) > o.mean() for s, o in zip(same, others, strict=True))
    found = [
        claim(
            "a block of the same stage is better than one of another stage, mean of all "
            f"{len(groups)} pairs of position and target; so it is in {wins} of them",
            np.mean(same, axis=0) - np.mean(others, axis=0),
        )
    ]
    per_group = np.mean(taus, axis=1)
    mean = claim("", per_group)
    found.append(
        Claim(
            "S orders the stages of one target as accuracy does: mean Kendall's τ, interval over the "
            f"{len(groups)} pairs of position and target",
            mean.mean,
            mean.low,
            mean.high,
            unit="",
        )
    )
    return found


def _selection_table(ways: Mapping[str, Selections]) -> str:
    names = list(dict.fromkeys(name for found in ways.values() for name in found.rows))
    rows = [
        [name, *(_spread(found.rows[name]) if name in found.rows else "–" for found in ways.values())]
        for name in names
    ]
    return _table(rows, ["", *ways])


def _spread(values: Sequence[float] | Floats) -> str:
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    align = ["left", *("right" for _ in headers[1:])]
    return tabulate(rows, headers, tablefmt="github", colalign=align, disable_numparse=True)
