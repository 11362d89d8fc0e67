"""The finder beside brute force: equal answers to every question, under all rules."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import dery_core.search.draw
import dery_core.search.front
import dery_core.search.joined
import dery_core.search.paths
from dery_core.errors import DeryError
from dery_core.partition import Block
from dery_core.reassembly import BlockFacts, Budget, Candidates, Choice
from dery_core.search import Finder, LinearScore, MeasuredScore, Objective, Rules
from dery_core.search.brute import enumerate_best, enumerate_front
from dery_core.zoo import Layout
from tests.search.conftest import every_measured, fitting, random_budget, rules_of_every_kind

Make = Callable[..., Candidates]
MakeLinear = Callable[..., LinearScore]


@pytest.fixture(params=["linear", "coarse", "free sets", "measured"])
def case(
    request: pytest.FixtureRequest, random_candidates: Make, random_linear: MakeLinear
) -> tuple[Candidates, Objective]:
    """Candidates and a score; ties are many in the coarse and the measured one."""
    k, n = (4, 5) if request.param == "free sets" else (3, 6)
    candidates = random_candidates(3, n=n, k=k, shuffled=request.param == "free sets")
    if request.param == "measured":
        return candidates, MeasuredScore(*every_measured(candidates, 0))
    return candidates, random_linear(3, n=n, k=k, coarse=request.param == "coarse")


def excess(budget: Budget, choice: Choice) -> Fraction:
    """The largest share by which a limit is missed."""
    shares = [Fraction(0)]
    for name, limit in budget.limits.items():
        value = choice.params if name.endswith("params") else choice.macs
        shares.append(Fraction(value - limit if name.startswith("max") else limit - value, limit))
    return max(shares)


def test_every_answer_is_that_of_brute_force(
    case: tuple[Candidates, Objective], monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates, objective = case
    random = np.random.default_rng(0)
    seen: Counter[str] = Counter()
    for rules in rules_of_every_kind(candidates.k):
        finder = Finder(candidates, objective)
        every = enumerate_best(candidates, objective, rules)
        if not every:
            assert finder.nearest(rules) is None
            seen["too strict"] += 1
            continue
        for turn in range(4):
            # Half the searches are so narrow at first that they must join halves, or be widened.
            monkeypatch.setattr(dery_core.search.paths, "_WIDTH", 2 if turn > 1 else 1024)
            monkeypatch.setattr(dery_core.search.joined, "_MOST_WINDOWS", 40 if turn == 2 else 0)
            limited = replace(rules, budget=random_budget(random, every, minima=turn % 2 == 1))
            fit = fitting(every, limited.budget)
            if not fit:
                check_nearest(finder, limited, every)
                seen["nothing fits"] += 1
                continue
            # Fresh at first, then looked up in the front.
            assert finder.best(limited, 4) == fit[:4]
            check_gains(finder, limited, every)
            check_front(finder, limited, candidates, objective)
            assert finder.best(limited) == fit[:1]
            check_gains(finder, limited, every)
            assert finder.count(limited) == len(fit)
            assert finder.surprise(limited, turn) in fit
            seen["fits"] += 1
    # Otherwise the test shows less than it says.
    assert seen["fits"] > 10
    assert seen["nothing fits"] > 0


def check_nearest(finder: Finder, rules: Rules, every: list[Choice]) -> None:
    share = min(excess(rules.budget, each) for each in every)
    wanted = next(each for each in every if excess(rules.budget, each) <= share)
    nearest = finder.nearest(rules)
    assert nearest is not None
    assert nearest.choice == wanted
    assert nearest.excess == pytest.approx(float(share))
    assert finder.best(replace(rules, budget=nearest.budget))[0] == wanted
    for name, limit in rules.budget.limits.items():
        moved = getattr(nearest.budget, name)
        assert moved == limit or moved == (wanted.params if name.endswith("params") else wanted.macs)
    with pytest.raises(DeryError, match=f"nearest has {wanted.params:,} params and {wanted.macs:,} MACs"):
        finder.best(rules)


def check_gains(finder: Finder, rules: Rules, every: list[Choice]) -> None:
    best = finder.best(rules)[0]
    for gain in finder.gains(rules, best, within=0.1):
        raised = gain.limit.startswith("max")
        assert gain.now == getattr(rules.budget, gain.limit)
        furthest = gain.now + int(0.1 * gain.now) * (1 if raised else -1)
        reach = fitting(every, replace(rules.budget, **{gain.limit: furthest}))
        better = [each for each in reach if each.predicted > best.predicted]
        size = [each.params if gain.limit.endswith("params") else each.macs for each in better]
        assert gain.to == (None if not better else min(size) if raised else max(size))
        assert gain.choice == (better[size.index(gain.to)] if gain.to is not None else None)
        assert gain.price >= 0


def check_front(finder: Finder, rules: Rules, candidates: Candidates, objective: Objective) -> None:
    front, wanted = finder.front(rules), enumerate_front(candidates, objective, rules)
    assert front.complete
    rows = zip(
        map(tuple, front.choices.tolist()),
        front.params.tolist(),
        front.macs.tolist(),
        front.score.tolist(),
        strict=True,
    )
    assert list(rows) == [(each.choice, each.params, each.macs, each.predicted) for each in wanted]


def test_extremes_are_those_of_all_candidates_under_the_rules(case: tuple[Candidates, Objective]) -> None:
    candidates, objective = case
    finder = Finder(candidates, objective)
    for rules in rules_of_every_kind(candidates.k):
        every = enumerate_best(candidates, objective, rules)
        if every:
            params, macs = [each.params for each in every], [each.macs for each in every]
            ends = finder.extremes(replace(rules, budget=Budget(1, 1)))
            found = (ends.min_params, ends.max_params, ends.min_macs, ends.max_macs)
            assert found == (min(params), max(params), min(macs), max(macs))


def test_a_moved_slider_is_looked_up_to_the_same_answer(
    random_candidates: Make, random_linear: MakeLinear
) -> None:
    candidates, linear = random_candidates(8, n=12, k=4), random_linear(8, n=12, k=4, coarse=True)
    kept = Finder(candidates, linear)
    ends = kept.extremes(Rules())
    kept.front(Rules())
    for share in np.linspace(0.02, 1, 12):
        budget = Budget(
            round(ends.min_params + share * (ends.max_params - ends.min_params)),
            round(ends.min_macs + (1 - share / 2) * (ends.max_macs - ends.min_macs)),
        )
        assert kept.best(Rules(budget)) == Finder(candidates, linear).best(Rules(budget))


def test_one_finder_answers_many_threads(random_candidates: Make, random_linear: MakeLinear) -> None:
    candidates, linear = random_candidates(9), random_linear(9)
    shared, rules = Finder(candidates, linear), rules_of_every_kind(3)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda each: len(shared.front(each)), rules * 3))
    assert found == [len(Finder(candidates, linear).front(each)) for each in rules] * 3


@pytest.mark.parametrize("score", ["linear", "measured"])
def test_prices_tell_what_the_relaxation_gains_at_most(
    random_candidates: Make, random_linear: MakeLinear, score: str
) -> None:
    candidates, linear = random_candidates(10), random_linear(10)
    choices = candidates.every()
    listed = MeasuredScore(choices, np.array([linear.predict(each) for each in choices.tolist()]))
    finder = Finder(candidates, linear if score == "linear" else listed)
    rules = Rules(Budget(60_000, 6_000_000), min_models=1)
    best = finder.best(rules)[0]
    prices = {gain.limit: gain.price for gain in finder.gains(rules, best)}
    # A mixture of hybrids within the limits scores no more than all hybrids do at these prices.
    params, macs = candidates.costs(choices)
    priced = (
        listed.values
        - prices["max_params"] * (params - rules.budget.limits["max_params"])
        - prices["max_macs"] * (macs - rules.budget.limits["max_macs"])
    )
    assert priced.max() >= best.predicted
    # The dual is where no other prices bound it more tightly.
    for more_params, more_macs in [(1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99)]:
        other = (
            listed.values
            - more_params * prices["max_params"] * (params - rules.budget.limits["max_params"])
            - more_macs * prices["max_macs"] * (macs - rules.budget.limits["max_macs"])
        )
        assert other.max() >= priced.max() - 1e-9
    assert max(prices.values()) > 0


@pytest.mark.parametrize("listed", [True, False])
def test_a_surprise_is_evenly_drawn(
    random_candidates: Make, random_linear: MakeLinear, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    if not listed:
        monkeypatch.setattr(dery_core.search.draw, "_LISTED", 0)
    candidates, linear = random_candidates(11, n=4), random_linear(11, n=4)
    every = enumerate_best(candidates, linear, Rules())
    rules = Rules(Budget(max_params=sorted(each.params for each in every)[9]))
    fit = fitting(every, rules.budget)
    finder = Finder(candidates, linear)
    finder.front(rules)
    draws = 40 * len(fit)
    drawn = Counter(finder.surprise(rules, seed).choice for seed in range(draws))
    assert set(drawn) == {each.choice for each in fit}
    # Pearson's statistic has mean F-1 and standard deviation √(2(F-1)); four of these are beyond chance.
    statistic = sum((drawn[each.choice] - 40) ** 2 / 40 for each in fit)
    assert statistic < len(fit) - 1 + 4 * (2 * (len(fit) - 1)) ** 0.5
    assert finder.surprise(rules, 7) == finder.surprise(rules, 7)


def test_a_front_too_large_to_find_whole_is_sampled(
    random_candidates: Make, random_linear: MakeLinear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dery_core.search.front, "_MOST_LABELS", 10)
    candidates, linear = random_candidates(12), random_linear(12)
    rules = Rules(Budget(max_macs=9_000_000))
    front = Finder(candidates, linear).front(rules)
    whole = {each.choice for each in enumerate_front(candidates, linear, rules)}
    assert not front.complete
    assert 3 < len(front) <= len(whole)
    assert {tuple(choice) for choice in front.choices.tolist()} <= whole
    assert (np.diff(front.macs) >= 0).all()


def test_a_budgets_front_is_whole_where_only_the_front_of_all_is_too_large(
    random_candidates: Make, random_linear: MakeLinear, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates, linear = random_candidates(12), random_linear(12)
    cheap = sorted(each.macs for each in enumerate_best(candidates, linear, Rules()))[12]
    rules = Rules(Budget(max_macs=cheap))
    monkeypatch.setattr(dery_core.search.front, "_MOST_LABELS", 20)
    finder = Finder(candidates, linear)
    assert not finder.front(Rules()).complete
    check_front(finder, rules, candidates, linear)


@pytest.mark.parametrize("huge", [10**20, 10**400], ids=["1e20", "1e400"])
def test_limits_of_any_size_are_limits(case: tuple[Candidates, Objective], huge: int) -> None:
    candidates, objective = case
    finder = Finder(candidates, objective)
    ends = finder.extremes(Rules())
    some = Budget(max_macs=(ends.min_macs + ends.max_macs) // 2)
    loose = replace(some, max_params=huge)
    best = finder.best(Rules(some), 5)
    assert finder.best(Rules(loose), 5) == best
    assert finder.front(Rules(loose)).choices.tolist() == finder.front(Rules(some)).choices.tolist()
    assert finder.count(Rules(loose)) == finder.count(Rules(some))
    assert finder.surprise(Rules(loose), 3) == finder.surprise(Rules(some), 3)
    gains = {gain.limit: gain for gain in finder.gains(Rules(loose), best[0])}
    assert gains["max_params"].now == huge
    assert gains["max_params"].to is None
    nearest = finder.nearest(Rules(Budget(max_params=huge, max_macs=10)))
    assert nearest is not None
    assert nearest.budget == Budget(huge, ends.min_macs)
    with pytest.raises(DeryError, match="allow .* MACs"):
        finder.best(Rules(Budget(max_params=huge, max_macs=10)))
    with pytest.raises(DeryError, match="ask for no more than"):
        finder.best(Rules(Budget(min_params=huge)))


@pytest.mark.parametrize("rules", [Rules(), Rules(Budget(max_params=120_000)), Rules(max_models=3)])
def test_too_many_to_count_is_said_and_not_tried(
    random_candidates: Make, random_linear: MakeLinear, monkeypatch: pytest.MonkeyPatch, rules: Rules
) -> None:
    monkeypatch.setattr(dery_core.search.draw, "_CELLS", 30)
    candidates, linear = random_candidates(4, n=6, k=4), random_linear(4, n=6, k=4)
    found = Finder(candidates, linear).count(rules)
    # Without limits paths are counted, which takes no list of them.
    assert found == (6**4 - 6 if rules == Rules() else None)


def test_a_rule_that_no_size_allows_is_named(random_candidates: Make, random_linear: MakeLinear) -> None:
    plain = random_candidates(0, n=2)
    # The first block is a transformer's in both networks, and CNN blocks follow.
    ends = (Layout("tokens", 8, 2, 2), Layout("map", 8, 2, 2), Layout("map", 8, 2, 2))
    blocks = tuple(
        tuple(replace(each, output=end) for each, end in zip(row, ends, strict=True)) for row in plain.blocks
    )
    mixed = Candidates(plain.models, blocks, plain.sets, plain.num_classes)
    finder = Finder(mixed, random_linear(0, n=2))
    assert finder.best(Rules())
    with pytest.raises(DeryError, match="once you give up that CNN blocks come first"):
        finder.best(Rules(cnn_first=True))


def test_sets_that_no_choice_covers_are_a_sentence(
    random_candidates: Make, random_linear: MakeLinear
) -> None:
    plain = random_candidates(0, n=2)
    # Both networks keep stages 0 and 1 in set 0, so set 1 is always empty.
    broken = Candidates(plain.models, plain.blocks, ((0, 0, 2), (0, 0, 2)), plain.num_classes)
    with pytest.raises(DeryError, match="every equivalence set"):
        Finder(broken, random_linear(0, n=2)).best(Rules())


def test_a_budget_met_exactly_is_kept_to_the_last_unit() -> None:
    layout = Layout("map", 8, 1, 1)
    blocks = tuple(
        tuple(
            BlockFacts(Block(name, k, k), "n", "n", 10, 2_000_000_000 + extra, layout, layout)
            for k in range(2)
        )
        for name, extra in (("light", 0), ("heavy", 1))
    )
    candidates = Candidates(("light", "heavy"), blocks, ((0, 1), (0, 1)), num_classes=2)
    finder = Finder(candidates, LinearScore(0.0, ((0.0, 2.0), (0.0, 1.0))))
    best = finder.best(Rules())[0]
    # Both hybrids have the same MACs, one more than two light blocks with the same seam.
    assert best.choice == (1, 0)
    assert finder.best(Rules(Budget(max_macs=best.macs)))[0] == best
    with pytest.raises(DeryError, match=f"nearest has .* and {best.macs:,} MACs; allow {best.macs:,} MACs"):
        finder.best(Rules(Budget(max_macs=best.macs - 1)))


def test_fewer_candidates_than_asked_for_are_all_given(
    random_candidates: Make, random_linear: MakeLinear
) -> None:
    finder = Finder(random_candidates(2, n=2), random_linear(2, n=2))
    # 2³ choices less the two that take every block from one model.
    assert len(finder.best(Rules(), top=50)) == 6


def test_twins_come_in_the_order_of_the_choice(random_candidates: Make) -> None:
    one = random_candidates(0, n=1)
    twins = Candidates(("a", "b"), one.blocks * 2, one.sets * 2, one.num_classes)
    best = Finder(twins, LinearScore(0.0, ((0.0, 0.0),) * 3)).best(Rules(), top=6)
    assert best == enumerate_best(twins, LinearScore(0.0, ((0.0, 0.0),) * 3), Rules())
    assert best[0].choice < best[1].choice
