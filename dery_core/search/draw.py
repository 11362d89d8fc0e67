"""Hybrids drawn by chance, every one that keeps the rules as likely as every other; and counted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dery_core.search.labels import Bound, Labels
from dery_core.search.paths import Cap, Paths
from dery_core.search.states import Floats, Ints

_LISTED = 100_000
_CELLS = 1_000_000
"""Steps from beginnings to blocks that are looked at together: more would fill memory, and take long."""

_EXACT = 2**53
_BATCH = 4096
_BATCHES = 256


def draw(paths: Paths, caps: Sequence[Cap], random: np.random.Generator) -> Labels:
    """One candidate within `caps`, evenly drawn; there must be one.

    Where few fit they are listed and one is taken. Else paths are drawn evenly until one fits. Both
    ways are even, so it doesn't matter which it was.
    """
    listed = _listed(paths, caps, _LISTED)
    if listed is None:
        for _ in range(_BATCHES):
            drawn = _fitting(paths, caps, _drawn(paths, random))
            if len(drawn):
                return _labels(paths, drawn[:1])
        listed = _listed(paths, caps, 20 * _LISTED)
    if listed is not None:
        return listed[random.integers(len(listed), size=1)]
    while not len(drawn := _fitting(paths, caps, _drawn(paths, random))):
        pass
    return _labels(paths, drawn[:1])


def count(paths: Paths, caps: Sequence[Cap]) -> int | None:
    """How many candidates there are within `caps`; None when they are too many to be counted quickly."""
    extender = paths.extender
    if not caps and not extender.counted:
        total = _first_ways(paths).sum()
        return int(total) if total <= _EXACT else None
    bounds = _bounds(paths, caps)
    labels = extender.first(bounds)
    models = np.arange(extender.block.shape[2])
    for left in reversed(range(len(paths.states.after))):
        longer = int(extender.follow(labels, bounds, models).sum())
        if not left:
            return longer
        if longer * len(models) > _CELLS:
            return None
        labels = extender.extended(labels, bounds)
    return len(labels)


def _bounds(paths: Paths, caps: Sequence[Cap]) -> list[Bound]:
    return [paths.reachable, *(paths.limit(cap) for cap in caps)]


def _listed(paths: Paths, caps: Sequence[Cap], most: int) -> Labels | None:
    """All candidates within `caps`; None when more than `most` labels are met."""
    extender, bounds = paths.extender, _bounds(paths, caps)
    labels = extender.first(bounds)
    for _ in paths.states.after:
        parts: list[Labels] = []
        chunks = -(-len(labels) * extender.block.shape[2] // _CELLS) or 1
        for rows in np.array_split(np.arange(len(labels)), chunks):
            parts.append(extender.extended(labels[rows], bounds))
            if sum(map(len, parts)) > most:
                return None
        labels = Labels.joined(parts)
    return labels


def _fitting(paths: Paths, caps: Sequence[Cap], choices: Ints) -> Ints:
    kept = paths.space.allowed(choices)
    for cap in caps:
        kept &= cap.sign * paths.terms[cap.cost].of(choices) <= cap.most
    return choices[kept]


def _drawn(paths: Paths, random: np.random.Generator) -> Ints:
    """Paths (_BATCH, K), each as likely as every other: step by step, by how many ways lead on."""
    ways = paths.ways
    states, n = paths.states, len(paths.states.start)
    choices = [_picked(np.repeat(_first_ways(paths)[None], _BATCH, axis=0), random)]
    mode = states.start[choices[0]]
    for after, left in zip(states.after, ways[1:], strict=True):
        following = after[mode, choices[-1]]
        choices.append(_picked(np.where(following < 0, 0.0, left[following, np.arange(n)]), random))
        mode = following[np.arange(_BATCH), choices[-1]]
    return np.stack(choices, axis=1)


def _first_ways(paths: Paths) -> Floats:
    """How many paths begin with every model: (N,)."""
    start = paths.states.start
    return np.where(start < 0, 0.0, paths.ways[0][start, np.arange(len(start))])


def _picked(weights: Floats, random: np.random.Generator) -> Ints:
    """One column of each row (S, N), by weight."""
    shares = np.cumsum(weights, axis=1)
    at = random.random(len(weights)) * shares[:, -1]
    return (shares <= at[:, None]).sum(axis=1)


def _labels(paths: Paths, choices: Ints) -> Labels:
    costs: NDArray[np.int64] = np.stack([terms.of(choices) for terms in paths.terms])
    none = paths.extender.none
    return Labels(choices, np.zeros(len(choices), np.int64), costs, np.resize(none.used, (len(choices), 0)))
