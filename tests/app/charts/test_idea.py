"""The picture on the home page."""

from app.charts.idea import PICKED, WIDTHS, idea


def test_the_hybrid_takes_one_block_of_every_place() -> None:
    assert len(PICKED) == len(WIDTHS[0])
    assert idea().count("<i ") == len(WIDTHS) * len(PICKED) + len(PICKED)


def test_the_picture_is_told_in_words_too() -> None:
    assert 'role="img"' in idea()
    assert "aria-label=" in idea()
