"""The whole way in a real browser: from four networks to a hybrid tuned beside the zoo."""

import re
from pathlib import Path

import pytest
import timm
from playwright.sync_api import Page, expect
from safetensors.torch import save_file

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SLOW = 600_000
"""Milliseconds that a step of the engine may take on a busy machine."""


def chosen_blocks(page: Page) -> list[str | None]:
    """The source network of every block of the hybrid shown."""
    blocks = page.locator(".dery-hybrid .block")
    return [block.get_attribute("data-model") for block in blocks.all()]


def drag(page: Page, key: str, fraction: float) -> None:
    """Drag a slider's thumb from its right end to a fraction of its track."""
    track = page.locator(f".st-key-{key} .stSlider [data-orientation]").last.bounding_box()
    assert track is not None
    y = track["y"] + track["height"] / 2
    page.mouse.move(track["x"] + track["width"], y)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(track["x"] + track["width"] * (1 - (1 - fraction) * step / 10), y)
    page.mouse.up()


def no_error(page: Page) -> None:
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)


def test_from_four_networks_to_a_tuned_hybrid_beside_the_zoo(page: Page) -> None:
    page.goto("/")
    page.locator(".st-key-start button").click()

    expect(page.locator(".st-key-pair_heatmap .js-plotly-plot").first).to_be_visible(timeout=SLOW)
    expect(page).to_have_url(re.compile("members=[^&]*%2C|members=[^&]*,"))
    no_error(page)

    page.locator(".st-key-next_partition a").click()
    expect(page.locator(".st-key-partition_bars .js-plotly-plot").first).to_be_visible(timeout=SLOW)
    expect(page.locator(".st-key-k")).to_contain_text("4")
    no_error(page)

    page.locator(".st-key-next_reassemble a").click()
    expect(page.locator(".dery-hybrid .block")).to_have_count(4, timeout=SLOW)
    before = chosen_blocks(page)
    drag(page, "max_macs", 0.04)
    expect(page).to_have_url(re.compile("macs="), timeout=SLOW)
    expect(page.locator(".dery-hybrid .block")).to_have_count(4)
    page.wait_for_function(
        "before => [...document.querySelectorAll('.dery-hybrid .block')]"
        ".map(b => b.dataset.model).join() !== before",
        arg=",".join(str(model) for model in before),
    )
    assert len(set(chosen_blocks(page))) >= 2, "a hybrid takes blocks of two networks at least"
    no_error(page)

    page.locator(".st-key-fine_tune button").click()
    page.locator(".st-key-start_run button").click()
    expect(page.locator(".dery-run").first).to_be_visible(timeout=SLOW)
    run = page.locator(".dery-run.open").get_attribute("data-run")
    assert run
    expect(page).to_have_url(re.compile(f"run={run}"))

    page.reload()
    mine = page.locator(f".dery-run[data-run='{run}']")
    expect(mine).to_have_class(re.compile("open"), timeout=SLOW)
    expect(mine).to_have_attribute("data-state", "finished", timeout=SLOW)
    expect(page.locator(".dery-run:not([data-state=finished])")).to_have_count(0, timeout=SLOW)
    expect(page.locator(".st-key-curves .js-plotly-plot").first).to_be_visible()
    expect(page.locator(".st-key-results .js-plotly-plot").first).to_be_visible()
    no_error(page)


def test_a_network_is_looked_into_and_a_checkpoint_added_that_outlives_a_reload(
    page: Page, tmp_path: Path
) -> None:
    page.goto("/zoo")
    page.get_by_role("button", name="vit.clutter").click()
    expect(page.locator(".st-key-line_graph .js-plotly-plot").first).to_be_visible(timeout=SLOW)
    expect(page).to_have_url(re.compile("look=vit.clutter"))
    expect(page.get_by_text("bit-equal")).to_be_visible()
    no_error(page)

    weights = tmp_path / "flowers.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), weights)
    page.goto("/zoo?view=add")
    page.get_by_text("A checkpoint of my own").click()
    page.locator(".st-key-own_file input[type=file]").set_input_files(weights)
    architecture = page.locator(".st-key-own_architecture input")
    architecture.fill("test_resnet")
    architecture.press("Enter")
    page.locator(".st-key-add_checkpoint button").click()
    added = page.locator(".st-key-adding_box").get_by_text("is in the zoo")
    expect(added).to_be_visible(timeout=SLOW)
    page.reload()
    expect(added).to_be_visible(timeout=SLOW)
    page.goto("/zoo")
    expect(page.locator(".st-key-zoo_table").get_by_role("button", name="flowers")).to_be_visible()
    no_error(page)


def test_one_network_is_one_message_and_the_page_goes_on(page: Page) -> None:
    page.goto("/similarity?members=vit.clutter")
    expect(page.get_by_text("Choose at least two networks first.")).to_be_visible()
    page.locator(".st-key-path").get_by_text("Zoo").click()
    expect(page.locator(".st-key-zoo_table")).to_be_visible()
    no_error(page)


def test_an_impossible_budget_is_one_message_that_names_the_nearest(page: Page) -> None:
    page.goto("/reassemble?members=resnet_s.clutter,vit.clutter&macs=1")
    expect(page.locator("[data-testid=stMain]")).to_contain_text(
        re.compile("the nearest has|Block 1"), timeout=SLOW
    )
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
