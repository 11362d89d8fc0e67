"""`Labels`: the first blocks of many candidates at once, and how they are extended stage by stage."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dery_core.reassembly.terms import Choices, Terms
from dery_core.search.dominance import nondominated
from dery_core.search.states import Floats, Ints, States

ANY = float(np.finfo(np.float64).max)
"""The bound that every path keeps."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Beginnings of candidates, in lexicographic order: `choices` (S, k), `mode` (S,) (see `States`),
    `costs` (3, S) so far, and `used` (S, words): the bits of the models in it."""

    choices: Choices
    mode: Ints
    costs: Ints
    used: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.mode)

    def __getitem__(self, index: NDArray) -> "Labels":
        return Labels(self.choices[index], self.mode[index], self.costs[:, index], self.used[index])

    @classmethod
    def joined(cls, parts: Sequence["Labels"]) -> "Labels":
        """All labels of `parts`, in lexicographic order."""
        parts = [part for part in parts if len(part)] or list(parts[-1:])
        choices = np.concatenate([part.choices for part in parts])
        order = np.lexsort(choices.T[::-1])
        return cls(
            choices[order],
            np.concatenate([part.mode for part in parts])[order],
            np.concatenate([part.costs for part in parts], axis=1)[:, order],
            np.concatenate([part.used for part in parts])[order],
        )

    @property
    def last(self) -> Ints:
        return self.choices[:, -1]


@dataclass(frozen=True, eq=False)
class Bound:
    """weights · costs ≤ most for every candidate that is looked for, and what is to go at least."""

    weights: Floats
    most: float
    whole: Floats
    to_go: tuple[Floats, ...]
    steps: tuple[Floats, ...]

    def at(self, labels: Labels) -> Floats:
        """The smallest that `labels` can come to: (S,)."""
        return self.weights @ labels.costs + self.to_go[labels.choices.shape[1] - 1][labels.mode, labels.last]

    def capped(self, most: float) -> "Bound":
        # No limit is still less than where no path is.
        return Bound(self.weights, min(most, ANY), self.whole, self.to_go, self.steps)


class Extender:
    """Makes labels for the candidates of `states`, whose three costs are `terms`."""

    def __init__(self, states: States, terms: Sequence[Terms]) -> None:
        space = states.space
        self.states, self.space, self.terms = states, space, tuple(terms)
        self.block = np.stack([each.block for each in terms])
        self.pair = np.stack([each.pair for each in terms])
        # Up to here "all blocks are one model's" says all that the number of sources asks for.
        self.counted = space.min_models > 2 or space.max_models < space.candidates.k
        self._words = -(-self.block.shape[2] // 64) if self.counted else 0

    @property
    def none(self) -> Labels:
        """No candidates."""
        words = self._words
        empty = np.zeros(0, np.int64)
        return Labels(
            np.zeros((0, len(self.block[0])), np.int64),
            empty,
            np.zeros((3, 0), np.int64),
            np.zeros((0, words), np.uint64),
        )

    def weighted(self, weights: Floats) -> tuple[Floats, Floats]:
        """weights · costs as terms of blocks (K, N) and transitions (K-1, N, N)."""
        return np.tensordot(weights, self.block, 1), np.tensordot(weights, self.pair, 1)

    def bound(self, weights: Floats, most: float = ANY) -> Bound:
        """The bound of candidates with weights · costs ≤ most."""
        return Bound(weights, most, *self.states.through(*self.weighted(weights)))

    def first(self, bounds: Sequence[Bound]) -> Labels:
        """Labels of one block."""
        kept = np.flatnonzero(np.all([bound.whole <= bound.most for bound in bounds], axis=0))
        used = np.zeros((len(kept), self._words), np.uint64)
        labels = Labels(kept[:, None], self.states.start[kept], self.block[:, 0, kept], used)
        return _with_used(labels) if self.counted else labels

    def extended(self, labels: Labels, bounds: Sequence[Bound], models: Ints | None = None) -> Labels:
        """Labels of one block more, of `models` or any, that keep every bound; there must be one."""
        k = labels.choices.shape[1] - 1
        mode, last = labels.mode, labels.last
        following = np.arange(self.block.shape[2]) if models is None else models
        rows, columns = np.nonzero(self.follow(labels, bounds, following))
        came, went = last[rows], following[columns]
        costs = labels.costs[:, rows] + self.block[:, k + 1, went] + self.pair[:, k, came, went]
        choices = np.concatenate([labels.choices[rows], went[:, None]], axis=1)
        mode = self.states.after[k][mode[rows], came, went]
        longer = Labels(choices, mode, costs, labels.used[rows])
        return _with_used(longer) if self.counted else longer

    def follow(self, labels: Labels, bounds: Sequence[Bound], models: Ints) -> NDArray[np.bool_]:
        """Which of `models` may come next so that every bound is kept: (S, models)."""
        k = labels.choices.shape[1] - 1
        kept = np.ones((len(labels), len(models)), bool)
        for bound in bounds:
            steps = bound.steps[k][:, :, models]
            kept &= (bound.weights @ labels.costs)[:, None] + steps[labels.mode, labels.last] <= bound.most
        if self.counted:
            kept &= self._countable(labels, models)
        return kept

    def _countable(self, labels: Labels, models: Ints) -> NDArray[np.bool_]:
        """Which of `models` may follow as far as the number of sources goes: (S, models)."""
        known = (labels.used[:, models // 64] >> (models % 64).astype(np.uint64)) & np.uint64(1) > 0
        sources = _count(labels.used)[:, None] + ~known
        left = self.space.candidates.k - labels.choices.shape[1] - 1
        return (sources <= self.space.max_models) & (sources + left >= self.space.min_models)

    def unbeaten(
        self, labels: Labels, dims: NDArray, apart: Sequence[NDArray] = (), peels: int = 1
    ) -> Labels:
        """Labels that may begin one of the `peels` best candidates, whatever comes next.

        Of labels whose future is the same, one with `peels` others that cost as much at most in all
        of `dims` (3, S) can't. Labels that differ in `apart` (S,) each are not compared.
        """
        group = _numbered([*self._future(labels), *apart])
        kept, rest = np.zeros(0, np.int64), np.arange(len(labels))
        for _ in range(peels):
            front = rest[nondominated(dims[:, rest], group[rest])]
            kept, rest = np.concatenate([kept, front]), np.setdiff1d(rest, front)
            if not len(rest):
                break
        return labels[np.sort(kept)]

    def _future(self, labels: Labels) -> list[Ints]:
        """What the future of a label hangs on, column by column: (S,) each."""
        columns = [labels.mode * self.block.shape[2] + labels.last]
        if self.counted:
            sources, left = _count(labels.used), self.space.candidates.k - labels.choices.shape[1]
            # Which models they are matters only while their number can still break a rule.
            matters = (sources < self.space.min_models) | (sources + left > self.space.max_models)
            columns += [np.where(matters, word.astype(np.int64), 0) for word in labels.used.T]
            columns.append(np.where(matters, 0, 1))
        return columns


def _with_used(labels: Labels) -> Labels:
    used, rows = labels.used.copy(), np.arange(len(labels))
    used[rows, labels.last // 64] |= np.uint64(1) << (labels.last % 64).astype(np.uint64)
    return Labels(labels.choices, labels.mode, labels.costs, used)


def _count(used: NDArray[np.uint64]) -> Ints:
    return np.bitwise_count(used).sum(axis=1).astype(np.int64)


def _numbered(columns: Sequence[Ints]) -> Ints:
    """One number for each row of `columns`, the same for equal rows."""
    number = columns[0]
    for column in columns[1:]:
        values, place = np.unique(column, return_inverse=True)
        number = np.unique(number, return_inverse=True)[1] * len(values) + place
    return number
