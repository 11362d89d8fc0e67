"""Bars of results."""

import pandas as pd

from app.charts.results import result_bars
from app.colours import ACCENT

COLOURS = {"a": "#112233", "b": "#445566"}


def test_results_are_ordered_with_the_best_on_top_and_hybrids_starred() -> None:
    results = pd.DataFrame(
        {"label": ["a", "Hybrid", "b"], "top1": [70.0, 80.0, 60.0], "hybrid": [False, True, False]}
    )
    bars = result_bars(results, COLOURS).data[0]
    # Plotly draws from below.
    assert list(bars.y) == ["b", "a", "★ Hybrid"]
    assert list(bars.marker.color) == ["#445566", "#112233", ACCENT]
