"""Comparisons: only what was tuned alike, and a sentence that says what holds."""

import pandas as pd
import pytest

from app.compare import chance_of_difference, comparable, verdict

RUN = {
    "task": "t",
    "protocol": "frozen",
    "recipe": "r",
    "seed": 0,
    "state": "finished",
    "params": 10,
    "macs": 20,
}


def runs(*lines: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**RUN, **line} for line in lines])


HYBRID = {"id": "h", "subject": "Hybrid", "hybrid": True, "top1": 80.0}
MEMBER = {"id": "m", "subject": "vit", "hybrid": False, "top1": 70.0}


@pytest.mark.parametrize(
    "other",
    [{"task": "other"}, {"protocol": "full"}, {"recipe": "longer"}, {"seed": 1}, {"state": "running"}],
)
def test_runs_tuned_otherwise_are_left_out(other: dict[str, object]) -> None:
    found = comparable(runs(HYBRID, MEMBER, {**MEMBER, "id": "x", "subject": "swin", **other}), "h")
    assert list(found["id"]) == ["h", "m"]


def test_a_member_tuned_twice_counts_once_by_its_newest_run() -> None:
    found = comparable(runs(HYBRID, {**MEMBER, "id": "new"}, {**MEMBER, "id": "old"}), "h")
    assert list(found["id"]) == ["h", "new"]


def test_the_best_member_decides() -> None:
    alike = runs(HYBRID, MEMBER, {**MEMBER, "id": "best", "subject": "resnet", "top1": 90.0, "params": 20})
    assert verdict(alike, "h", tested=2000) == (
        "**The hybrid loses:** 80.0 % against 90.0 % of resnet, the best of 2 members tuned in the same way, "
        "with 0.5 times its parameters and 1 times its MACs. One seed only."
    )


def test_a_win_is_called_a_win() -> None:
    assert verdict(runs(HYBRID, MEMBER), "h", tested=2000).startswith(
        "**The hybrid wins:** 80.0 % against 70.0 % of vit, the only member"
    )


def test_a_difference_within_chance_is_a_draw() -> None:
    assert verdict(runs(HYBRID, {**MEMBER, "top1": 79.0}), "h", tested=100).startswith("**A draw:**")


def test_without_members_nothing_is_claimed() -> None:
    assert "Nothing to compare it with" in verdict(runs(HYBRID), "h", tested=100)


def test_chance_shrinks_with_the_test_set() -> None:
    # Two coins of 50 % on 100 throws: 1.96 * sqrt(2 * 0.25 / 100) = 13.9 points.
    assert chance_of_difference(50, 50, 100) == pytest.approx(13.86, abs=0.01)
    assert chance_of_difference(50, 50, 10_000) == pytest.approx(1.386, abs=0.001)
