"""Trust beside a score: words that follow the interval, and a bar that follows τ."""

import re
from dataclasses import replace

import pytest

from app.components.trust import badge, bar, spoken_origin, spoken_rank, table_html
from dery_core.data import TARGET_TASK
from dery_core.scoring.trust import Trust
from dery_core.zoo import embedded_zoo


def trust(tau: float, low: float, high: float, score: str = "naswot") -> Trust:
    return Trust(score, "full", tau, low, high, 44)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (trust(0.31, 0.12, 0.48), "weakly: τ 0.31, 0.12 to 0.48"),
        (trust(0.72, 0.6, 0.8), "strongly: τ 0.72, 0.60 to 0.80"),
        (trust(0.3, -0.02, 0.5), "perhaps by chance: τ 0.30, −0.02 to 0.50"),
        (trust(-0.4, -0.6, -0.2), "wrong way round: τ −0.40, −0.60 to −0.20"),
        (trust(0.2, -0.001, 0.4), "perhaps by chance: τ 0.20, 0.00 to 0.40"),
        (trust(0.1, 0.02, 0.2), "hardly: τ 0.10, 0.02 to 0.20"),
    ],
)
def test_how_well_a_score_ranks_is_said_as_far_as_its_interval_allows(found: Trust, said: str) -> None:
    assert spoken_rank(found) == said


def test_a_bar_runs_from_chance_to_tau_and_its_line_over_the_interval() -> None:
    places = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", bar(trust(0.5, 0.2, 0.6)))
    assert places == [("50.0", "25.0"), ("60.0", "20.0")]
    places = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", bar(trust(-0.5, -0.6, -0.2)))
    assert places == [("25.0", "25.0"), ("20.0", "20.0")]


def test_every_score_is_in_the_table_and_the_chosen_one_marked() -> None:
    html = table_html([trust(0.6, 0.5, 0.7, "macs"), trust(0.3, 0.1, 0.5)], "everything tuned", "naswot")
    assert html.index("#MACs") < html.index("NASWOT")
    assert 'class="line own" data-score="naswot"' in html
    assert 'class="line" data-score="macs"' in html


def test_both_ways_of_tuning_have_a_line_and_what_ranks_better_stands_below() -> None:
    found = [Trust("naswot", "frozen", 0.2, 0.1, 0.3, 40), trust(0.3, 0.1, 0.5)]
    html = badge(found, "Simply counting #MACs ranked them better.", "Measured on 40 hybrids.")
    assert html.index('data-protocol="frozen"') < html.index('data-protocol="full"') < html.index("#MACs")
    assert "Measured on 40 hybrids." in html
    assert "⚠" not in badge(found, "", "")


def test_a_score_that_looks_at_the_seams_that_trainings_start_from_says_so() -> None:
    zoo = embedded_zoo()
    for score, said in (("ridge-probe", True), ("macs", False)):
        told = spoken_origin([trust(0.3, 0.1, 0.5, score)], 1, zoo, (), TARGET_TASK)
        assert ("the race begin" in told) is said
        assert "with 1 seed." in told


def test_of_other_networks_or_another_task_nothing_is_claimed() -> None:
    zoo, found = embedded_zoo(), [trust(0.3, 0.1, 0.5)]
    name = zoo.names[0]
    assert "better or worse" not in spoken_origin(found, 3, zoo, (name,), TARGET_TASK)
    assert "On flowers it may be better or worse" in spoken_origin(found, 3, zoo, (name,), "flowers")
    other = replace(zoo, models=(replace(zoo.models[0], sha256="f" * 64),))
    assert f"such as {name}, it may be better or worse" in spoken_origin(
        found, 3, other, (name,), TARGET_TASK
    )
