"""The Reassemble page in a real browser: sliders dragged by the mouse, a point of the plane clicked."""

import re

import pytest
from playwright.sync_api import Page, expect

from dery_core.units import parse_quantity

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SLOW = 900_000
"""Milliseconds that building hybrids of two networks may take on a busy machine."""
REDRAW = 60_000
"""Milliseconds that a redraw may take there."""
# By a score that needs no measuring: what is tested is the page.
LINK = "/reassemble?members=resnet_s.clutter,vit.clutter,convnext.clutter&score=macs"
# What is shown, once picture and plane are of the limits that the sliders stand at.
SHOWN = """() => {
    const figures = document.querySelector('.dery-shown');
    const plane = document.querySelector('.st-key-score_plane .js-plotly-plot');
    const text = key => document.querySelector(`.st-key-${key} [data-testid=stSliderThumbValue]`)?.innerText;
    if (!figures || !plane || !plane.layout) return null;
    const {params, macs, maxParams, maxMacs} = figures.dataset;
    const drawn = plane.layout.meta === `${params} ${macs} ${maxParams} ${maxMacs}`;
    return drawn && maxParams === text('max_params') && maxMacs === text('max_macs') ? figures.dataset : null;
}"""


def shown(page: Page, timeout: int = REDRAW) -> dict[str, str]:
    """Costs of the hybrid shown and the limits it was found for."""
    return dict(page.wait_for_function(SHOWN, timeout=timeout).json_value())


def drag(page: Page, key: str, fraction: float) -> None:
    """Drag a slider's thumb to a fraction of its track."""
    now = page.locator(f".st-key-{key} input").evaluate("input => input.value / input.max")
    track = page.locator(f".st-key-{key} .stSlider [data-orientation]").last.bounding_box()
    assert track is not None
    y = track["y"] + track["height"] / 2
    page.mouse.move(track["x"] + now * track["width"], y)
    page.mouse.down()
    page.mouse.move(track["x"] + fraction * track["width"], y, steps=4)
    page.mouse.up()


def no_error(page: Page) -> None:
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)


def test_every_hybrid_on_the_way_of_both_sliders_keeps_its_budget(page: Page) -> None:
    page.goto(LINK)
    seen = {shown(page, SLOW)["macs"]}
    for key, fraction in (
        *(("max_params", fraction) for fraction in (0.6, 0.2, 0.0, 0.4, 0.7)),
        *(("max_macs", fraction) for fraction in (0.5, 0.2, 0.8)),
    ):
        drag(page, key, fraction)
        hybrid = shown(page)
        no_error(page)
        assert int(hybrid["params"]) <= parse_quantity(hybrid["maxParams"])
        assert int(hybrid["macs"]) <= parse_quantity(hybrid["maxMacs"])
        seen.add(hybrid["macs"])
    assert len(seen) > 3, "the hybrid follows the sliders"

    page.reload()
    assert shown(page, SLOW)["macs"] == hybrid["macs"]


def test_a_point_of_the_plane_that_is_clicked_is_shown_pinned_and_outlives_a_reload(page: Page) -> None:
    page.goto(LINK)
    best = shown(page, SLOW)["macs"]
    point = page.locator(".st-key-score_plane .scatterlayer .trace:nth-child(1) .point").nth(3)
    point.hover(force=True)
    # Plotly selects what it has hovered, which it does a moment after the cursor rests.
    expect(page.locator(".st-key-score_plane .hoverlayer .hovertext")).to_be_visible(timeout=REDRAW)
    point.click(force=True)
    expect(page).to_have_url(re.compile("chosen="), timeout=REDRAW)
    expect(page.get_by_text("The hybrid you chose")).to_be_visible(timeout=REDRAW)
    chosen = shown(page)["macs"]

    page.get_by_role("button", name="Pin to compare").click()
    expect(page).to_have_url(re.compile("pinned="), timeout=REDRAW)
    page.get_by_role("button", name="Show the best").click()
    expect(page.get_by_text("The best that fits")).to_be_visible(timeout=REDRAW)
    assert shown(page)["macs"] == best
    expect(page.locator(".st-key-compared .dery-hybrid")).to_have_count(2, timeout=REDRAW)
    page.reload()
    assert shown(page, SLOW)["macs"] == best
    expect(page.locator(".st-key-compared .dery-hybrid")).to_have_count(2, timeout=REDRAW)
    assert chosen
    no_error(page)
