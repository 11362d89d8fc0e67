"""What all figures share. Text and background colours are left to the page's theme."""

from typing import Any

import plotly.graph_objects as go

GRID = "rgba(128,138,152,0.25)"
# Seen on white and on dark alike, so it keeps light and dark fills apart from both.
OUTLINE = "#9aa4b2"
FONT_SIZE = 15


def styled(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Give `figure` the common margins, type sizes and grid, at `height` pixels."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        font={"size": FONT_SIZE},
        hoverlabel={"font": {"size": FONT_SIZE - 1}, "align": "left"},
        legend={
            "orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0, "xanchor": "left",
            "font": {"size": FONT_SIZE - 1}, "title": {"text": ""},
        },
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )  # fmt: skip
    axis = {
        "automargin": True,
        "gridcolor": GRID,
        "zeroline": False,
        "tickfont": {"size": FONT_SIZE - 2},
        "title": {"font": {"size": FONT_SIZE}, "standoff": 10},
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure.update_layout(**layout)


def macs_axis(values: list[float]) -> dict[str, Any]:
    """A log axis of MACs with ticks a person reads."""
    return cost_axis(values, "MACs for one image")


def cost_axis(values: list[float], title: str) -> dict[str, Any]:
    """A log axis of counts with ticks a person reads."""
    from dery_core.units import quantity

    low, high = min(values), max(values)
    steps = (1, 2, 5) if high > 30 * low else (1, 2, 3, 5, 7)
    every = (step * 10**power for power in range(3, 13) for step in steps)
    ticks = [tick for tick in every if low / 2.5 <= tick <= high * 2.5]
    return {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [quantity(tick) for tick in ticks],
        "title": {"text": title},
    }
