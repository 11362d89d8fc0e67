"""The picture of a hybrid: order, seams, shares to scale, and names that are no markup."""

import re
from dataclasses import replace

import pytest

from app.charts.hybrid import hybrid_row, percent
from dery_core.reassembly import Fit, HybridRow
from dery_core.zoo import Layout

COLOURS = {"a": "#1f3b73", "b": "#e9e07c"}
FIT = Fit(
    stage=0,
    source=Layout("map", 16, 8, 8),
    target=Layout("tokens", 32, 4, 4, prefix=1),
    resize=(0.5, 0.5),
    strides=((4.0, 4.0), (8.0, 8.0)),
    carried=0,
    dropped=0,
    learned=1,
    reordered=False,
    params=512,
    macs=1000,
    remarks=(),
)


def row(model: str, stage: int = 0, fit: Fit | None = None, macs: int = 3_400_000) -> HybridRow:
    seam = (fit.params, fit.macs) if fit and stage >= 0 else (0, 0)
    return HybridRow(stage, model, "stem", "layer1", 2, 1200, macs, "", *seam, fit)


def widths(html: str) -> dict[str, float]:
    """What every piece of the strip is called, and its width in percent."""
    found = re.findall(r'left:[\d.]+%;width:([\d.]+)%" title="([^"]*): ', html)
    return {name: float(width) for width, name in found}


def test_a_hybrid_is_drawn_block_by_block_with_its_seams() -> None:
    html = hybrid_row([row("a", 0, FIT), row("b", 1)], COLOURS, 10)
    chain = html[html.index('class="chain"') :]
    assert chain.index('data-model="a"') < chain.index("16 × 8×8") < chain.index('data-model="b"')
    assert "1+4×4 tokens × 32" in chain
    assert "+512 params" in chain
    assert "10 classes" in chain
    assert chain.index("image") < chain.index('data-model="a"')


def test_pieces_are_as_wide_as_their_share_of_what_is_chosen() -> None:
    rows = [row("a", 0, FIT, macs=6000), row("b", 1, macs=3000)]
    by_macs = widths(hybrid_row(rows, COLOURS, 10, size="macs"))
    assert by_macs == {"Block 1: a": 60.0, "Seam after block 1": 10.0, "Block 2: b": 30.0, "Head": 0.0}
    by_params = widths(hybrid_row(rows, COLOURS, 10, size="params"))
    assert by_params["Block 1: a"] == by_params["Block 2: b"] == pytest.approx(100 * 1200 / 2912, abs=1e-3)


def test_two_hybrids_of_one_scale_are_drawn_by_it_and_keep_their_own_shares() -> None:
    rows = [row("a", 0, FIT, macs=6000), row("b", 1, macs=3000)]
    html = hybrid_row(rows, COLOURS, 10, whole=20_000)
    assert sum(widths(html).values()) == pytest.approx(50)
    assert "1 · 60 %" in html


def test_a_loss_is_marked_on_its_seam() -> None:
    lossy = replace(FIT, remarks=("detail is lost",))
    assert "detail is lost" in hybrid_row([row("a", 0, lossy), row("b", 1)], COLOURS, 10)
    assert "loss" not in hybrid_row([row("a", 0, FIT), row("b", 1)], COLOURS, 10)


def test_adjoining_blocks_have_no_seam_to_pay_for_and_are_joined() -> None:
    html = hybrid_row([row("a", 0), row("a", 1)], COLOURS, 10)
    assert "same network, no seam" in html
    assert "⇢" not in html
    assert html.count("data-joins") == 1
    assert "data-joins" not in hybrid_row([row("a", 0, FIT), row("b", 1)], COLOURS, 10)


def test_a_new_stem_stands_before_the_first_block() -> None:
    lossy = replace(FIT, remarks=("a new, untrained stem stands there",))
    html = hybrid_row([row("", -1, lossy), row("a", 0)], COLOURS, 10)
    chain = html[html.index('class="chain"') :]
    assert chain.index("Stem") < chain.index("untrained stem") < chain.index("Block 1")
    assert 'class="seam' not in html


def test_where_the_place_does_not_tell_the_set_the_block_does() -> None:
    html = hybrid_row([row("", -1, FIT), row("a", 0, FIT), row("b", 1)], COLOURS, 10, sets=(1, 0))
    assert "Block 1 · set 2" in html
    assert "Block 2 · set 1" in html
    assert "set" not in hybrid_row([row("a", 0)], COLOURS, 10)


def test_more_blocks_than_fit_abreast_are_listed() -> None:
    rows = [row("a", stage) for stage in range(6)]
    assert "listed" in hybrid_row(rows, COLOURS, 10)
    assert "listed" not in hybrid_row(rows[:5], COLOURS, 10)


def test_names_from_a_zoo_file_are_never_markup() -> None:
    assert "<script>" not in hybrid_row([row("<script>", 0, FIT), row('"><script>', 1)], COLOURS, 10)


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 %"), (1, "<0.1 %"), (500, "0.5 %"), (960, "1 %"), (42_400, "42 %")],
)
def test_a_small_share_is_not_rounded_to_nothing(count: int, said: str) -> None:
    assert percent(count, 100_000) == said
