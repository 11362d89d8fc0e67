"""Clicks that only a browser makes: on a cell of the heatmap, on two networks in the picture of all."""

import re

import pytest
from playwright.sync_api import Page, Position, expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SLOW = 600_000
"""Milliseconds that comparing two networks may take on a busy machine."""


def click_place(page: Page, key: str, across: float, down: float) -> None:
    """Click at these fractions of a figure's plotting area."""
    area = page.locator(f".st-key-{key} .nsewdrag").first
    expect(area).to_be_visible(timeout=SLOW)
    box = area.bounding_box()
    assert box is not None
    # By locator, which scrolls there: figures are higher than what is left of the window.
    place = Position(x=across * box["width"], y=down * box["height"])
    area.hover(position=place)
    # Plotly selects what it has hovered, which it does a moment after the cursor rests.
    expect(page.locator(f".st-key-{key} .hoverlayer .hovertext")).to_be_visible(timeout=20_000)
    area.click(position=place)


def test_a_click_on_a_cell_shows_both_layers_and_outlives_a_reload(page: Page) -> None:
    page.goto("/similarity?members=resnet_s.clutter,vit.clutter")
    # Both have 10 cuts: row 3, column 6.
    click_place(page, "pair_heatmap", 6.5 / 10, 3.5 / 10)
    cards = page.locator(".dery-cards .card")
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("Cut 3: after layer1.1 BasicBlock", timeout=SLOW)
    expect(cards.nth(1)).to_contain_text("Cut 6: after blocks.4 Block")
    expect(page.get_by_alt_text(re.compile("of vit.clutter after blocks.4 on image 1"))).to_have_count(4)
    expect(page).to_have_url(re.compile("cell=3(%2C|,)6"))

    page.reload()
    expect(cards.nth(0)).to_contain_text("Cut 3: after layer1.1", timeout=SLOW)
    click_place(page, "pair_heatmap", 0.5 / 10, 9.5 / 10)
    expect(cards.nth(0)).to_contain_text("Cut 9: after layer4.1", timeout=SLOW)
    expect(cards.nth(1)).to_contain_text("Cut 0: the image itself")

    page.get_by_text("All networks").click()
    click_place(page, "all_heatmap", 0.25, 0.75)
    expect(page.locator(".st-key-pair_heatmap")).to_contain_text("Cuts of vit.clutter", timeout=SLOW)
    expect(page).to_have_url(re.compile("rows=vit.clutter&columns=resnet_s.clutter"))
    expect(cards).to_have_count(0)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
