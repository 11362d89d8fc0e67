"""Training curves: loss and top-1 over the epochs of one or several runs."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.style import styled
from app.colours import ACCENT


def training_curves(
    metrics: Mapping[str, pd.DataFrame], colours: Mapping[str, str], epochs: int
) -> go.Figure:
    """Training loss (left) and test top-1 in percent (right).

    `metrics` maps a run's label to its epochs: columns epoch, loss, top1 (NaN where not measured).
    The axes have room for all `epochs` and all accuracies from the start, so that curves grow into them.
    """
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    for label, frame in metrics.items():
        colour = colours.get(label, ACCENT)
        for column, name in ((1, "loss"), (2, "top1")):
            rows = frame.dropna(subset=[name])
            figure.add_scatter(
                x=rows["epoch"], y=rows[name], name=label, legendgroup=label, showlegend=column == 1,
                mode="lines+markers", line={"color": colour, "width": 3}, marker={"size": 8},
                cliponaxis=False,
                hovertemplate=f"{label}<br>epoch %{{x}}: %{{y:.3g}}<extra></extra>", row=1, col=column,
            )  # fmt: skip
    styled(figure, height=340)
    figure.update_xaxes(title="Epoch", range=[0, epochs], dtick=max(1, epochs // 8))
    known = any(frame["loss"].notna().any() for frame in metrics.values())
    figure.update_yaxes(title="Training loss", rangemode="tozero", showticklabels=known, row=1, col=1)
    return figure.update_yaxes(title="Top-1 on the test set, %", range=[0, 100], row=1, col=2)
