"""The Partition page in a real browser: sliders, variant and views, kept in the address."""

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SLOW = 300_000
"""Milliseconds that comparing two networks may take on a busy machine."""
REDRAW = 60_000
"""Milliseconds that a redraw may take there."""


def test_blocks_follow_the_slider_and_a_view_outlives_a_reload(page: Page) -> None:
    page.goto("/partition?members=resnet_s.clutter,vit.clutter")
    sets = page.locator(".st-key-partition_bars .legendtext")
    expect(sets).to_have_count(4, timeout=SLOW)

    page.locator(".st-key-k input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    expect(sets).to_have_count(5, timeout=REDRAW)
    expect(page).to_have_url(re.compile("k=5"))
    expect(page.get_by_text("Proved optimal")).to_be_visible(timeout=REDRAW)

    page.locator(".st-key-variant").get_by_text("Any block to any set").click()
    expect(page.get_by_text("Here a set isn't tied to a place")).to_be_visible(timeout=REDRAW)
    expect(page).to_have_url(re.compile("variant=free"))

    page.locator(".st-key-blocks").get_by_text("How alike all blocks are").click()
    heatmap = page.locator(".st-key-block_heatmap .js-plotly-plot").first
    expect(heatmap).to_be_visible(timeout=REDRAW)
    page.reload()
    expect(heatmap).to_be_visible(timeout=SLOW)
    expect(page.locator(".st-key-k")).to_contain_text("5")
    expect(page.locator("[data-testid=stException], [data-testid=stAlertContentError]")).to_have_count(0)


def test_what_other_settings_gave_is_dimmed_while_a_slider_is_dragged(page: Page) -> None:
    page.goto("/partition?members=resnet_s.clutter,vit.clutter")
    told = page.locator(".stElementContainer").filter(has_text="Mean similarity to the anchor")
    expect(told).to_be_visible(timeout=SLOW)
    expect(told).to_have_css("filter", "none")
    thumb = page.locator(".st-key-k [data-testid=stSliderThumbValue]").bounding_box()
    assert thumb
    x, y = thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] + 8
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 100, y, steps=4)
    expect(told).to_have_css("filter", "opacity(0.45)")
    page.mouse.up()
    expect(told).to_have_css("filter", "none", timeout=REDRAW)
    expect(told).to_have_css("opacity", "1", timeout=REDRAW)
