"""Heatmaps of centred kernel alignment (CKA) between the cuts of networks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts.style import styled

SCALE = "Viridis"
LONGEST_LABEL = 22


def cut_labels(cuts: pd.DataFrame) -> list[str]:
    """One label a cut, "3 · layer1.0": the cut's number and the node that ends there.

    `cuts` has the columns `cut` and `node`. Long module names keep their end, which tells more.
    """
    return [f"{cut} · {_short(node)}" for cut, node in zip(cuts["cut"], cuts["node"], strict=True)]


def pair_heatmap(
    values: np.ndarray, rows: pd.DataFrame, columns: pd.DataFrame, row_model: str, column_model: str
) -> go.Figure:
    """CKA of every cut of one model (rows, from the top) with every cut of another (columns).

    `values` is (rows, columns); the frames have one line a cut: `cut`, `node`, `layout`.
    """
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=list(range(len(columns))),
            y=list(range(len(rows))),
            customdata=_hover(rows, columns),
            hovertemplate=f"{row_model} %{{customdata[0]}}<br>{column_model} %{{customdata[1]}}"
            "<br>CKA <b>%{z:.3f}</b><extra></extra>",
            **_look(),
        )
    )
    figure.update_xaxes(**_cut_axis(cut_labels(columns)), tickangle=-60)
    figure.update_yaxes(**_cut_axis(cut_labels(rows)), autorange="reversed")
    styled(figure, height=170 + 24 * max(len(rows), 10))
    figure.update_xaxes(title=f"Cuts of {column_model}", tickfont={"size": 13}, showgrid=False)
    return figure.update_yaxes(title=f"Cuts of {row_model}", tickfont={"size": 13}, showgrid=False)


def most_alike(values: np.ndarray, same_model: bool) -> tuple[int, int, float] | None:
    """Row cut, column cut and CKA of the brightest place, cut 0 (the image) aside.

    Of a model beside itself the diagonal, always 1, is left aside too. None where nothing is left.
    """
    rest = values[1:, 1:].astype(float)
    if same_model:
        np.fill_diagonal(rest, -np.inf)
    if rest.size == 0 or np.isneginf(rest.max()):
        return None
    row, column = np.unravel_index(int(rest.argmax()), rest.shape)
    return int(row) + 1, int(column) + 1, float(rest[row, column])


def all_heatmap(values: np.ndarray, index: pd.DataFrame) -> go.Figure:
    """CKA of all cuts of all models: (M, M) `values`, `index` as a SimilarityTable has it."""
    models = list(dict.fromkeys(index["model"]))
    counts = [int((index["model"] == model).sum()) for model in models]
    edges = np.concatenate([[0], np.cumsum(counts)]) - 0.5
    middles = (edges[:-1] + edges[1:]) / 2
    labels = zip(index["model"], cut_labels(index), strict=True)
    names = np.array([f"{model} {label}" for model, label in labels])
    positions = list(range(len(index)))
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=positions,
            y=positions,
            customdata=np.stack(np.broadcast_arrays(names[:, None], names[None]), -1),
            hovertemplate="%{customdata[0]}<br>%{customdata[1]}<br>CKA <b>%{z:.3f}</b><extra></extra>",
            **_look(),
        )
    )
    for edge in edges[1:-1]:
        for line in ("add_vline", "add_hline"):
            getattr(figure, line)(edge, line={"color": "white", "width": 2})
    figure.update_xaxes(tickvals=middles, ticktext=models, tickangle=-30)
    figure.update_yaxes(tickvals=middles, ticktext=models, autorange="reversed")
    styled(figure, height=760)
    figure.update_xaxes(showgrid=False)
    return figure.update_yaxes(showgrid=False)


def _look() -> dict[str, object]:
    return {
        "zmin": 0.0,
        "zmax": 1.0,
        "colorscale": SCALE,
        "colorbar": {"title": {"text": "CKA"}, "thickness": 14, "tickvals": [0, 0.25, 0.5, 0.75, 1]},
    }


def _cut_axis(labels: Sequence[str]) -> dict[str, object]:
    """Ticks at every cut, thinned when there are more than forty."""
    step = 1 + (len(labels) - 1) // 40
    shown = list(range(0, len(labels), step))
    return {"tickvals": shown, "ticktext": [labels[i] for i in shown]}


def _hover(rows: pd.DataFrame, columns: pd.DataFrame) -> np.ndarray:
    left, right = (
        np.array([f"{label} ({layout})" for label, layout in zip(cut_labels(f), f["layout"], strict=True)])
        for f in (rows, columns)
    )
    return np.stack(np.broadcast_arrays(left[:, None], right[None]), -1)


def _short(node: str) -> str:
    return node if len(node) <= LONGEST_LABEL else "…" + node[1 - LONGEST_LABEL :]
