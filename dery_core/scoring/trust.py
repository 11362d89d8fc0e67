"""How far each score can be trusted: its order against the accuracies of really trained networks.

The tables are shipped: `python -m benchmarks.trust` makes them, from the embedded zoo's own networks and
hybrids of them, trained on the target task. Of other zoos and tasks they say nothing.
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from dery_core.scoring.registry import SCORES

TRAININGS = Path(__file__).resolve().parents[2] / "assets" / "trust.csv"
"""One row a network, protocol and seed."""
VALUES = TRAININGS.with_name("trust_scores.csv")
"""One row a network, one column a score, empty where it is not defined."""
RESAMPLES = 2000
BASELINES = ("params", "macs")

Protocol = Literal["frozen", "full"]
STARTS: dict[Protocol, str] = {"frozen": "closed-form", "full": "random"}
"""Where the trainings of a protocol begin unless asked otherwise: as training's own DEFAULT_STARTS."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trust:
    """Kendall's τ-b between a score and top-1 after training (mean of the seeds) over `count` networks,
    and its 95 % percentile interval over resampled networks."""

    score: str
    protocol: Protocol
    tau: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks that were really trained under one protocol. `top1` and `before` (networks, seeds) are percent
    after and before training, NaN where not trained; `values` holds a score of every network (networks,),
    NaN where it is not defined."""

    names: tuple[str, ...]
    top1: Floats
    before: Floats
    values: dict[str, Floats]

    @property
    def accuracy(self) -> Floats:
        """Mean of the seeds (networks,)."""
        mean: Floats = np.nanmean(self.top1, axis=1)
        return mean

    def pair(self, score: str) -> tuple[Floats, Floats]:
        """A score and the accuracy of the networks for which it is defined."""
        known = np.isfinite(self.values[score])
        return self.values[score][known], self.accuracy[known]


@lru_cache
def trained(protocol: Protocol = "full", members: bool = False, start: str = "") -> Trained:
    """What was trained under a protocol from a start of its new layers, by default the product's: hybrids,
    and the zoo's members too where asked."""
    kinds = ("hybrid", "member") if members else ("hybrid",)
    wanted = [(protocol, start or STARTS[protocol], kind) for kind in kinds]
    rows = [row for row in _rows(TRAININGS) if (row["protocol"], row["start"], row["kind"]) in wanted]
    names = tuple(dict.fromkeys(row["subject"] for row in rows))
    seeds = sorted({row["seed"] for row in rows})
    top1, before = np.full((2, len(names), len(seeds)), np.nan)
    for row in rows:
        at = names.index(row["subject"]), seeds.index(row["seed"])
        top1[at], before[at] = float(row["top1"]), float(row["top1_before"])
    costs = {row["subject"]: row for row in rows}
    values = {cost: np.array([float(costs[name][cost]) for name in names]) for cost in BASELINES}
    scored = {row["subject"]: row for row in _rows(VALUES)}
    for score in next(iter(scored.values()), {}).keys() - {"subject"}:
        cells = [scored.get(name, {}).get(score) for name in names]
        values[score] = np.array([float(cell) if cell else np.nan for cell in cells])
    return Trained(names, top1, before, values)


def trust_table(protocol: Protocol = "full", members: bool = False) -> tuple[Trust, ...]:
    """The trust of every score that was measured, best first."""
    return _table(protocol, members)


@lru_cache
def _table(protocol: Protocol, members: bool) -> tuple[Trust, ...]:
    of = trained(protocol, members)
    found = []
    for score in SCORES:
        if score in of.values:
            x, y = of.pair(score)
            if len(set(x)) > 1:
                found.append(Trust(score, protocol, *kendall(x, y), len(x)))
    return tuple(sorted(found, key=lambda trust: -trust.tau))


def trust_of(score: str, protocol: Protocol = "full") -> Trust | None:
    """The trust of one score over hybrids; None when it was not measured."""
    return next((trust for trust in trust_table(protocol) if trust.score == score), None)


def trust_sentence(score: str, protocol: Protocol = "full") -> str:
    """How well the score ranks, in plain words, and which of #params and #MACs rank better."""
    title, own = SCORES[score].title, trust_of(score, protocol)
    if own is None:
        return f"How far {title} can be trusted has not been measured."
    said = (
        f"{title} ranked {own.count} {protocol}-tuned hybrids of the embedded zoo with Kendall's τ "
        f"{own.tau:.2f} (95 % interval {own.low:.2f} to {own.high:.2f}; 1 is their true order, 0 is chance)."
    )
    rivals = rivals_sentence(score, protocol)
    return f"{said} {rivals}" if rivals else said


def rivals_sentence(score: str, protocol: Protocol = "full") -> str:
    """Which of #params and #MACs rank better than the score; empty where neither does."""
    own = trust_of(score, protocol)
    if own is None:
        return ""
    rivals = [t for t in trust_table(protocol) if t.score in BASELINES and t.tau > own.tau]
    rivals = [t for t in rivals if t.score != score]
    if not rivals:
        return ""
    names = " and ".join(f"{SCORES[t.score].title} (τ {t.tau:.2f})" for t in rivals)
    of = trained(protocol)
    sure = all(beyond_chance(of, t.score, score) for t in rivals)
    doubt = "" if sure else ", a difference that may be chance"
    return f"Simply counting {names} ranked them better{doubt}."


@lru_cache
def beyond_chance(of: Trained, first: str, second: str, seed: int = 0) -> bool:
    """Whether one score's τ exceeds another's in 97.5 % of resamples of the same networks."""
    known = np.isfinite(of.values[first]) & np.isfinite(of.values[second])
    y, weights = of.accuracy[known], _resamples(int(known.sum()), seed)
    taus = [_weighted_tau(of.values[score][known], y, weights) for score in (first, second)]
    return bool(np.mean(taus[0] > taus[1]) >= 0.975)


def ceiling(of: Trained) -> float:
    """Mean τ between the accuracies of two seeds: what a score that knew the truth would about reach
    against one seed."""
    pairs = combinations(of.top1.T, 2)
    return float(np.mean([kendalltau(a, b).statistic for a, b in pairs]))


def kendall(values: Floats, accuracy: Floats, seed: int = 0) -> tuple[float, float, float]:
    """Kendall's τ-b of two rankings (n,), and its 95 % percentile interval over resampled rows."""
    weights = _resamples(len(values), seed)
    low, high = np.nanpercentile(_weighted_tau(values, accuracy, weights), [2.5, 97.5])
    return float(kendalltau(values, accuracy).statistic), float(low), float(high)


def _resamples(count: int, seed: int) -> Floats:
    """How often each row is in a resample (RESAMPLES, count)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)


def _weighted_tau(x: Floats, y: Floats, weights: Floats) -> Floats:
    """τ-b of every resample; copies of one row are ties of both rankings."""
    signs = [np.sign(values[:, None] - values[None]) for values in (x, y)]

    def pairs(matrix: Floats) -> Floats:
        total: Floats = ((weights @ matrix) * weights).sum(1)
        return total

    untied = pairs(np.abs(signs[0])) * pairs(np.abs(signs[1]))
    with np.errstate(invalid="ignore"):
        tau: Floats = pairs(signs[0] * signs[1]) / np.sqrt(untied)
    return tau


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
