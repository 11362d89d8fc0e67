"""Comparisons: only what was tuned alike, and a sentence that says what holds."""

import pandas as pd
import pytest

from app.compare import comparable, spoken_verdict

RUN = {
    "task": "t",
    "protocol": "frozen",
    "recipe": "r",
    "seed": 0,
    "start": "random",
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
    [
        {"task": "other"},
        {"protocol": "full"},
        {"recipe": "longer"},
        {"seed": 1},
        {"start": "closed-form"},
        {"state": "running"},
    ],
)
def test_runs_tuned_otherwise_are_left_out(other: dict[str, object]) -> None:
    found = comparable(runs(HYBRID, MEMBER, {**MEMBER, "id": "x", "subject": "swin", **other}), "h")
    assert list(found["id"]) == ["h", "m"]


def test_a_member_tuned_twice_counts_once_by_its_newest_run() -> None:
    found = comparable(runs(HYBRID, {**MEMBER, "id": "new"}, {**MEMBER, "id": "old"}), "h")
    assert list(found["id"]) == ["h", "new"]


def test_the_verdict_is_on_the_hybrid_asked_for_and_the_members() -> None:
    rival = {**HYBRID, "id": "other", "subject": "Another hybrid", "top1": 99.0}
    said = spoken_verdict(runs(rival, HYBRID, MEMBER), "h", tested=2000)
    assert said.startswith("**The hybrid wins:** 80.0 % against 70.0 % of vit, the only member")
