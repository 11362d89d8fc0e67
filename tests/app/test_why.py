"""Why this hybrid: what is said of limits, and what a step buys."""

from dataclasses import replace

import pytest

from app.components.why import gain_card, raised, spoken_better, spoken_binding, spoken_move, spoken_price
from dery_core.reassembly import Budget, Choice
from dery_core.search import Gain

MODELS, COLOURS = ("resnet", "<vit>"), {"resnet": "#622386", "<vit>": "#f6c835"}
BEST = Choice((0, 1, 0), 900, 9_000, 684.2)
BETTER = Choice((0, 1, 1), 950, 10_400, 690.6)
MACS = Gain("max_macs", 10_000, 10_400, BETTER, 0.05)
PARAMS = Gain("max_params", 1_000, None, None, 0.0)


def test_a_card_tells_what_a_step_buys_and_which_blocks_change() -> None:
    card = gain_card(MACS, BEST, MODELS, COLOURS)
    assert "score +6.4" in card
    assert "4 % more MACs" in card
    assert "684.2 → 690.6" in card
    assert "Block 3" in card
    assert "Block 2" not in card
    assert "width:90.0%" in card


def test_a_limit_that_buys_nothing_says_so() -> None:
    card = gain_card(PARAMS, BEST, MODELS, COLOURS)
    assert "nothing within 10 % more" in card
    assert "score" not in card


def test_a_name_is_never_markup() -> None:
    assert "<vit>" not in gain_card(MACS, BEST, MODELS, COLOURS)


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((), "No limit is set"),
        ((PARAMS,), "Moving the limit by up to 10 % buys nothing"),
        ((PARAMS, replace(PARAMS, limit="max_macs")), "Moving any one limit"),
        ((PARAMS, MACS), "What holds the score back: the limit on MACs."),
        ((replace(MACS, limit="max_params"), MACS), "the limit on parameters and the limit on MACs, each"),
        ((replace(MACS, limit="min_macs"),), "the minimum of MACs"),
    ],
)
def test_the_limit_that_binds_is_named(gains: tuple[Gain, ...], said: str) -> None:
    assert said in spoken_binding(gains)


def test_the_button_moves_that_limit_alone_and_as_far_as_needed() -> None:
    budget = Budget(max_params=1_000, max_macs=10_000)
    assert raised(budget, MACS) == Budget(max_params=1_000, max_macs=10_400)
    assert spoken_move(MACS) == "Raise to 10.4 k MACs"
    assert spoken_move(replace(MACS, limit="min_params", to=9_500)) == "Lower to 9.5 k parameters"


def test_a_step_too_small_for_three_digits_is_written_out() -> None:
    assert spoken_move(replace(MACS, now=10_001, to=10_003)) == "Raise to 10,003 MACs"


def test_a_shadow_price_is_told_for_one_percent_of_the_limit() -> None:
    assert "(100 MACs) is worth about 5 of score" in spoken_price(MACS)
    assert spoken_price(PARAMS) == ""


def test_a_hybrid_that_is_not_the_best_is_said_not_to_be() -> None:
    assert "**+6.4** (690.6)" in spoken_better(BEST, BETTER)
