"""Which candidates to measure, where there are too many to measure all."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.value import Budget
from dery_core.scoring.kept import Choice
from dery_core.search.finder import Finder
from dery_core.search.linear import LinearScore, fit_linear
from dery_core.search.rules import Rules

# Shares of the measurements. Settled on the embedded landscape of docs/scoring.md; the other one tests them.
_FIRST = 0.25
_ROUND = 0.1
_DRAWN = 0.1
_LEVELS = (0.1, 0.3, 1.0)
# Among so many best there are enough that were not measured yet.
_LISTED = 4
# More make a fit slow, and hardly better.
_FITTED = 1024


def propose(
    candidates: Candidates,
    measure: Callable[[list[Choice]], Sequence[float]],
    count: int,
    seed: int = 0,
    rules: Sequence[Rules] | None = None,
) -> dict[Choice, float]:
    """Measure `count` candidates that lead to the best ones: values by choice.

    First a sample (`sampled`; a quarter of the count, up to half for a zoo of many networks); then, in
    rounds of a tenth, what the linear model of all measured so far holds for the best under each of
    `rules` (by default a grid of budgets, so that every place of the sliders is served), and a few at
    random. `measure` gets sorted choices that it never got before, -inf is a candidate that can't be
    scored. Deterministic.
    """
    generator = np.random.default_rng(seed)
    rules = budget_grid(candidates, seed) if rules is None else rules
    count = min(count, allowed_count(candidates))
    own = min(2 * len(candidates.models), count // 2)
    first = sampled(candidates, max(round(_FIRST * count), own), seed)
    known = dict(zip(first, measure(first), strict=True))
    size = max(1, round(_ROUND * count))
    while len(known) < count:
        quota = min(size, count - len(known))
        chosen = _best(candidates, known, rules, round((1 - _DRAWN) * quota), seed)
        chosen += _new(_deals(candidates, generator), {*known, *chosen}, quota - len(chosen))
        chosen.sort()
        known |= zip(chosen, measure(chosen), strict=True)
    return known


def budget_grid(candidates: Candidates, seed: int = 0) -> list[Rules]:
    """Budgets that a tenth, three tenths and all of the hybrids keep, by params times by MACs."""
    drawn = np.array(sampled(candidates, 512, seed), np.int64)
    limits = [np.quantile(costs, _LEVELS).astype(np.int64).tolist() for costs in candidates.costs(drawn)]
    for each in limits:
        each[-1] = None
    return [Rules(Budget(params, macs)) for params in limits[0] for macs in limits[1]]


def sampled(candidates: Candidates, count: int, seed: int) -> list[Choice]:
    """`count` choices, sorted: every model's own chain of blocks (where they would be more than half of
    it, a seeded draw of them) and a seeded draw in which every block appears equally often."""
    own = [(i,) * candidates.k for i in range(len(candidates.models))]
    if len(own) > count // 2:
        own = [own[i] for i in np.random.default_rng(seed).permutation(len(own))[: count // 2].tolist()]
    deals = _deals(candidates, np.random.default_rng(seed))
    return sorted(own + _new(deals, set(own), min(count, allowed_count(candidates)) - len(own)))


def surrogate(
    candidates: Candidates, choices: Sequence[Choice], values: Sequence[float], seed: int
) -> LinearScore:
    """The linear model of measured candidates, or of a thousand of them drawn evenly; DeryError without
    a finite value."""
    scored = np.array(values, float)
    rows = np.flatnonzero(np.isfinite(scored))
    if len(rows) > _FITTED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _FITTED, replace=False))
    chosen = np.array(choices, np.int64).reshape(-1, candidates.k)
    return fit_linear(chosen[rows], scored[rows], len(candidates.models), seed)


def allowed_count(candidates: Candidates) -> int:
    """How many candidates take one block of every stage and of every set."""
    ways = {0: 1}  # by the sets taken so far, as bits
    for row in candidates.set_of.tolist():
        behind: Counter[int] = Counter()
        for taken, count in ways.items():
            for which, models in Counter(row).items():
                if not taken >> which & 1:
                    behind[taken | 1 << which] += count * models
        ways = dict(behind)
    return sum(ways.values())


def allowed_choices(candidates: Candidates) -> list[Choice]:
    """All candidates that take one block of every stage and of every set, sorted."""
    found: list[tuple[Choice, int]] = [((), 0)]
    for row in candidates.set_of.tolist():
        found = [
            ((*choice, i), taken | 1 << which)
            for choice, taken in found
            for i, which in enumerate(row)
            if not taken >> which & 1
        ]
    return [choice for choice, _ in found]


def _best(
    candidates: Candidates, known: dict[Choice, float], rules: Sequence[Rules], quota: int, seed: int
) -> list[Choice]:
    """What the linear model holds for the best under each of the rules in turn, none of it known."""
    if not np.isfinite(list(known.values())).any():
        return []
    linear = surrogate(candidates, list(known), list(known.values()), seed)
    finder = Finder(candidates, linear)
    lists = [_listed(finder, each, _LISTED * quota) for each in rules]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*lists))
    return _new((choice for choice in turns if choice is not None), set(known), quota)


def _listed(finder: Finder, rules: Rules, top: int) -> list[Choice]:
    try:
        return [found.choice for found in finder.best(rules, top)]
    except DeryError:  # nothing fits
        return []


def _new(choices: Iterator[Choice], known: set[Choice], count: int) -> list[Choice]:
    """The first `count` of `choices` that are not known, each once."""
    fresh: dict[Choice, None] = {}
    for choice in choices:
        if len(fresh) >= count:
            break
        if choice not in known:
            fresh[choice] = None
    return list(fresh)


def _deals(candidates: Candidates, generator: np.random.Generator) -> Iterator[Choice]:
    """Random allowed choices without end: a round deals every model once to every stage."""
    n, k = len(candidates.models), candidates.k
    while True:
        deal = np.stack([generator.permutation(n) for _ in range(k)], axis=1)
        yield from map(tuple, deal[candidates.allowed(deal)].tolist())
