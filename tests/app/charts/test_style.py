"""What all figures share."""

from app.charts.style import macs_axis


def test_macs_have_ticks_that_a_person_reads() -> None:
    assert macs_axis([1.5e6, 6e6])["ticktext"] == ["700 k", "1 M", "2 M", "3 M", "5 M", "7 M", "10 M"]
    assert macs_axis([1.5e6, 6e7])["ticktext"] == ["1 M", "2 M", "5 M", "10 M", "20 M", "50 M", "100 M"]
