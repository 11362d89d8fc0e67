"""Reassemble: the hybrid follows the budget."""

import re
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from dery_core.units import parse_quantity

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"


def blocks(app: AppTest) -> str:
    return next(str(html.value) for html in app.html if "dery-hybrid" in str(html.value))


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
        "NASWOT, measured",
        "Hybrids that fit",
    ]


def test_every_seam_says_what_it_bridges_and_what_is_lost(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="3")
    seams = app.table[0].value
    drawn = blocks(app)
    assert len(seams) == drawn.count("⇢") >= 1
    for line in seams.to_dict("records"):
        before, after = str(line["From → to"]).replace("\u00a0", " ").split(" → ")
        assert before in drawn
        assert after in drawn
        assert line["Lost"] == "nothing" or "warning" in line["Lost"]


def test_where_any_block_may_be_in_any_set_every_block_shows_its_own(open_page: Open, told: Told) -> None:
    app = open_page("reassemble", members=BOTH, k="2", variant="free")
    assert not app.exception
    assert set(re.findall(r"Block \d · set (\d)", blocks(app))) == {"1", "2"}
    assert "no two places may take blocks of one set" in told(app)
    app = open_page("reassemble", members=BOTH, k="2")
    assert "· set" not in blocks(app)
    assert "Place 1 takes the first block" in told(app)


def test_the_button_leads_to_the_runs_with_the_same_hybrid(open_page: Open, told: Told) -> None:
    app = open_page("reassemble", members=BOTH, k="3")
    size = app.metric[0].value
    app.button(key="fine_tune").click().run()
    assert not app.exception
    assert app.title[0].value == "Fine-tune and compare"
    assert f"{size} params" in told(app)
