"""docs/trust.md: how well each score ranks, from the tables that benchmarks/trust.py writes."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t
from tabulate import tabulate

from dery_core.scoring import DEFAULT_SCORE, SCORES
from dery_core.scoring.trust import (
    BASELINES,
    RESAMPLES,
    Floats,
    Protocol,
    Trained,
    Trust,
    beyond_chance,
    ceiling,
    kendall,
    trained,
    trust_sentence,
    trust_table,
)

PROTOCOLS: tuple[Protocol, ...] = ("full", "frozen")
TOP = 5
NAMED = tuple(dict.fromkeys((DEFAULT_SCORE, "naswot")))  # the product's choice and the paper's

TEXT = """# How far each score can be trusted

A score promises how good a hybrid will be before it is trained. Here the promise meets the truth: {hybrids}
hybrids of the embedded zoo, cut in four as the demo cuts it and drawn so that every block appears about
equally often, and its {members} members, each really trained on the target task with {seeds} seeds, frozen
(new layers alone) and full (all weights), for {epochs} epochs by the product's recipe and from the product's
start: seams and head fitted in closed form where frozen, random where full. The demo trains for eight, which
here would have taken twice as long. Made by `python -m benchmarks.trust`: the trainings are
`assets/trust.csv`, the scores `assets/trust_scores.csv`.

**τ** is Kendall's τ-b between the score and the top-1 accuracy after the last epoch, mean of the seeds: 1
when both order all hybrids alike, 0 by chance, -1 when the orders are opposite. In brackets the 95 %
percentile interval over {resamples:,} resamples of the hybrids.

{taus}

{sentences}

## How much there is to rank

{ranges}

*Ceiling* is the mean τ between the accuracies of two seeds: about the most that any score could reach
against one training. Frozen and full accuracy order the hybrids alike with τ {between}.
The accuracy that a closed-form start has on the test images before any training orders them with
τ {before}: about the most that a score can see which looks at hybrids fitted so.

## What one gets by choosing with a score

Mean top-1 % of the {top} hybrids that the score puts first, of the {hybrids}:

{chosen}

## With the members

The same with the zoo's members among the hybrids, each scored as the chain of its own blocks. Members
need no seams, so this also asks whether a score knows what a seam costs:

{with_members}

{starts}## What this doesn't say

- One zoo of small networks, one task: of other zoos and of ImageNet it says nothing. The paper shows that
  NASWOT ranks whole pre-trained networks (figure 6); on hybrids it gives no τ.
- The intervals are over hybrids. That the partition and the random weights of the scores' own seams might
  have been others is not in them.
- τ asks for the order of all hybrids, small and large together. Within a tight budget they differ less in
  size, and a score that mostly follows size has less to say.
"""

STARTS = """## What the start is worth, and which scores it favours

The ridge probe, LogME, LEEP, NCE and the H-score look at hybrids whose seams are fitted in closed form. A
training that starts from such a fit might favour them. So the hybrids were trained from either start, with
seed 0, and every score is set against both ({started} hybrids):

{starts}

{starts_said}

Mean top-1 % of the same hybrids by start, and what the random one changes, with a 95 % interval (Student's t
over the hybrids):

{worth}

{worth_said}

"""


def document(epochs: int) -> str:
    """The whole of docs/trust.md."""
    of = {protocol: trained(protocol) for protocol in PROTOCOLS}
    full, frozen = (of[protocol] for protocol in PROTOCOLS)
    shared = [name for name in full.names if name in frozen.names]
    between = kendall(_accuracies(full, shared), _accuracies(frozen, shared))
    return TEXT.format(
        hybrids=len(full.names),
        members=len(trained("full", members=True).names) - len(full.names),
        seeds=full.top1.shape[1],
        epochs=epochs,
        resamples=RESAMPLES,
        taus=_tau_table(members=False),
        sentences=_sentences(of),
        ranges=_ranges(),
        between=_tau(Trust("", "full", *between, len(shared))),
        before=" and ".join(f"{_before(of[p], p):+.2f} ({p})" for p in PROTOCOLS),
        top=TOP,
        chosen=_chosen_table(of),
        with_members=_tau_table(members=True),
        starts=_starts(),
    )


def _before(of: Trained, protocol: Protocol) -> float:
    """τ between what a closed-form start has before training and accuracy after it."""
    fitted = trained(protocol, start="closed-form")
    before = dict(zip(fitted.names, np.nanmean(fitted.before, axis=1), strict=True))
    return kendall(np.array([before[name] for name in of.names]), of.accuracy)[0]


def _accuracies(of: Trained, names: Sequence[str]) -> Floats:
    known = dict(zip(of.names, of.accuracy, strict=True))
    return np.array([known[name] for name in names])


def _tau(trust: Trust) -> str:
    return f"{trust.tau:+.2f} [{trust.low:+.2f}, {trust.high:+.2f}]"


def _tau_table(members: bool) -> str:
    tables = [{trust.score: trust for trust in trust_table(p, members)} for p in PROTOCOLS]
    names = [*tables[0], *(name for name in tables[1] if name not in tables[0])]
    rows = [[SCORES[name].title, *(_tau(t[name]) if name in t else "–" for t in tables)] for name in names]
    return _table(rows, ["score", "τ, full", "τ, frozen"])


def _sentences(of: dict[Protocol, Trained]) -> str:
    lines = []
    for protocol in PROTOCOLS:
        table = trust_table(protocol)
        lines += [trust_sentence(score, protocol) for score in NAMED]
        sure = [SCORES[trust.score].title for trust in table if trust.low > 0]
        against = [SCORES[trust.score].title for trust in table if trust.high < 0]
        first, *others = table
        tied = [t for t in others if not beyond_chance(of[protocol], first.score, t.score)]
        line = f"{protocol.capitalize()}-tuned, {SCORES[first.score].title} ranks best (τ {first.tau:.2f})"
        if tied:
            line += f", though its lead on {_listed(SCORES[t.score].title for t in tied)} may be chance"
        line += f". Above 0 beyond chance: {_listed(sure)}."
        if against:
            line += f" Below 0 beyond chance, so worse than drawing lots: {_listed(against)}."
        lines.append(line)
        lines += [_against_baseline(of[protocol], protocol, cost) for cost in BASELINES]
    return "\n".join(textwrap.fill(f"- {line}", 110, subsequent_indent="  ") for line in lines)


def _against_baseline(of: Trained, protocol: Protocol, cost: str) -> str:
    """Which scores rank better than a mere count of parameters or MACs, beyond chance."""
    others = [score for score in SCORES if score in of.values and score not in BASELINES]
    better = [SCORES[s].title for s in others if beyond_chance(of, s, cost)]
    worse = [SCORES[s].title for s in others if beyond_chance(of, cost, s)]
    return (
        f"Against {SCORES[cost].title}, {protocol}-tuned: better beyond chance {_listed(better)}; worse "
        f"beyond chance {_listed(worse)}."
    )


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found) if found else "none"


def _ranges() -> str:
    rows = []
    for protocol in PROTOCOLS:
        hybrids, everyone = trained(protocol), trained(protocol, members=True)
        own = np.array([name not in hybrids.names for name in everyone.names])
        for what, top1 in (("hybrids", hybrids.top1), ("members", everyone.top1[own])):
            mean = np.nanmean(top1, axis=1)
            spread = np.sqrt(np.nanmean(np.nanvar(top1, axis=1, ddof=1))) if top1.shape[1] > 1 else np.nan
            several = top1.shape[1] > 1
            rows.append(
                [
                    f"{what}, {protocol}",
                    len(top1),
                    f"{mean.min():.1f}",
                    f"{np.median(mean):.1f}",
                    f"{mean.max():.1f}",
                    f"{spread:.1f}" if several else "–",
                    f"{ceiling(Trained((), top1, top1, {})):.2f}" if several else "–",
                ]
            )
    heads = ["top-1 % after training", "networks", "lowest", "median", "highest", "sd of seeds", "ceiling"]
    return _table(rows, heads)


def _chosen_table(of: dict[Protocol, Trained]) -> str:
    rows = [[SCORES[s].title, *(f"{_top(of[p], s):.1f}" for p in PROTOCOLS)] for s in _scores()]
    rows.sort(key=lambda row: -float(row[1]))
    means = [of[p].accuracy for p in PROTOCOLS]
    rows.insert(0, ["the truth itself", *(f"{np.sort(mean)[-TOP:].mean():.1f}" for mean in means)])
    rows.append(["drawing at random", *(f"{mean.mean():.1f}" for mean in means)])
    return _table(rows, ["chosen by", "full", "frozen"])


def _starts() -> str:
    either = {protocol: _either(protocol) for protocol in PROTOCOLS}
    count = min(len(each["random"].names) for each in either.values())
    if not count:
        return ""
    worth = {protocol: _worth(each) for protocol, each in either.items()}
    rows = [
        [p, f"{w.closed:.1f}", f"{w.random:.1f}", f"{w.gain:+.1f} [{w.low:+.1f}, {w.high:+.1f}]"]
        for p, w in worth.items()
    ]
    said = [textwrap.fill(f"- {w.sentence(p)}", 110, subsequent_indent="  ") for p, w in worth.items()]
    return STARTS.format(
        started=count,
        starts=_start_table(either),
        starts_said=_starts_said(either),
        worth=_table(rows, ["", "closed form", "random", "difference"]),
        worth_said="\n".join(said),
    )


def _either(protocol: Protocol) -> dict[str, Trained]:
    """The hybrids that were trained from both starts, by start, with the first seed alone."""
    both = {start: trained(protocol, start=start) for start in ("closed-form", "random")}
    names = tuple(n for n in both["closed-form"].names if n in both["random"].names)
    found = {}
    for start, of in both.items():
        rows = [of.names.index(name) for name in names]
        values = {score: column[rows] for score, column in of.values.items()}
        found[start] = Trained(names, of.top1[rows, :1], of.before[rows, :1], values)
    return found


def _start_table(either: dict[Protocol, dict[str, Trained]]) -> str:
    """τ of every score against the accuracies from either start."""
    columns = {
        f"{protocol}, {start}": {
            score: _tau(Trust(score, protocol, *kendall(*of.pair(score)), len(of.names)))
            for score in _scores()
        }
        for protocol, starts in either.items()
        for start, of in starts.items()
    }
    rows = [[SCORES[s].title, *(column[s] for column in columns.values())] for s in _scores()]
    return _table(rows, ["score", *columns])


def _starts_said(either: dict[Protocol, dict[str, Trained]]) -> str:
    """Which score ranks best from which start."""
    parts = []
    for protocol, starts in either.items():
        for start, of in starts.items():
            taus = {score: kendall(*of.pair(score))[0] for score in _scores()}
            best = max(taus, key=lambda score: taus[score])
            names = dict.fromkeys((best, *NAMED, "macs"))
            figures = _listed(f"{SCORES[name].title} {taus[name]:.2f}" for name in names)
            parts.append(f"- {protocol}, {start} start: {SCORES[best].title} ranks best ({figures}).")
    return "\n".join(textwrap.fill(part, 110, subsequent_indent="  ") for part in parts)


class _Worth(NamedTuple):
    """Mean accuracies from two starts; what the random one gains, with its interval; and what the closed
    form had before training."""

    closed: float
    random: float
    gain: float
    low: float
    high: float
    before: float

    def sentence(self, protocol: Protocol) -> str:
        begin = (
            f"{protocol.capitalize()}-tuned, the closed-form start is at {self.before:.1f} % before training"
        )
        if self.low > 0:
            return (
                f"{begin}, and yet the random start ends higher beyond chance: at the product's learning "
                "rates training destroys the fit first, and the lead is not won back in these epochs."
            )
        if self.high < 0:
            return f"{begin} and ends higher than the random start beyond chance."
        return f"{begin}; which start ends higher is within chance."


def _worth(starts: dict[str, Trained]) -> _Worth:
    closed, random = (starts[start].top1[:, 0] for start in ("closed-form", "random"))
    gain = random - closed
    mean, before = float(gain.mean()), float(starts["closed-form"].before.mean())
    width = float(t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain)))
    return _Worth(float(closed.mean()), float(random.mean()), mean, mean - width, mean + width, before)


def _scores() -> list[str]:
    """Every score that was measured, the best first."""
    return list(dict.fromkeys(t.score for p in PROTOCOLS for t in trust_table(p)))


def _top(of: Trained, score: str) -> float:
    """Mean accuracy of the TOP networks by a score; those that it can't score come last."""
    values = np.where(np.isfinite(of.values[score]), of.values[score], -np.inf)
    return float(of.accuracy[np.argsort(-values, kind="stable")[:TOP]].mean())


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    align = ["left", *("right" for _ in headers[1:])]
    return tabulate(rows, headers, tablefmt="github", colalign=align, disable_numparse=True)
