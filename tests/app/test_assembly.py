"""Budget sliders: limits that say what they hold."""

import pytest

from app.assembly import budget_limits
from dery_core.units import parse_quantity, quantity


@pytest.mark.parametrize(("low", "high"), [(85_812, 778_123), (7, 9), (1_234_567, 1_239_999), (5, 5)])
def test_limits_span_all_hybrids_and_are_shown_as_they_are(low: int, high: int) -> None:
    limits = budget_limits(low, high)
    assert low <= limits[0]
    assert limits[-1] >= high
    assert [parse_quantity(quantity(limit)) for limit in limits] == limits
    assert len(set(limits)) == len(limits)
