"""The plane of cost and worth: MACs or params to the right; score above, measured accuracy below."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts.style import FONT_SIZE, OUTLINE, cost_axis, macs_axis, styled
from app.colours import ACCENT, NEUTRAL
from dery_core.units import quantity

FRONT = "#2f8a94"
# Light to dark on white, and never so dark or so light that black or white swallows it.
COST_SCALE = ("#f0c93f", "#8fc15f", "#2f9e8f", "#2f6fa8", "#5b3a8c")
PALE = 0.16
BEYOND = "rgba(128,138,152,0.14)"

Cost = Literal["macs", "params"]
OTHER: dict[Cost, Cost] = {"macs": "params", "params": "macs"}
TITLES: dict[Cost, str] = {"macs": "MACs for one image", "params": "Parameters"}
NAMES: dict[Cost, str] = {"macs": "MACs", "params": "parameters"}

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


@dataclass(frozen=True)
class Limits:
    """What a hybrid may cost, (at least, at most) of each; None is no limit."""

    params: tuple[int | None, int | None] = (None, None)
    macs: tuple[int | None, int | None] = (None, None)

    def of(self, cost: Cost) -> tuple[int | None, int | None]:
        return self.macs if cost == "macs" else self.params

    def within(self, points: pd.DataFrame, cost: Cost) -> "pd.Series[bool]":
        """Which points keep to the limits of `cost`."""
        low, high = self.of(cost)
        return points[cost].between(low if low is not None else 0, high if high is not None else math.inf)


@dataclass(frozen=True)
class Marked:
    """A hybrid that stands out in the plane."""

    name: str
    params: int
    macs: int
    score: float
    symbol: str = "star"


def score_plane(
    cloud: pd.DataFrame,
    front: pd.DataFrame,
    members: pd.DataFrame,
    marked: Sequence[Marked],
    accuracies: pd.DataFrame,
    colours: Mapping[str, str],
    limits: Limits,
    axis: Cost = "macs",
    title: str = "Score",
    named: Collection[str] = (),
) -> go.Figure:
    """Two panels over one axis of MACs or parameters.

    Above: the score of hybrids. All frames have params, macs and score; `cloud` (of all hybrids) and `front`
    (those no other beats) also `choice`, which a click tells; `members` have a `name`. A front may be long:
    dots are drawn where there is a `label`. It has three dimensions: it is coloured by the cost that isn't on
    the axis, and pale beyond the limits; the line is the best for its cost within the other limit.
    Below: accuracy that was measured (`accuracies`: macs, params, top1, name, kind) with kind "hybrid",
    "member" (both tuned on the target task) or "source" (a zoo member on its own source task, so not
    comparable, drawn pale). The members `named` have their names beside their dots.
    """
    every = np.log10([*cloud[axis], *front[axis], *members[axis], *accuracies[axis].dropna()])
    low, high = every.min() - 0.06, every.max() + 0.06
    # One dictionary: Plotly's own way to two panels takes five times as long, and this is redrawn in a drag.
    figure = go.Figure(
        {
            "data": [
                _cloud(cloud, axis),
                *_front(front, limits, axis),
                _members(members, colours, axis),
                *(_mark(mark, axis) for mark in marked),
                *_accuracies(accuracies, colours, named, axis),
            ],
            "layout": {
                "xaxis": {"anchor": "y", "matches": "x2", "showticklabels": False},
                "xaxis2": {"anchor": "y2"},
                "yaxis": {"anchor": "x", "domain": [0.43, 1], "title": {"text": "Score"}},
                "yaxis2": {"anchor": "x2", "domain": [0, 0.31], "title": {"text": "Top-1, %"}},
                "annotations": [
                    _heading(f"{title}: computed without training, no accuracy", 1),
                    _heading("Accuracy: measured on test images", 0.31),
                ],
                "shapes": _beyond(limits.of(axis), 10**low, 10**high),
            },
        }
    )
    styled(figure, height=640, margin={"l": 8, "r": 8, "t": 70, "b": 8}, legend={"y": 1.06})
    ticks = cost_axis([10 ** every.min(), 10 ** every.max()], TITLES[axis])
    figure.update_xaxes(**{**ticks, "range": [low, high]})
    return figure.update_layout(xaxis_title_text=None)


def _heading(text: str, y: float) -> dict[str, Any]:
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": y, "yref": "paper", "yanchor": "bottom"}
    return {"text": text, "showarrow": False, "font": {"size": FONT_SIZE + 1}, **place}


def _beyond(limits: tuple[int | None, int | None], low: float, high: float) -> list[dict[str, Any]]:
    """A line at each limit, and shade where nothing may lie."""
    shapes: list[dict[str, Any]] = []
    for limit, edge in zip(limits, (low, high), strict=True):
        if limit is not None:
            place = {"yref": "paper", "y0": 0, "y1": 1, "x0": limit}
            line = {"color": ACCENT, "width": 2, "dash": "dot"}
            shade = {"type": "rect", "x1": edge, "fillcolor": BEYOND, "layer": "below", "line": {"width": 0}}
            shapes += [{**shade, **place}, {"type": "line", "x1": limit, "line": line, **place}]
    return shapes


def _cloud(cloud: pd.DataFrame, axis: Cost) -> dict[str, Any]:
    return _points(
        "All hybrids", cloud[axis], cloud["score"], {"color": NEUTRAL, "size": 5, "opacity": 0.4},
        customdata=cloud[["choice"]].to_numpy().tolist(),
        hovertemplate=f"%{{x:.3s}} {NAMES[axis]}, score %{{y:.4~g}}<br>click to choose<extra></extra>",
    )  # fmt: skip


def _front(front: pd.DataFrame, limits: Limits, axis: Cost) -> list[dict[str, Any]]:
    if front.empty:
        return []
    other = OTHER[axis]
    kept = limits.within(front, other)
    best = front[kept].sort_values([axis, "score"], ascending=[True, False])
    best = best[best["score"] > best["score"].cummax().shift(fill_value=-math.inf)]
    line = {
        "type": "scatter",
        "name": f"Best for its {NAMES[axis]}",
        "x": best[axis].to_numpy(),
        "y": best["score"].to_numpy(),
        "mode": "lines",
        "line": {"color": FRONT, "width": 2.5, "shape": "hv"},
        "hoverinfo": "skip",
    }
    kept &= limits.within(front, axis)
    labelled = front["label"] != ""
    size = np.log10(front[other].clip(lower=1))
    ends = size.min(), size.max()
    scale = {"colorscale": list(COST_SCALE), "cmin": ends[0], "cmax": ends[1]}
    drawn = [line]
    for inside in (False, True):
        points = front[labelled & (kept == inside)]
        drawn.append(
            _points(
                "Front: none is better and smaller", points[axis], points["score"],
                {
                    "size": 10, "opacity": 1.0 if inside else PALE, "color": size[points.index].to_numpy(),
                    "line": {"width": 1, "color": OUTLINE}, **scale,
                },
                customdata=points[["choice", "label"]].to_numpy().tolist(),
                hovertemplate="%{customdata[1]}<br>click to choose<extra></extra>",
                showlegend=False,
            )
        )  # fmt: skip
    # Legend and colour bar of both: they stay where no point of the front is within the limits.
    marker = {"size": 10, "color": [ends[0]], "showscale": True, "colorbar": _bar(other, ends), **scale}
    drawn.append(
        {"type": "scatter", "name": "Front", "x": [None], "y": [None], "mode": "markers", "marker": marker}
    )
    return drawn


def _bar(cost: Cost, ends: tuple[float, float]) -> dict[str, Any]:
    ticks = [ends[0], sum(ends) / 2, ends[1]]
    return {
        "title": {"text": NAMES[cost]},
        "tickvals": ticks,
        "ticktext": [quantity(10**tick) for tick in ticks],
        "len": 0.57,
        "y": 1.0,
        "yanchor": "top",
        "thickness": 14,
        "outlinewidth": 0,
    }


def _members(members: pd.DataFrame, colours: Mapping[str, str], axis: Cost) -> dict[str, Any]:
    marker = {
        "symbol": "diamond",
        "size": 13,
        "color": [colours.get(name, NEUTRAL) for name in members["name"]],
        "line": {"width": 1.5, "color": OUTLINE},
    }
    return _points(
        "Networks uncut", members[axis], members["score"], marker, hovertext=members["name"].tolist(),
        hovertemplate="<b>%{hovertext}</b>, score %{y:.4~g}<extra></extra>",
    )  # fmt: skip


def _mark(mark: Marked, axis: Cost) -> dict[str, Any]:
    marker = {"symbol": mark.symbol, "size": 24, "color": ACCENT, "line": {"color": "white", "width": 1.5}}
    told = f"{mark.name}: {quantity(mark.params)} params · {quantity(mark.macs)} MACs, score %{{y:.4~g}}"
    cost = mark.macs if axis == "macs" else mark.params
    return _points(mark.name, [cost], [mark.score], marker, hovertemplate=f"{told}<extra></extra>")


def _points(name: str, x: Any, y: Any, marker: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A trace of dots in the upper panel that look the same whether one of them was clicked or not."""
    alike = {"marker": {"opacity": marker.get("opacity", 1.0)}}
    dots = {"type": "scatter", "mode": "markers", "x": np.asarray(x), "y": np.asarray(y), "marker": marker}
    return {"name": name, "selected": alike, "unselected": alike, **dots, **more}


def _accuracies(
    accuracies: pd.DataFrame, colours: Mapping[str, str], named: Collection[str], axis: Cost
) -> list[dict[str, Any]]:
    looks = {
        "source": ("Zoo on source task", {"symbol": "circle", "size": 11, "opacity": 0.75}),
        "member": ("Zoo on target task", {"symbol": "circle", "size": 14}),
        "hybrid": ("Hybrids on target task", {"symbol": "star", "size": 20}),
    }
    traces = []
    for kind, (label, marker) in looks.items():
        rows = accuracies[accuracies["kind"] == kind]
        if rows.empty:
            continue
        colour = [colours.get(name, ACCENT) for name in rows["name"]]
        trace = _points(
            label, rows[axis], rows["top1"],
            {**marker, "color": colour, "line": {"width": 1.5, "color": OUTLINE}},
            mode="markers+text", text=rows["name"].where(rows["name"].isin(named), "").tolist(),
            textposition="top center", textfont={"size": 13}, hovertext=rows["name"].tolist(),
            hovertemplate=f"<b>%{{hovertext}}</b><br>{label}: %{{y:.1f}} %<extra></extra>",
        )  # fmt: skip
        traces.append({**trace, "xaxis": "x2", "yaxis": "y2"})
    return traces
