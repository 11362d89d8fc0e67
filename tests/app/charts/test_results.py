"""Bars of results."""

import pandas as pd

from app.charts.results import result_bars
from app.colours import ACCENT

COLOURS = {"a": "#112233", "b": "#445566"}


def test_results_are_ordered_with_the_best_on_top_and_hybrids_starred() -> None:
    results = pd.DataFrame(
        {
            "label": ["a", "Hybrid", "b"],
            "top1_before": [9.0, 30.0, 8.0],
            "top1": [70.0, 80.0, 60.0],
            "hybrid": [False, True, False],
        }
    )
    bars, figures, before = result_bars(results, COLOURS).data
    # Plotly draws from below.
    assert list(bars.y) == ["b", "a", "★ Hybrid"]
    assert dict(zip(before.y, before.x, strict=True)) == {"b": 8.0, "a": 9.0, "★ Hybrid": 30.0}
    assert list(figures.text) == ["60.0 %", "70.0 %", "80.0 %"]
    assert min(figures.x) > 100, "a figure stands where no bar and no rhombus can be"
    assert list(bars.marker.color) == ["#445566", "#112233", ACCENT]
