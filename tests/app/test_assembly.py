"""Assembly: hybrids priced and ranked, limits that say what they hold."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from app.assembly import Assembly, budget_limits, reaching, read_choice, written_choice
from dery_core.data import Probe
from dery_core.errors import DeryError
from dery_core.partition import Block
from dery_core.reassembly import BlockFacts, Budget, Candidates
from dery_core.scoring import Measured, Scores
from dery_core.search import Rules, fit_linear
from dery_core.units import parse_quantity, quantity
from dery_core.zoo import Layout, Zoo

MODELS = ("a", "b", "c")
STAGES = 3
MAP = Layout("map", 8, 4, 4)


def made(complete: bool = True, sets: tuple[tuple[int, ...], ...] = ()) -> Assembly:
    """Three networks in three blocks; the scores are drawn."""
    random = np.random.default_rng(0)

    def drawn() -> int:
        return int(random.integers(100, 9000))

    blocks = tuple(
        tuple(BlockFacts(Block(name, k, k), "n", "n", drawn(), drawn(), MAP, MAP) for k in range(STAGES))
        for name in MODELS
    )
    candidates = Candidates(MODELS, blocks, sets or (tuple(range(STAGES)),) * 3, num_classes=4)
    choices = list(itertools.product(range(3), repeat=STAGES))
    values = random.normal(100, 10, len(choices))
    shown = len(choices) if complete else 20
    measured = tuple(Measured(choice, float(value)) for choice, value in zip(choices, values, strict=True))
    linear = fit_linear(np.array(choices), values, len(MODELS))
    scores = Scores("key", "naswot", Probe("none", 4), 0, measured[:shown], linear, complete)
    return Assembly.build(Zoo(Path("zoo.json"), ()), candidates, scores)


def test_what_every_hybrid_was_measured_for_is_its_own_score_and_else_a_prediction() -> None:
    known, guessed = made(), made(complete=False)
    assert (known.title, guessed.title) == ("NASWOT, measured", "NASWOT, predicted")
    best = known.best(Rules())
    assert (
        best.predicted
        == best.measured
        == max(each.score or 0 for each in known.scores.measured if len(set(each.choice)) > 1)
    )
    unmeasured = guessed.priced((2, 2, 1))
    assert unmeasured.measured is None
    assert unmeasured.predicted == pytest.approx(guessed.scores.linear.predict((2, 2, 1)))


def test_a_whole_network_that_scores_higher_within_the_budget_is_named() -> None:
    assembly = made()
    whole = assembly.members.sort_values("score").iloc[-1]
    worse = next(
        assembly.priced(each.choice)
        for each in assembly.scores.measured
        if len(set(each.choice)) > 1 and (each.score or 0) < whole["score"]
    )
    assert assembly.rival(worse, Budget()) == (whole["name"], whole["score"])
    assert assembly.rival(worse, Budget(max_params=int(assembly.members["params"].min()) - 1)) is None
    above = [
        m["name"] for _, m in assembly.members.iterrows() if m["score"] > assembly.best(Rules()).predicted
    ]
    found = assembly.rival(assembly.best(Rules()), Budget())
    assert (found and found[0]) in (above or [None])


def test_a_hybrid_found_and_the_same_one_chosen_are_told_alike() -> None:
    assembly = made()
    best = assembly.shown(Rules(), None)
    assert assembly.shown(Rules(Budget(max_params=1)), best.choice) == best


def test_a_choice_that_takes_a_set_twice_is_refused() -> None:
    assembly = made(sets=((0, 1, 2), (1, 0, 2), (2, 1, 0)))
    with pytest.raises(DeryError, match="two blocks of one set"):
        assembly.priced((0, 1, 1))


def test_whether_a_hybrid_keeps_budget_and_rules_is_told() -> None:
    assembly = made()
    hybrid = assembly.priced((0, 1, 1))
    assert assembly.keeps(hybrid, Rules(Budget(max_params=hybrid.params, min_macs=hybrid.macs)))
    assert not assembly.keeps(hybrid, Rules(Budget(max_params=hybrid.params - 1)))
    assert not assembly.keeps(hybrid, Rules(forbidden_models=("b",)))
    assert not assembly.keeps(hybrid, Rules(required_blocks=(("c", 0),)))


def test_limits_moved_to_a_hybrid_hold_it() -> None:
    hybrid = made().priced((0, 1, 2))
    budget = reaching(Budget(max_params=1, max_macs=10**9, min_macs=hybrid.macs + 5), hybrid)
    assert budget.allows(hybrid.params, hybrid.macs)
    assert parse_quantity(quantity(budget.max_params or 0)) == budget.max_params
    assert budget.max_macs == 10**9


def test_no_hybrid_of_the_cloud_lies_above_the_front() -> None:
    assembly = made()
    front = assembly.front(Rules(Budget(max_params=1)))
    for point in assembly.cloud.itertuples():
        better = front[(front["params"] <= point.params) & (front["macs"] <= point.macs)]
        assert better["score"].max() >= point.score


def test_rules_that_contradict_each_other_leave_no_front_and_no_nearest_budget() -> None:
    assembly = made()
    rules = Rules(forbidden_models=("a",), required_models=("a",))
    assert assembly.front(rules).empty
    assert assembly.nearest(rules) is None
    assert assembly.nearest(Rules(Budget(max_params=1))) is not None


def test_a_choice_is_written_by_places_from_one_and_read_again() -> None:
    assert written_choice((0, 10, 2)) == "1-11-3"
    assert read_choice("1-11-3") == (0, 10, 2)


@pytest.mark.parametrize("word", ["0-1", "a-b", "", "1--2"])
def test_a_word_that_is_no_choice_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="invalid literal|0-1"):
        read_choice(word)


@pytest.mark.parametrize(("low", "high"), [(85_812, 778_123), (7, 9), (1_234_567, 1_239_999), (5, 5)])
def test_limits_span_all_hybrids_and_are_shown_as_they_are(low: int, high: int) -> None:
    limits = budget_limits(low, high)
    assert low <= limits[0]
    assert limits[-1] >= high
    assert [parse_quantity(quantity(limit)) for limit in limits] == limits
    assert len(set(limits)) == len(limits)
