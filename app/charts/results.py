"""What fine-tuning gave: the hybrid beside the zoo members of the same budget."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from app.charts.style import OUTLINE, styled
from app.colours import ACCENT

# Percent: right of the longest bar.
FIGURES_AT = 101


def result_bars(results: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """One bar a run, best on top: top-1 on the target task's test set, in percent.

    `results` has the columns label, top1_before, top1 and hybrid (bool). Hybrids carry a star and the
    accent; a rhombus marks the accuracy before training.
    """
    rows = results.sort_values("top1")
    labels, hybrids = [str(label) for label in rows["label"]], list(rows["hybrid"])
    fills = [
        ACCENT if hybrid else colours.get(label, ACCENT)
        for label, hybrid in zip(labels, hybrids, strict=True)
    ]
    names = [f"★ {label}" if hybrid else label for label, hybrid in zip(labels, hybrids, strict=True)]
    figure = go.Figure(
        go.Bar(
            orientation="h",
            y=names,
            showlegend=False,
            x=rows["top1"],
            marker={"color": fills, "line": {"color": OUTLINE, "width": 1}},
            hovertemplate="%{y}: %{x:.2f} %<extra></extra>",
        )
    )
    # In a column of their own, out of the rhombuses' way.
    figure.add_scatter(
        y=names,
        x=[FIGURES_AT] * len(rows),
        text=[f"{top1:.1f} %" for top1 in rows["top1"]],
        mode="text",
        textposition="middle right",
        textfont={"size": 16},
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_scatter(
        name="Before training",
        showlegend=True,
        y=names,
        x=rows["top1_before"],
        mode="markers",
        marker={"symbol": "diamond", "size": 13, "color": "white", "line": {"color": "#2a3342", "width": 2}},
        hovertemplate="%{y} before training: %{x:.2f} %<extra></extra>",
    )
    styled(figure, height=110 + 46 * len(rows), bargap=0.25)
    figure.update_xaxes(title="Top-1 on the target task's test set, %")
    figure.update_xaxes(range=[0, 113], tickvals=[*range(0, 101, 20)])
    return figure.update_yaxes(tickfont={"size": 15}, showgrid=False)
