"""The best candidates by a layered search with Lagrangian bounds: exact, and fast enough for a drag.

A candidate is a path through K layers of N blocks. Limits become prices (Lagrange), and what is to
go from every state at these prices bounds each beginning of a path from below. Beginnings that
can't lead to anything better than what is known are dropped, layer by layer; where too many are
left, only the most promising go on, and the search is widened until what was left behind is
proved to be worse.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
from scipy.optimize import linprog

from dery_core.reassembly.terms import Terms
from dery_core.search.joined import Halves, joined
from dery_core.search.labels import Bound, Extender, Labels
from dery_core.search.states import Floats, Ints, States

SCORE, MACS, PARAMS = range(3)
"""The three costs of a path: the negative score in quanta, MACs and params."""

_WIDTH, _WIDER, _COMPARED = 1024, 8, 16
_ROUNDS = 100
_HIGHEST_PRICE = 1e4


@dataclass(frozen=True)
class Aim:
    """Minimise sign · cost; the cost is SCORE, MACS or PARAMS."""

    cost: int
    sign: int = 1


@dataclass(frozen=True)
class Cap:
    """sign · cost ≤ most."""

    cost: int
    sign: int
    most: int


@dataclass(frozen=True, eq=False)
class Prices:
    """What the linear relaxation says: the dual price of every cap, and the value they prove.

    `value` is inf where even the relaxation has no solution; `paths` (P, K) were met on the way.
    """

    of_caps: Floats
    value: float
    paths: Ints


class Paths:
    """All candidates of `states`, to be searched in the order of an aim, then MACs, params, choice.

    `terms` are the three costs.
    """

    def __init__(self, states: States, terms: Sequence[Terms]) -> None:
        self.states, self.space, self.terms = states, states.space, tuple(terms)
        self.extender = Extender(states, terms)
        self._lock, self._second_halves = Lock(), dict[int, Halves | None]()

    @cached_property
    def reachable(self) -> Bound:
        """What every path keeps, and nothing that is none."""
        return self.extender.bound(np.zeros(3))

    @cached_property
    def ways(self) -> tuple[Floats, ...]:
        """How many ways lead on from every state (M_k, N), counts of sources not looked at."""
        return self.states.ways()

    def limit(self, cap: Cap) -> Bound:
        """What every candidate within `cap` keeps."""
        return self.extender.bound(_weights(cap), cap.most)

    def best(self, aim: Aim, caps: Sequence[Cap], top: int = 1) -> Labels:
        """The `top` first within `caps`, in order, or as many as there are."""
        prices = self.prices(aim, caps)
        if not np.isfinite(prices.value):
            return self.extender.none
        weights, allowance = _priced(aim, caps, prices.of_caps)
        priced = self.extender.bound(weights)
        plain = self.extender.bound(_weights(aim))
        limits = [self.limit(cap) for cap in caps]
        known = self._known(aim, caps, prices.paths) if top == 1 else np.inf
        width = _WIDTH
        while True:
            # Values are whole numbers: half a unit is room for rounding.
            bounds = [priced.capped(known + allowance + 0.5), plain.capped(known + 0.5), *limits]
            found, left_behind = self._swept(bounds, aim, caps, top, width)
            found = found[self._order(found, aim)[:top]]
            last = float(aim.sign * found.costs[aim.cost, -1]) if len(found) >= top else np.inf
            if left_behind == np.inf or last <= left_behind - allowance - 0.5:
                return found
            known, width = min(known, last), width * _WIDER
            if width == _WIDTH * _WIDER and aim.sign > 0:
                both = self._joined(aim, caps, top, prices.value, bounds, known)
                if both is not None:
                    return both

    def _joined(
        self, aim: Aim, caps: Sequence[Cap], top: int, proved: float, bounds: Sequence[Bound], known: float
    ) -> Labels | None:
        """`best` by joining halves (see `joined`); None where there are too many of them."""
        halves = self._halves(aim.cost)
        if halves is None:
            return None
        firsts = self.extender.first(bounds)
        for _ in range(halves.at):
            firsts = self.extender.extended(firsts, bounds)
        furthest = self.states.shortest(*self.extender.weighted(-_weights(aim)))
        assert furthest is not None
        high = int(min(known, self.terms[aim.cost].at(furthest)))
        found = self.extender.none
        for more in joined(halves, firsts, aim.cost, math.floor(proved - 0.5), high):
            if more is None:
                return None
            kept = np.all([cap.sign * more.costs[cap.cost] <= cap.most for cap in caps], axis=0)
            more = more[np.flatnonzero(np.broadcast_to(kept, len(more)))]
            found = Labels.joined([found, more[self.space.allowed(more.choices)]])
            if len(found) >= top:
                break
        return found[self._order(found, aim)[:top]]

    def _halves(self, cost: int) -> Halves | None:
        with self._lock:
            if cost not in self._second_halves:
                self._second_halves[cost] = Halves.of(self.extender, cost)
            return self._second_halves[cost]

    def prices(self, aim: Aim, caps: Sequence[Cap]) -> Prices:
        """The dual of the linear relaxation, by cutting planes: each path met is a cut."""
        values = self.extender.weighted(_weights(aim))
        limited = [self.extender.weighted(_weights(cap)) for cap in caps]
        first = self.states.shortest(*values)
        if first is None:
            return Prices(np.zeros(len(caps)), np.inf, np.zeros((0, len(self.terms[0].block)), np.int64))
        most = np.array([cap.most for cap in caps], float)
        paths = [first, *filter(None, (self.states.shortest(*each) for each in limited))]
        excess = np.array([self._of(path, caps) - most for path in paths])
        worth = np.array([self._of(path, [aim])[0] for path in paths])
        if (excess[np.arange(1, len(paths)), np.arange(len(caps))] > 0).any():
            return Prices(np.zeros(len(caps)), np.inf, np.array(paths))
        furthest = self.states.shortest(-values[0], -values[1])
        assert furthest is not None
        worst, unit = self._of(furthest, [aim])[0], np.maximum(np.abs(most), 1.0)
        scale = max(worst - worth[0], 1.0)
        prices, proved = np.zeros(len(caps)), worth[0]
        for _ in range(_ROUNDS if caps else 0):
            at, planned = _master(worth / scale, excess / unit)
            at *= scale / unit
            block = values[0] + sum(price * each[0] for price, each in zip(at, limited, strict=True))
            pair = values[1] + sum(price * each[1] for price, each in zip(at, limited, strict=True))
            path = self.states.shortest(block, pair)
            assert path is not None
            here, over = self._of(path, [aim])[0], self._of(path, caps) - most
            value = here + at @ over
            if value > proved:
                prices, proved = at, value
            if proved > worst + 0.5:
                return Prices(prices, np.inf, np.array(paths))
            if planned * scale - value <= 1e-9 * scale or path in paths:
                break
            paths.append(path)
            worth, excess = np.append(worth, here), np.vstack([excess, over])
        return Prices(prices, float(proved), np.array(paths))

    def _of(self, path: tuple[int, ...], parts: Sequence[Aim] | Sequence[Cap]) -> Floats:
        return np.array([part.sign * self.terms[part.cost].at(path) for part in parts], float)

    def _known(self, aim: Aim, caps: Sequence[Cap], paths: Ints) -> float:
        """The value of the best of `paths` that is a candidate within `caps`; inf without one."""
        kept = self.space.allowed(paths)
        for cap in caps:
            kept &= cap.sign * self.terms[cap.cost].of(paths) <= cap.most
        values = aim.sign * self.terms[aim.cost].of(paths[kept])
        return float(values.min()) if len(values) else np.inf

    def _swept(
        self, bounds: Sequence[Bound], aim: Aim, caps: Sequence[Cap], top: int, width: int
    ) -> tuple[Labels, float]:
        """What is found with at most `width` labels a layer, and the smallest bound left behind."""
        labels, left_behind = self.extender.first(bounds), np.inf
        for _ in range(len(self.states.after)):
            if len(labels) > width:
                # Comparing labels is slow: not those that have no prospect anyway.
                labels, left_behind = _promising(labels, bounds[0], _COMPARED * width, left_behind)
                labels = self.unbeaten(labels, aim, caps, top)
                labels, left_behind = _promising(labels, bounds[0], width, left_behind)
            labels = self.extender.extended(labels, bounds)
        return labels, left_behind

    def unbeaten(self, labels: Labels, aim: Aim, caps: Sequence[Cap], top: int = 1) -> Labels:
        """Labels without those that `top` others make needless.

        Where more of a cost is better, or too little of it breaks a minimum, labels that cost less
        are no better: there only labels that cost the same, or surely enough, are compared.
        """
        apart = [labels.costs[aim.cost]] if aim.sign < 0 else []
        stage = labels.choices.shape[1] - 1
        for cap in caps:
            if cap.sign < 0:
                to_go = self.extender.bound(_weights(Aim(cap.cost))).to_go[stage]
                apart.append(np.maximum(-labels.costs[cap.cost], cap.most + to_go[labels.mode, labels.last]))
        compared = labels.costs.copy()
        if SCORE not in (aim.cost, *(cap.cost for cap in caps)):
            compared[SCORE] = 0
        return self.extender.unbeaten(labels, compared, apart, top)

    def _order(self, labels: Labels, aim: Aim) -> Ints:
        """Indices in the order of the aim, then MACs, params, choice; labels are in order of choice."""
        costs = labels.costs
        return np.lexsort((costs[PARAMS], costs[MACS], aim.sign * costs[aim.cost]))


def _promising(labels: Labels, bound: Bound, width: int, left_behind: float) -> tuple[Labels, float]:
    """The `width` labels of the smallest bounds, and the smallest bound ever left behind."""
    if len(labels) <= width:
        return labels, left_behind
    at = bound.at(labels)
    order = np.argsort(at, kind="stable")
    return labels[np.sort(order[:width])], min(left_behind, float(at[order[width]]))


def _weights(part: Aim | Cap) -> Floats:
    weights = np.zeros(3)
    weights[part.cost] = part.sign
    return weights


def _priced(aim: Aim, caps: Sequence[Cap], prices: Floats) -> tuple[Floats, float]:
    """The aim with caps at their prices, as weights, and what candidates within the caps save by it."""
    weights = _weights(aim)
    for price, cap in zip(prices, caps, strict=True):
        weights = weights + price * _weights(cap)
    return weights, float(sum(price * cap.most for price, cap in zip(prices, caps, strict=True)))


def _master(worth: Floats, excess: Floats) -> tuple[Floats, float]:
    """Prices (C,) that make the cheapest of some paths dearest, and its value then.

    `worth` (P,) and `excess` (P, C): a path's value at prices p is worth + excess @ p.
    """
    count = excess.shape[1]
    solved = linprog(
        np.append(np.zeros(count), -1.0),
        A_ub=np.hstack([-excess, np.ones((len(worth), 1))]),
        b_ub=worth,
        bounds=[(0, _HIGHEST_PRICE)] * count + [(None, None)],
        method="highs",
    )
    return np.maximum(solved.x[:count], 0.0), float(-solved.fun)
