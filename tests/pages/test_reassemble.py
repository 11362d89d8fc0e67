"""Reassemble: the hybrid follows the budget."""

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import steps
from dery_core.scoring import DEFAULT_SCORE, SCORES
from dery_core.units import parse_quantity

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"


def blocks(app: AppTest) -> str:
    return next(str(html.value) for html in app.html if 'class="dery-hybrid' in str(html.value))


def models(drawn: str) -> list[str]:
    """The source network of every block of a drawn hybrid."""
    return re.findall(r'class="block[^"]*"[^>]*data-model="([^"]+)"', drawn)


def sources(app: AppTest) -> list[str]:
    return models(blocks(app))


def opened(app: AppTest) -> AppTest:
    """The page with the rules in sight."""
    app.session_state["rules"] = True
    return app.run()


def test_the_sliders_span_the_smallest_to_the_largest_hybrid(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3")
    assert not app.exception
    assert blocks(app).count('class="block"') == 3
    for key in ("max_params", "max_macs"):
        slider = app.select_slider(key=key)
        low, *_, high = map(parse_quantity, slider.options)
        assert slider.value == high > low


def test_a_smaller_budget_gives_a_hybrid_within_it(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3")
    free = blocks(app)
    slider = app.select_slider(key="max_macs")
    least = parse_quantity(slider.options[0])
    slider.set_value(least).run()
    assert not app.exception
    assert blocks(app) != free
    assert app.query_params["macs"] == str(least)
    assert parse_quantity(app.metric[1].value) <= least


def test_a_shared_link_brings_its_budget(open_page: Open) -> None:
    first = open_page("reassemble", members=BOTH, k="3")
    options = first.select_slider(key="max_macs").options
    middle = parse_quantity(options[len(options) // 2])
    again = open_page("reassemble", members=BOTH, k="3", macs=str(middle))
    assert again.select_slider(key="max_macs").value == middle


def test_a_budget_below_the_smallest_hybrid_names_the_smallest(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3", macs="10")
    assert not app.exception
    assert "the nearest" in app.error[0].value
    assert app.error[0].value[0].isupper()
    slider = app.select_slider(key="max_macs")
    slider.set_value(parse_quantity(slider.options[-1])).run()
    assert not app.error


def test_score_is_never_shown_without_size_and_cost(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3")
    assert [metric.label for metric in app.metric] == [
        "Parameters",
        "MACs",
        f"{SCORES[DEFAULT_SCORE].title}, measured",
        "Hybrids that fit",
    ]


def test_every_seam_says_what_it_bridges_and_what_is_lost(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3", about="inside")
    seams = app.table[0].value
    drawn = blocks(app)
    assert len(seams) == drawn.count("⇢") >= 1
    for line in seams.to_dict("records"):
        before, after = str(line["From → to"]).replace("\u00a0", " ").split(" → ")
        assert before in drawn
        assert after in drawn
        assert line["Lost"] == "nothing" or "warning" in line["Lost"]


def test_where_any_block_may_be_in_any_set_every_block_shows_its_own(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="2", variant="free")
    assert not app.exception
    assert set(re.findall(r"Block \d · set (\d)", blocks(app))) == {"1", "2"}
    app = open_page("reassemble", members=BOTH, k="2")
    assert "· set" not in blocks(app)


def test_the_nearest_budget_is_one_click_away_when_nothing_fits(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3", macs="10", params="20")
    assert len(app.error) == 1
    assert not app.metric
    app.button(key="use_nearest").click().run()
    assert not app.error
    for metric, name in zip(app.metric, ("params", "macs"), strict=False):
        assert parse_quantity(metric.value) <= int(app.query_params[name])
        assert app.select_slider(key=f"max_{name}").value == int(app.query_params[name])


def test_rules_that_leave_no_hybrid_can_be_dropped_at_once(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3", without="toy_vit")
    assert not app.exception
    assert len(app.error) == 1
    app.button(key="drop_rules_now").click().run()
    assert not app.error
    assert "without" not in app.query_params
    assert blocks(app)


def test_a_required_block_fills_its_stage_and_a_forbidden_one_none(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3", with_blocks="toy_vit:1,toy_resnet:3")
    assert sources(app)[0] == "toy_vit"
    assert sources(app)[2] == "toy_resnet"
    app = open_page("reassemble", members=BOTH, k="3", without_blocks="toy_vit:1,toy_resnet:3")
    assert sources(app)[0] == "toy_resnet"
    assert sources(app)[2] == "toy_vit"


def test_a_rule_chosen_on_the_page_holds_and_stands_in_title_and_address(open_page: Open) -> None:
    app = opened(open_page("reassemble", members=BOTH, k="3"))
    first = sources(app)[0]
    app.multiselect(key="left_out_blocks").set_value([(first, 0)]).run()
    assert not app.exception
    assert sources(app)[0] != first
    assert app.query_params["without_blocks"] == f"{first}:1"
    assert any(f"without block 1 of {first}" in box.label for box in app.expander)
    opened(app).button(key="drop_rules").click().run()
    assert sources(app)[0] == first
    assert opened(app).multiselect(key="left_out_blocks").value == []


def test_a_minimum_is_kept(open_page: Open) -> None:
    app = opened(open_page("reassemble", members=BOTH, k="3"))
    slider = app.select_slider(key="least_params")
    least = parse_quantity(slider.options[-2])
    slider.set_value(least).run()
    assert parse_quantity(app.metric[0].value) >= least
    assert app.query_params["min_params"] == str(least)


def test_another_score_ranks_by_its_own_values(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3")
    app.selectbox(key="score").set_value("params").run()
    assert not app.exception
    assert app.query_params["score"] == "params"
    parameters, _, score, _ = app.metric
    assert score.label == "#params"
    assert score.value == parameters.value


def test_the_last_picture_stays_while_another_score_is_measured(
    open_page: Open, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("reassemble", members=BOTH, k="3", score="macs")
    shown, go, scores_of = blocks(app), threading.Event(), steps.scores_of

    def slow(*given: Any, **others: Any) -> Any:
        assert go.wait(60)
        return scores_of(*given, **others)

    monkeypatch.setattr(steps, "scores_of", slow)
    monkeypatch.setattr("app.components.waiting.PATIENCE_SECONDS", 0.2)
    app.selectbox(key="score").set_value("naswot-normalised").run()
    assert "Until then the hybrids are ranked by #MACs" in told(app)
    assert blocks(app) == shown
    assert app.query_params["score"] == "naswot-normalised"
    go.set()
    monkeypatch.setattr("app.components.waiting.PATIENCE_SECONDS", 120)
    app.run()
    assert app.metric[2].label == "NASWOT per unit, measured"
    assert "Until then" not in told(app)


def test_a_surprise_fits_and_the_best_is_one_click_away(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("reassemble", members=BOTH, k="3")
    best = sources(app)
    draw = iter(range(100))
    monkeypatch.setattr("secrets.randbits", lambda bits: next(draw))
    seen = set()
    for _ in range(12):
        app.button(key="surprise").click().run()
        assert not app.exception
        assert len(set(sources(app))) == 2
        seen.add(tuple(sources(app)))
    assert len(seen) > 1, "not the same surprise every time"
    assert "chosen" in app.query_params
    app.button(key="surprise").click().run()
    app.button(key="back").click().run()
    assert sources(app) == best
    app.button(key="surprise").click().run()
    slider = app.select_slider(key="max_macs")
    slider.set_value(parse_quantity(slider.options[-2])).run()
    assert "chosen" not in app.query_params, "a moved slider shows the best again"


def test_a_chosen_hybrid_of_the_address_is_shown_and_the_limits_can_be_moved_to_it(
    open_page: Open, told: Told
) -> None:
    chosen = {"members": BOTH, "k": "3", "chosen": "2-1-1"}
    app = open_page("reassemble", **chosen)
    assert sources(app) == ["toy_vit", "toy_resnet", "toy_resnet"]
    assert "costs more or less" not in told(app)
    app = open_page("reassemble", **chosen, params="10", macs="100000")
    assert sources(app) == ["toy_vit", "toy_resnet", "toy_resnet"]
    assert "It costs more or less than the limits allow" in told(app)
    app.button(key="use_chosen").click().run()
    assert sources(app) == ["toy_vit", "toy_resnet", "toy_resnet"]
    assert "costs more or less" not in told(app)


def test_a_pinned_hybrid_stands_beside_the_one_shown(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3", chosen="2-1-1")
    app.button(key="pin").click().run()
    assert app.query_params["pinned"] == "2-1-1"
    app.button(key="back").click().run()
    assert not app.exception
    drawn = [str(html.value) for html in app.html if 'class="dery-hybrid' in str(html.value)]
    assert len(drawn) == 3
    assert models(drawn[1]) == ["toy_vit", "toy_resnet", "toy_resnet"]
    assert models(drawn[2]) == sources(app)
    app.button(key="unpin").click().run()
    assert "pinned" not in app.query_params


def test_more_parameters_are_offered_with_what_they_buy(open_page: Open) -> None:
    first = open_page("reassemble", members=BOTH, k="3", score="params")
    most = parse_quantity(first.metric[0].value)
    app = open_page("reassemble", members=BOTH, k="3", score="params", params=str(most - 2))
    less = parse_quantity(app.metric[0].value)
    app.button(key="raise_max_params").click().run()
    assert not app.exception
    assert parse_quantity(app.metric[0].value) >= less
    assert int(app.query_params["params"]) > most - 2


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("chosen", "1-2", "showing the best"),
        ("pinned", "1-1-9", "left out"),
        ("without", "nobody", "left out"),
        ("with_blocks", "toy_vit:9", "left out"),
    ],
)
def test_hybrids_and_rules_that_these_networks_cannot_have_are_told_and_left_out(
    open_page: Open, name: str, text: str, note: str
) -> None:
    app = open_page("home", members=BOTH, k="3", **{name: text})
    assert not app.exception
    assert note in app.info[0].value
    assert name not in app.query_params


def test_other_networks_drop_budget_rules_and_hybrids(open_page: Open) -> None:
    link = {"macs": "300000", "cnn_first": "yes", "chosen": "2-1-1", "pinned": "1-1-2", "min_params": "1"}
    app = open_page("zoo", members=BOTH, k="3", **link)
    app.checkbox(key="member_toy_vit").uncheck().run()
    assert not set(link) & set(app.query_params)


def test_the_button_leads_to_the_runs_with_the_same_hybrid(open_page: Open, told: Told) -> None:
    app = open_page("reassemble", members=BOTH, k="3")
    size = app.metric[0].value
    app.button(key="fine_tune").click().run()
    assert not app.exception
    assert app.title[0].value == "Fine-tune and compare"
    assert f"{size} params" in told(app)
