"""`Rules`: what a hybrid must keep, and `Space`: the same for one set of candidates, in indices."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.terms import Choices, Terms
from dery_core.reassembly.value import Budget
from dery_core.values import Value

Mask = NDArray[np.bool_]
_TRANSFORMER_LAYOUTS = ("tokens", "map_last")
_NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Rules(Value):
    """A budget and side constraints of a hybrid.

    Blocks come from at least `min_models` and at most `max_models` (None: any number) networks, from
    all of `required_models` and none of `forbidden_models`. A block is (model, stage from 0): a
    required one fills its stage, a forbidden one none. With `cnn_first` no CNN block follows a
    transformer block; by layouts, a block that hands on tokens or a channels-last map is a
    transformer's.
    """

    budget: Budget = field(default_factory=Budget)
    min_models: int = 2
    max_models: int | None = None
    forbidden_models: tuple[str, ...] = ()
    required_models: tuple[str, ...] = ()
    forbidden_blocks: tuple[tuple[str, int], ...] = ()
    required_blocks: tuple[tuple[str, int], ...] = ()
    cnn_first: bool = False

    @property
    def unlimited(self) -> "Rules":
        """The same rules without a budget."""
        return replace(self, budget=Budget())


@dataclass(frozen=True, eq=False)
class Limit:
    """value(choice) ≤ most."""

    terms: Terms
    most: int


@dataclass(frozen=True, eq=False)
class Space:
    """`rules` for `candidates`, checked: names are known and nothing contradicts itself.

    `blocks` (K, N) and `pairs` (K-1, N, N) may be used; `required` are the indices of required
    models. DeryError, one sentence, when a name is unknown or rules can't hold together.
    """

    candidates: Candidates
    rules: Rules
    blocks: Mask
    pairs: Mask
    required: tuple[int, ...]

    @property
    def min_models(self) -> int:
        return self.rules.min_models

    @property
    def max_models(self) -> int:
        """At most so many networks; K where there is no such rule."""
        k = self.candidates.k
        return k if self.rules.max_models is None else min(self.rules.max_models, k)

    @property
    def free_sets(self) -> bool:
        """Whether some set isn't a stage, so that the sets must be kept track of."""
        set_of = self.candidates.set_of
        return bool((set_of != np.arange(len(set_of))[:, None]).any())

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Eq. 9 and its minima; a minimum is a limit on the negative."""
        budget, costs = self.rules.budget, self.candidates
        most = ((costs.params, budget.max_params), (costs.macs, budget.max_macs))
        least = ((costs.params, budget.min_params), (costs.macs, budget.min_macs))
        kept = [Limit(terms, limit) for terms, limit in most if limit is not None]
        return tuple(kept + [Limit(-terms, -limit) for terms, limit in least if limit is not None])

    def allowed(self, choices: Choices) -> Mask:
        """Which of `choices` (S, K) keep every rule but the budget: (S,)."""
        stages = np.arange(self.candidates.k)
        sets = np.sort(self.candidates.set_of[stages, choices], axis=1)
        kept = (sets == stages).all(axis=1) & self.blocks[stages, choices].all(axis=1)
        kept &= self.pairs[stages[:-1], choices[:, :-1], choices[:, 1:]].all(axis=1)
        sources = 1 + (np.diff(np.sort(choices, axis=1), axis=1) != 0).sum(axis=1)
        kept &= (sources >= self.min_models) & (sources <= self.max_models)
        for model in self.required:
            kept &= (choices == model).any(axis=1)
        return kept


def within(budget: Budget, params: NDArray[np.int64], macs: NDArray[np.int64]) -> Mask:
    """Which (params, macs) `budget` allows."""
    kept = (params <= _most(budget.max_params)) & (macs <= _most(budget.max_macs))
    return kept & (params >= (budget.min_params or 0)) & (macs >= (budget.min_macs or 0))


def _most(limit: int | None) -> int:
    return _NO_LIMIT if limit is None else limit


def space(candidates: Candidates, rules: Rules) -> Space:
    """`rules` in the indices of `candidates`; DeryError when they can't be kept for a plain reason."""
    blocks = blocks_left(rules, candidates.models, candidates.k)
    required = tuple(sorted({candidates.models.index(name) for name in rules.required_models}))
    return Space(candidates, rules, blocks, _pairs(candidates, rules.cnn_first), required)


def blocks_left(rules: Rules, models: tuple[str, ...], k: int) -> Mask:
    """Which blocks of `models` cut into `k` the rules leave, (K, N); DeryError when a name is unknown or
    rules can't hold together. Needs no prices: it tells mistakes before any long work."""
    _check_names(rules, models, k)
    _check_contradictions(rules, len(models), k)
    blocks = np.ones((k, len(models)), bool)
    for name in rules.forbidden_models:
        blocks[:, models.index(name)] = False
    for name, stage in rules.forbidden_blocks:
        blocks[stage, models.index(name)] = False
    for name, stage in rules.required_blocks:
        blocks[stage] &= np.arange(len(models)) == models.index(name)
    empty = np.flatnonzero(~blocks.any(axis=1))
    if len(empty):
        raise DeryError(f"every block of stage {empty[0] + 1} is forbidden: allow at least one.")
    for name in models:
        if name in rules.required_models and not blocks[:, models.index(name)].any():
            raise DeryError(
                f"{name} is required, but none of its blocks is left to take: forbid fewer blocks."
            )
    return blocks


def _pairs(candidates: Candidates, cnn_first: bool) -> Mask:
    n = len(candidates.models)
    pairs = np.ones((candidates.k - 1, n, n), bool)
    if cnn_first:
        kinds = [[block.output.kind in _TRANSFORMER_LAYOUTS for block in row] for row in candidates.blocks]
        transformer = np.array(kinds, bool).T
        # What never comes next to each other never comes one after the other.
        pairs &= ~(transformer[:-1, :, None] & ~transformer[1:, None, :])
    return pairs


def _check_names(rules: Rules, models: tuple[str, ...], k: int) -> None:
    named = [*rules.forbidden_models, *rules.required_models]
    for name, stage in (*rules.forbidden_blocks, *rules.required_blocks):
        named.append(name)
        if not 0 <= stage < k:
            raise DeryError(f"{name} has no stage {stage + 1}: its stages are 1 to {k}.")
    for name in named:
        if name not in models:
            close = difflib.get_close_matches(name, models, cutoff=0.4) or models[:3]
            listed = " or ".join(f"'{other}'" for other in close)
            raise DeryError(f"there is no network '{name}' in this partition: did you mean {listed}?")


def _check_contradictions(rules: Rules, n: int, k: int) -> None:
    _check_budget(rules.budget)
    if rules.min_models < 1 or (rules.max_models is not None and rules.max_models < 1):
        raise DeryError("a hybrid takes blocks of at least 1 network: ask for 1 or more.")
    left = n - len(set(rules.forbidden_models))
    if not left:
        raise DeryError("every network is forbidden: allow at least one.")
    most = min(k, left)
    if rules.min_models > most:
        raise DeryError(
            f"a hybrid of at least {networks(rules.min_models)} is impossible with {networks(left)} "
            f"cut into {k} blocks: ask for at most {most}."
        )
    if rules.max_models is not None and rules.max_models < rules.min_models:
        raise DeryError(
            f"at least {rules.min_models} and at most {networks(rules.max_models)} contradict each other: "
            "raise the most or lower the least."
        )
    _refuse(set(rules.forbidden_models) & set(rules.required_models))
    _refuse(set(rules.forbidden_models) & {name for name, _ in rules.required_blocks})
    for name, stage in sorted(set(rules.forbidden_blocks) & set(rules.required_blocks)):
        raise DeryError(f"stage {stage + 1} of {name} is both required and forbidden: drop one of the two.")
    filled = {stage: name for name, stage in rules.required_blocks[::-1]}
    for name, stage in rules.required_blocks:
        if filled[stage] != name:
            raise DeryError(
                f"stage {stage + 1} can't be both {filled[stage]}'s and {name}'s: require one of them."
            )
    wanted = set(rules.required_models) | {name for name, _ in rules.required_blocks}
    most = k if rules.max_models is None else min(k, rules.max_models)
    if len(wanted) > most:
        raise DeryError(
            f"{networks(len(wanted))} are required, but a hybrid may take blocks of at most {most}: "
            "require fewer networks or allow more."
        )


def networks(count: int) -> str:
    return "1 network" if count == 1 else f"{count} networks"


def _refuse(models: Iterable[str]) -> None:
    for name in sorted(models):
        raise DeryError(f"{name} is both required and forbidden: drop one of the two.")


def _check_budget(budget: Budget) -> None:
    for what in ("params", "macs"):
        least, most = getattr(budget, f"min_{what}"), getattr(budget, f"max_{what}")
        if least is not None and most is not None and least > most:
            unit = "MACs" if what == "macs" else what
            raise DeryError(
                f"at least {least:,} and at most {most:,} {unit} contradict each other: "
                "lower the minimum or raise the limit."
            )
