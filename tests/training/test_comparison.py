"""Who won: the best member decides, and chance is called chance."""

import pytest

from dery_core.training import Contender, verdict
from dery_core.training.comparison import chance_of_difference

HYBRID = Contender("hybrid", 80.0, 10, 20)
VIT = Contender("vit", 70.0, 10, 20)
RESNET = Contender("resnet", 90.0, 20, 20)


def test_the_best_member_decides() -> None:
    assert verdict(HYBRID, [VIT, RESNET], tested=2000) == (
        "The hybrid loses: 80.0 % against 90.0 % of resnet, the best of 2 members tuned in the same way, "
        "with 0.5 times its parameters and 1 times its MACs. One seed only."
    )


def test_a_win_is_called_a_win() -> None:
    said = verdict(HYBRID, [VIT], tested=2000)
    assert said.startswith("The hybrid wins: 80.0 % against 70.0 % of vit, the only member")


def test_a_difference_within_chance_is_a_draw() -> None:
    assert verdict(HYBRID, [VIT._replace(top1=79.0)], tested=100).startswith("A draw:")


def test_without_members_nothing_is_claimed() -> None:
    assert verdict(HYBRID, [], tested=100).startswith("No comparison: the hybrid reaches 80.0 %")


def test_chance_shrinks_with_the_test_set() -> None:
    # Two coins of 50 % on 100 throws: 1.96 * sqrt(2 * 0.25 / 100) = 13.9 points.
    assert chance_of_difference(50, 50, 100) == pytest.approx(13.86, abs=0.01)
    assert chance_of_difference(50, 50, 10_000) == pytest.approx(1.386, abs=0.001)
