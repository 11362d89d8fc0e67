"""What all figures share."""

from app.charts.style import macs_axis


def test_macs_have_ticks_that_a_person_reads() -> None:
    axis = macs_axis([1.5e6, 6e6])
    assert axis["ticktext"] == ["1 M", "2 M", "5 M", "10 M"]
