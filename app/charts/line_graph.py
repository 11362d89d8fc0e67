"""A network's line graph: its nodes in order, and the tensor that each receives."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.partition import SIZE_NAMES
from app.charts.style import OUTLINE, styled
from app.colours import NEUTRAL, text_on
from dery_core.units import quantity

if TYPE_CHECKING:
    from dery_core.zoo import SizeMeasure

# At 800 pixels: share of the figure's width that a letter takes, and a line of upright letters, and how many
# letters a node is high. Labels that would meet or run out of their node are left out.
LETTER = 0.0115
UPRIGHT = 0.028
LETTERS_HIGH = 22
# Octaves between two grids below which their ticks would overlap.
NEAR = 0.8
# A node without any cost is still there to be seen and pointed at.
THINNEST = 0.003


def line_graph_bars(nodes: pd.DataFrame, size: "SizeMeasure", colour: str) -> go.Figure:
    """Above the nodes, as wide as their share of `size`; below the grid of what each receives.

    `nodes` is `app.frames.graph_frame`'s: columns name, params, macs, before, after, grid (positions along a
    side of the tensor received) and head (bool), one line a node in order, the head last.
    """
    counts = pd.Series(1, nodes.index) if size == "nodes" else nodes[size]
    widths = (counts / max(counts.sum(), 1)).clip(lower=THINNEST)
    widths /= widths.sum()
    starts = widths.cumsum() - widths
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1, row_heights=[0.5, 0.5])
    fills = [NEUTRAL if head else colour for head in nodes["head"]]
    figure.add_bar(
        orientation="h",
        y=[0] * len(nodes),
        x=widths,
        base=starts,
        text=[_fitting(name, width) for name, width in zip(nodes["name"], widths, strict=True)],
        textposition="inside",
        insidetextanchor="middle",
        insidetextfont={"size": 15, "color": [text_on(fill) for fill in fills]},
        marker={"color": fills, "line": {"color": "rgba(255,255,255,0.9)", "width": 1.5}},
        customdata=[_hover(row) for row in nodes.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
        row=1,
        col=1,
    )
    _received(figure, nodes, starts, widths)
    styled(figure, height=380, barmode="overlay", bargap=0, showlegend=False)
    figure.update_xaxes(range=[0, 1.001], showgrid=False, tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_xaxes(title={"text": f"Share of the network's {SIZE_NAMES[size]}"}, row=2, col=1)
    return figure.update_yaxes(showgrid=False, showticklabels=False, row=1, col=1)


def _received(figure: go.Figure, nodes: pd.DataFrame, starts: pd.Series, widths: pd.Series) -> None:
    """A staircase: nodes that receive the same tensor share a step, as high as its grid is wide."""
    run = (nodes["before"] != nodes["before"].shift()).cumsum()
    steps = pd.DataFrame({"start": starts, "width": widths, "grid": nodes["grid"], "shape": nodes["before"]})
    steps = steps.groupby(run).agg({"start": "first", "width": "sum", "grid": "first", "shape": "first"})
    heights = np.log2(steps["grid"].clip(lower=1)) + 1
    figure.add_bar(
        x=steps["start"],
        width=steps["width"],
        offset=0,
        y=heights,
        marker={"color": NEUTRAL, "opacity": 0.55, "line": {"color": OUTLINE, "width": 1}},
        customdata=steps["shape"],
        hovertemplate="received: %{customdata}<extra></extra>",
        row=2,
        col=1,
    )
    x, labels, positions = _labels(steps)
    figure.add_scatter(
        x=x,
        y=heights,
        text=labels,
        mode="text",
        textposition=positions,
        textfont={"size": 14},
        cliponaxis=False,
        hoverinfo="skip",
        row=2,
        col=1,
    )
    grids: list[int] = []
    for grid in sorted({int(grid) for grid in steps["grid"]}, reverse=True):
        if not grids or np.log2(grids[-1] / max(grid, 1)) > NEAR:
            grids.append(grid)
    figure.update_yaxes(
        tickvals=[np.log2(max(grid, 1)) + 1 for grid in grids],
        ticktext=[str(grid) for grid in grids],
        range=[0, float(heights.max()) * 1.35],
        title={"text": "Grid"},
        row=2,
        col=1,
    )


def _fitting(name: str, width: float) -> str:
    """The name where it can be read inside a bar of `width`, lying or upright; else ""."""
    fits = LETTER * len(name) <= width or (width >= UPRIGHT and len(name) <= LETTERS_HIGH)
    return name if fits else ""


def _labels(steps: pd.DataFrame) -> tuple[list[float], list[str], list[str]]:
    """Place, shape and side of a label on every step, the widest first; "" where it would run into one."""
    x, labels, positions = [0.0] * len(steps), [""] * len(steps), ["top right"] * len(steps)
    taken: list[tuple[float, float]] = []
    for i in np.argsort(-steps["width"].to_numpy(), kind="stable"):
        start, width, shape = steps["start"].iloc[i], steps["width"].iloc[i], steps["shape"].iloc[i]
        lines = shape.split(": ")[-1].split(" | ")
        long = LETTER * max(map(len, lines))
        x[i] = start
        if start + long > 1:
            x[i], positions[i] = start + width, "top left"
        left = x[i] - long if positions[i] == "top left" else x[i]
        if left >= 0 and all(left >= end or left + long <= begin for begin, end in taken):
            labels[i] = "<br>".join(lines)
            taken.append((left, left + long))
    return x, labels, positions


def _hover(node: dict[Any, Any]) -> str:
    kind = " (head)" if node["head"] else ""
    return (
        f"<b>{node['name']}</b>{kind}<br>{node['before']} → {node['after']}"
        f"<br>{quantity(node['params'])} params · {quantity(node['macs'])} MACs"
    )
