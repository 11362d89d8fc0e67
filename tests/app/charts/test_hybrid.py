"""The row of blocks: order, seams, and names that are no markup."""

import pytest

from app.charts.hybrid import DrawnBlock, DrawnSeam, hybrid_row


def block(model: str) -> DrawnBlock:
    return DrawnBlock(model, "stem", "layer1", 2, 1200, 3_400_000, "#1f3b73")


def test_a_hybrid_is_drawn_block_by_block_with_its_seams() -> None:
    html = hybrid_row([block("a"), block("b")], [DrawnSeam("16 × 8×8", "1+4×4 tokens × 32", 512)], 10)
    assert html.index('data-model="a"') < html.index("16 × 8×8") < html.index('data-model="b"')
    assert "+512 params" in html
    assert "10 classes" in html


def test_adjoining_blocks_have_no_seam_to_pay_for() -> None:
    html = hybrid_row([block("a"), block("a")], [DrawnSeam("x", "x", 0, stitched=False)], 10)
    assert "same network, no seam" in html
    assert "+0" not in html


def test_names_from_a_zoo_file_are_never_markup() -> None:
    assert "<script>" not in hybrid_row([block("<script>")], [], 10)


def test_a_row_needs_one_seam_fewer_than_blocks() -> None:
    with pytest.raises(ValueError, match="need 1 seams"):
        hybrid_row([block("a"), block("b")], [], 10)
