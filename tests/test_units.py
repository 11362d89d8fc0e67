"""Counts as people write and read them."""

import pytest

from dery_core.errors import DeryError
from dery_core.units import duration, parse_quantity, quantity


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (950, "950"),
        (1000, "1 k"),
        (40_123, "40.1 k"),
        (999_900, "1 M"),
        (1_234_567, "1.23 M"),
        (4.1e9, "4.1 G"),
    ],
)
def test_counts_are_written_in_three_digits(count: float, text: str) -> None:
    assert quantity(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1500000", 1_500_000),
        ("1.5e6", 1_500_000),
        ("1.5M", 1_500_000),
        ("800 k", 800_000),
        ("1,500", 1_500),
        ("2g", 2 * 10**9),
    ],
)
def test_every_usual_spelling_is_read(text: str, count: int) -> None:
    assert parse_quantity(text) == count


@pytest.mark.parametrize("text", ["", "many", "-3", "1.5T", "nan", "1e400x"])
def test_what_is_no_count_is_refused_by_name(text: str) -> None:
    with pytest.raises(DeryError, match="is not a count"):
        parse_quantity(text)


def test_a_count_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(DeryError, match="more than any network"):
        parse_quantity("1e999")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (119.4, "119 s"), (119.6, "2 min"), (5805, "97 min"), (7200, "2 h 0 min")],
)
def test_long_waits_are_told_in_minutes_and_hours(seconds: float, text: str) -> None:
    assert duration(seconds) == text
