"""The plane of cost and worth: MACs to the right; score above, measured accuracy below."""

from collections.abc import Collection, Mapping
from itertools import cycle
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.style import FONT_SIZE, OUTLINE, macs_axis, styled
from app.colours import ACCENT, NEUTRAL
from dery_core.units import quantity

FRONT = "#2f8a94"


SYMBOLS = ("circle", "diamond", "square", "triangle-up", "pentagon")


def zoo_scatter(models: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Accuracy on its source task over MACs, one point a model.

    `models` has the columns name, family, source_task, params, macs, top1 (percent) and
    chosen (bool). The marker's shape tells the source task; the chosen are larger and named.
    """
    figure = go.Figure()
    for symbol, (task, rows) in zip(cycle(SYMBOLS), models.groupby("source_task", sort=True), strict=False):
        # The legend shows the shape alone: colours belong to models.
        figure.add_scatter(
            name=str(task), legendgroup=str(task), x=[None], y=[None], mode="markers",
            marker={"symbol": symbol, "size": 13, "color": NEUTRAL},
        )  # fmt: skip
        figure.add_scatter(
            name=str(task),
            legendgroup=str(task),
            showlegend=False,
            x=rows["macs"],
            y=rows["top1"],
            mode="markers+text",
            text=rows["name"].where(rows["chosen"], ""),
            textposition="top center",
            textfont={"size": 14},
            marker={
                "symbol": symbol,
                "size": [19 if chosen else 12 for chosen in rows["chosen"]],
                "color": [colours[name] for name in rows["name"]],
                "opacity": [1.0 if chosen else 0.85 for chosen in rows["chosen"]],
                "line": {"width": 1.5, "color": OUTLINE},
            },
            customdata=[_described(row) for row in rows.to_dict("records")],
            hovertemplate="%{customdata}<extra></extra>",
        )
    styled(figure, height=440)
    figure.update_xaxes(**macs_axis([*models["macs"]]))
    return figure.update_yaxes(title="Top-1 on its source task, %")


def _described(model: Mapping[Any, Any]) -> str:
    return (
        f"<b>{model['name']}</b> ({model['family']})<br>{model['top1']:.1f} % on its source task "
        f"({model['source_task']})<br>{quantity(model['params'])} params · {quantity(model['macs'])} MACs"
    )


def score_plane(
    candidates: pd.DataFrame,
    front: pd.DataFrame,
    choice: Mapping[str, float],
    accuracies: pd.DataFrame,
    colours: Mapping[str, str],
    max_macs: int | None = None,
    named: Collection[str] = (),
) -> go.Figure:
    """Two panels over one axis of MACs.

    Above: predicted score of hybrids (`candidates`: macs, score, label; `front`: macs, score) and
    the chosen one (`choice`: macs, score). Below: accuracy that was measured (`accuracies`: macs,
    top1, name, kind) with kind "hybrid", "member" (both tuned on the target task) or "source"
    (a zoo member on its own source task, so not comparable, drawn pale). The members `named` have
    their names beside their dots.
    """
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.13,
        row_heights=[0.55, 0.45],
        subplot_titles=["Score: computed without training, no accuracy", "Accuracy: measured on test images"],
    )
    figure.update_annotations(x=0, xanchor="left", font={"size": FONT_SIZE + 1})
    figure.add_scatter(
        name="Hybrids", x=candidates["macs"], y=candidates["score"], mode="markers",
        marker={"color": NEUTRAL, "size": 6, "opacity": 0.45},
        customdata=candidates["label"], hovertemplate="%{customdata}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    figure.add_scatter(
        name="Best for its MACs", x=front["macs"], y=front["score"], mode="lines+markers",
        line={"color": FRONT, "width": 3, "shape": "hv"}, marker={"size": 8},
        customdata=front["label"], hovertemplate="%{customdata}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    figure.add_scatter(
        name="Chosen hybrid", x=[choice["macs"]], y=[choice["score"]], mode="markers",
        marker={"symbol": "star", "size": 24, "color": ACCENT, "line": {"color": "white", "width": 1.5}},
        hovertemplate="chosen: %{x:.3s} MACs, score %{y:.1f}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    _accuracies(figure, accuracies, colours, named)
    if max_macs is not None:
        figure.add_vline(max_macs, line={"color": ACCENT, "width": 2, "dash": "dot"})
    styled(figure, height=680, margin={"l": 8, "r": 8, "t": 70, "b": 8}, legend={"y": 1.06})
    every = [*candidates["macs"], *accuracies["macs"], choice["macs"]]
    figure.update_xaxes(**{**macs_axis(every), "title": None})
    figure.update_xaxes(title={"text": "MACs for one image"}, row=2, col=1)
    figure.update_yaxes(title="Score", row=1, col=1)
    return figure.update_yaxes(title="Top-1, %", row=2, col=1)


def _accuracies(
    figure: go.Figure, accuracies: pd.DataFrame, colours: Mapping[str, str], named: Collection[str]
) -> None:
    looks = {
        "source": ("Zoo on source task", {"symbol": "circle", "size": 11, "opacity": 0.75}),
        "member": ("Zoo on target task", {"symbol": "circle", "size": 14}),
        "hybrid": ("Hybrids on target task", {"symbol": "star", "size": 20}),
    }
    for kind, (label, marker) in looks.items():
        rows = accuracies[accuracies["kind"] == kind]
        if rows.empty:
            continue
        figure.add_scatter(
            name=label,
            x=rows["macs"],
            y=rows["top1"],
            mode="markers+text",
            text=rows["name"].where(rows["name"].isin(named), ""),
            textposition="top center",
            textfont={"size": 13},
            marker={
                **marker,
                "color": [colours.get(name, ACCENT) for name in rows["name"]],
                "line": {"width": 1.5, "color": OUTLINE},
            },
            customdata=rows["name"],
            hovertemplate=f"<b>%{{customdata}}</b><br>{label}: %{{y:.1f}} %<extra></extra>",
            row=2,
            col=1,
        )
