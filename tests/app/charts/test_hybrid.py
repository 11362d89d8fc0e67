"""The row of blocks: order, seams, and names that are no markup."""

from dataclasses import replace

from app.charts.hybrid import hybrid_row
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


def row(model: str, stage: int = 0, fit: Fit | None = None) -> HybridRow:
    return HybridRow(stage, model, "stem", "layer1", 2, 1200, 3_400_000, "", 0, 0, fit)


def test_a_hybrid_is_drawn_block_by_block_with_its_seams() -> None:
    html = hybrid_row([row("a", 0, FIT), row("b", 1)], COLOURS, 10)
    assert html.index('data-model="a"') < html.index("16 × 8×8") < html.index('data-model="b"')
    assert "1+4×4 tokens × 32" in html
    assert "+512 params" in html
    assert "10 classes" in html


def test_a_loss_is_marked_on_its_seam() -> None:
    lossy = replace(FIT, remarks=("detail is lost",))
    assert "detail is lost" in hybrid_row([row("a", 0, lossy), row("b", 1)], COLOURS, 10)
    assert "loss" not in hybrid_row([row("a", 0, FIT), row("b", 1)], COLOURS, 10)


def test_adjoining_blocks_have_no_seam_to_pay_for() -> None:
    html = hybrid_row([row("a", 0), row("a", 1)], COLOURS, 10)
    assert "same network, no seam" in html
    assert "+0" not in html


def test_a_new_stem_stands_before_the_first_block() -> None:
    html = hybrid_row([row("", -1, FIT), row("a", 0)], COLOURS, 10)
    assert html.index("Stem") < html.index("Block 1")
    assert 'class="seam' not in html


def test_where_the_place_does_not_tell_the_set_the_block_does() -> None:
    html = hybrid_row([row("", -1, FIT), row("a", 0, FIT), row("b", 1)], COLOURS, 10, sets=(1, 0))
    assert "Block 1 · set 2" in html
    assert "Block 2 · set 1" in html
    assert "set" not in hybrid_row([row("a", 0)], COLOURS, 10)


def test_names_from_a_zoo_file_are_never_markup() -> None:
    assert "<script>" not in hybrid_row([row("<script>")], COLOURS, 10)
