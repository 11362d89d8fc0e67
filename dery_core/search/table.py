"""`Table`: candidates listed one by one with costs and scores, so that every question is a look-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dery_core.reassembly.terms import Choices
from dery_core.reassembly.value import Budget
from dery_core.search.dominance import nondominated
from dery_core.search.rules import within

_FURTHEST = 2**62


@dataclass(frozen=True, eq=False)
class Table:
    """Candidates best first: `choices` (S, K), `params`, `macs` and `score` (S,).

    Best first means: higher score, then fewer MACs, then fewer params, then the lexicographically
    smaller choice.
    """

    choices: Choices
    params: NDArray[np.int64]
    macs: NDArray[np.int64]
    score: NDArray

    @classmethod
    def of(cls, choices: Choices, params: NDArray, macs: NDArray, score: NDArray) -> "Table":
        """The same candidates, put in order."""
        order = np.lexsort((*choices.T[::-1], params, macs, -score))
        return cls(choices[order], params[order], macs[order], score[order])

    @classmethod
    def joined(cls, parts: Sequence["Table"]) -> "Table":
        """All of `parts`, in order, what stands in several of them once."""
        choices = np.concatenate([part.choices for part in parts])
        first = np.unique(choices, axis=0, return_index=True)[1]
        costs = (
            np.concatenate(column)
            for column in zip(*((p.params, p.macs, p.score) for p in parts), strict=True)
        )
        return cls.of(choices[first], *(column[first] for column in costs))

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, index: NDArray) -> "Table":
        return Table(self.choices[index], self.params[index], self.macs[index], self.score[index])

    def within(self, budget: Budget) -> NDArray[np.int64]:
        """Indices of the candidates that `budget` allows, best first."""
        return np.flatnonzero(within(budget, self.params, self.macs))

    def best(self, budget: Budget, top: int) -> "Table":
        """The `top` best that `budget` allows."""
        return self[self.within(budget)[:top]]

    def front(self, budget: Budget) -> "Table":
        """What `budget` allows and no other that it allows beats."""
        kept = self[self.within(budget)]
        return kept[nondominated(np.stack([-kept.score, kept.macs, kept.params]))]

    def cheapest(self, budget: Budget, limit: str, above: float) -> int | None:
        """The tightest value of `limit` at which a candidate within `budget` scores more than `above`."""
        kept = self.within(budget)
        kept = kept[self.score[kept] > above]
        if not len(kept):
            return None
        value = (self.params if limit.endswith("params") else self.macs)[kept]
        return int(value.min() if limit.startswith("max") else value.max())

    def least_excess(self, budget: Budget) -> Fraction:
        """The smallest share by which limits must give way for some candidate to fit."""
        nearest = np.argmin(np.max(_excess(budget, self.params, self.macs), axis=0))
        return excess(budget, int(self.params[nearest]), int(self.macs[nearest]))


def excess(budget: Budget, params: int, macs: int) -> Fraction:
    """The largest share by which a limit is missed: 1/10 for 11 params where 10 are allowed."""
    shares = [Fraction(0)]
    for value, most, least in (
        (params, budget.max_params, budget.min_params),
        (macs, budget.max_macs, budget.min_macs),
    ):
        if most is not None:
            shares.append(Fraction(value - most, max(most, 1)))
        if least is not None:
            shares.append(Fraction(least - value, max(least, 1)))
    return max(shares)


def _excess(budget: Budget, params: NDArray, macs: NDArray) -> NDArray[np.float64]:
    """The same of many candidates, limit by limit: (limits + 1, S)."""
    shares = [np.zeros(len(params))]
    for value, most, least in (
        (params, budget.max_params, budget.min_params),
        (macs, budget.max_macs, budget.min_macs),
    ):
        if most is not None:
            shares.append((value - most) / max(most, 1))
        if least is not None:
            shares.append((least - value) / max(least, 1))
    return np.stack(shares)


def clamped(budget: Budget) -> Budget:
    """`budget` with limits that fit into 64 bits with room for sums: no network comes near."""
    return Budget(**{name: min(limit, _FURTHEST) for name, limit in budget.limits.items()})


def widened(budget: Budget, share: Fraction) -> Budget:
    """`budget` with every limit given way by `share` of itself."""

    def most(limit: int | None) -> int | None:
        return None if limit is None else limit + int(share * max(limit, 1))

    def least(limit: int | None) -> int | None:
        return None if limit is None else limit - int(share * max(limit, 1))

    return Budget(
        most(budget.max_params), most(budget.max_macs), least(budget.min_params), least(budget.min_macs)
    )


def containing(budget: Budget, params: int, macs: int) -> Budget:
    """`budget` with its limits given way just so far that these costs fit."""

    def most(limit: int | None, value: int) -> int | None:
        return None if limit is None else max(limit, value)

    def least(limit: int | None, value: int) -> int | None:
        return None if limit is None else min(limit, value)

    return Budget(
        most(budget.max_params, params),
        most(budget.max_macs, macs),
        least(budget.min_params, params),
        least(budget.min_macs, macs),
    )
