"""Hybrids drawn by chance, every one that keeps the rules as likely as every other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dery_core.search.labels import Labels
from dery_core.search.paths import Cap, Paths
from dery_core.search.states import Floats, Ints

_LISTED = 100_000
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
        listed = _listed(paths, caps, 50 * _LISTED)
    if listed is not None:
        return listed[random.integers(len(listed), size=1)]
    while not len(drawn := _fitting(paths, caps, _drawn(paths, random))):
        pass
    return _labels(paths, drawn[:1])


def count(paths: Paths, caps: Sequence[Cap]) -> int | None:
    """How many candidates there are within `caps`; None when they are too many to list."""
    listed = _listed(paths, caps, 10 * _LISTED)
    return None if listed is None else len(listed)


def _listed(paths: Paths, caps: Sequence[Cap], most: int) -> Labels | None:
    """All candidates within `caps`; None when more than `most` labels are met."""
    bounds = [paths.reachable, *(paths.limit(cap) for cap in caps)]
    labels = paths.extender.first(bounds)
    for _ in paths.states.after:
        if len(labels) * paths.extender.block.shape[2] > 100 * most:
            return None
        labels = paths.extender.extended(labels, bounds)
        if len(labels) > most:
            return None
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
    first = np.where(states.start < 0, 0.0, ways[0][states.start, np.arange(n)])
    choices = [_picked(np.repeat(first[None], _BATCH, axis=0), random)]
    mode = states.start[choices[0]]
    for after, left in zip(states.after, ways[1:], strict=True):
        following = after[mode, choices[-1]]
        choices.append(_picked(np.where(following < 0, 0.0, left[following, np.arange(n)]), random))
        mode = following[np.arange(_BATCH), choices[-1]]
    return np.stack(choices, axis=1)


def _picked(weights: Floats, random: np.random.Generator) -> Ints:
    """One column of each row (S, N), by weight."""
    shares = np.cumsum(weights, axis=1)
    at = random.random(len(weights)) * shares[:, -1]
    return (shares <= at[:, None]).sum(axis=1)


def _labels(paths: Paths, choices: Ints) -> Labels:
    costs: NDArray[np.int64] = np.stack([terms.of(choices) for terms in paths.terms])
    none = paths.extender.none
    return Labels(choices, np.zeros(len(choices), np.int64), costs, np.resize(none.used, (len(choices), 0)))
