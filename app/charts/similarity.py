"""How alike the cuts of networks are: a pair of networks, all of them, and all cuts as a plane.

Streamlit gets no clicks from a Plotly heatmap, only from scatter points. So every heatmap carries one
invisible point a cell (or a pair of networks), which is what is hovered and clicked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from app.charts.style import OUTLINE, styled
from app.colours import ACCENT, DARK, LIGHT, text_on

if TYPE_CHECKING:
    from dery_core.partition import Partition

SCALE = "Viridis"
LONGEST_LABEL = 22
# Of a picture of all networks: more pixels than a screen has tell nothing.
FINEST = 600
# How many paths' ends can be told apart by a name beside them.
MOST_NAMED = 16
# Where a name may stand beside the end of its path, the most readable first.
SIDES = (
    "middle right", "top center", "bottom center", "middle left",
    "top right", "bottom right", "top left", "bottom left",
)  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Outline:
    """Two blocks of one set: cuts `top` to `bottom` of the model in the rows, `left` to `right` of the one
    in the columns. `number` counts sets from 1."""

    number: int
    top: int
    bottom: int
    left: int
    right: int


def shared_blocks(partition: "Partition", row_model: str, column_model: str) -> list[Outline]:
    """Where blocks of the two models are in one set; nothing for a model that the partition lacks."""
    if row_model not in partition.models or column_model not in partition.models:
        return []
    i, j = partition.models.index(row_model), partition.models.index(column_model)
    return [
        Outline(row_set + 1, row.start, row.end, column.start, column.end)
        for row, row_set in zip(partition.blocks[i], partition.sets[i], strict=True)
        for column, column_set in zip(partition.blocks[j], partition.sets[j], strict=True)
        if row_set == column_set
    ]


def cut_labels(cuts: pd.DataFrame) -> list[str]:
    """One label a cut, "3 · layer1.0": the cut's number and the node that ends there.

    `cuts` has the columns `cut` and `node`. Long module names keep their end, which tells more.
    """
    return [f"{cut} · {_short(node)}" for cut, node in zip(cuts["cut"], cuts["node"], strict=True)]


def pair_heatmap(
    values: np.ndarray,
    rows: pd.DataFrame,
    columns: pd.DataFrame,
    measure: str,
    outlines: Sequence[Outline] = (),
    cell: tuple[int, int] | None = None,
) -> go.Figure:
    """Similarity of every cut of one model (rows, from the top) with every cut of another (columns).

    `values` is (rows, columns); the frames have one line a cut in the order of execution: `model`,
    `cut`, `node`, `layout`. The chosen `cell` is framed. A click on the points of the last trace tells
    the cell: y is its row, x its column.
    """
    figure = go.Figure(go.Heatmap(z=values, **_look(measure)))
    _draw_outlines(figure, outlines)
    if cell is not None:
        row, column = cell
        box = (column - 0.5, column + 0.5, row - 0.5, row + 0.5)
        _frame(figure, [box], LIGHT, 6)
        _frame(figure, [box], ACCENT, 3.5)
    right, left = _told(columns), _told(rows)
    y, x = np.indices(values.shape)
    told = [
        f"{left[i]}<br>{right[j]}<br>{escape(measure)} <b>{values[i, j]:.3f}</b>"
        for i, j in np.ndindex(*values.shape)
    ]
    figure.add_trace(_click_layer(x.ravel(), y.ravel(), told))
    styled(figure, height=min(270 + 26 * max(len(rows), 12), 1000))
    _as_matrix(figure, (-0.5, len(columns) - 0.5), (-0.5, len(rows) - 0.5))
    figure.update_xaxes(**_cut_axis(cut_labels(columns)), tickangle=-60, title=_axis_title(columns))
    return figure.update_yaxes(**_cut_axis(cut_labels(rows)), title=_axis_title(rows))


def most_alike(values: np.ndarray, same_model: bool) -> tuple[int, int, float] | None:
    """Row cut, column cut and similarity of the brightest place, cut 0 (the image) aside.

    Of a model beside itself the diagonal, always 1, is left aside too. None where nothing is left.
    """
    rest = values[1:, 1:].astype(float)
    if same_model:
        np.fill_diagonal(rest, -np.inf)
    if rest.size == 0 or np.isneginf(rest.max()):
        return None
    row, column = np.unravel_index(int(rest.argmax()), rest.shape)
    return int(row) + 1, int(column) + 1, float(rest[row, column])


def all_heatmap(values: np.ndarray, index: pd.DataFrame, measure: str) -> go.Figure:
    """Similarity of all cuts of all models: (M, M) `values`, `index` as a SimilarityTable has it.

    Every model is drawn equally wide, from the image to its last cut, so that names have their place
    however few cuts one has. A click on the points of the last trace tells two models: their names
    are its `customdata`, first that of the row.
    """
    models = list(dict.fromkeys(index["model"]))
    rows = [np.flatnonzero(index["model"] == model) for model in models]
    wide = min(max(map(len, rows)) * 2, max(FINEST // len(models), 2))
    stretched = [own[np.round(np.linspace(0, len(own) - 1, wide)).astype(int)] for own in rows]
    picked = np.concatenate(stretched)
    places = (np.arange(len(picked)) + 0.5) / wide
    shown = values[np.ix_(picked, picked)].astype(np.float32)
    figure = go.Figure(go.Heatmap(z=shown, x=places, y=places, **_look(measure)))
    pairs = [(i, j) for i in range(len(models)) for j in range(len(models))]
    told = [_pair_told(values[np.ix_(rows[i], rows[j])], models[i], models[j], measure) for i, j in pairs]
    points = _click_layer([j + 0.5 for _, j in pairs], [i + 0.5 for i, _ in pairs], told)
    figure.add_trace(points.update(customdata=[[models[i], models[j]] for i, j in pairs]))
    styled(figure, height=860, shapes=_borders(len(models)))
    _as_matrix(figure, (0, len(models)), (0, len(models)))
    middles = [number + 0.5 for number in range(len(models))]
    font = {"size": 13 if len(models) < 25 else 11}
    figure.update_xaxes(
        tickvals=middles, ticktext=models, tickangle=-45 if len(models) < 25 else -90, tickfont=font
    )
    return figure.update_yaxes(tickvals=middles, ticktext=models, tickfont=font)


def _borders(count: int) -> list[dict[str, Any]]:
    """Lines between `count` models, down and across."""
    line = {"color": LIGHT, "width": 2 if count < 25 else 1}
    ends = {"type": "line", "line": line}
    down = [{**ends, "x0": edge, "x1": edge, "y0": 0, "y1": count} for edge in range(1, count)]
    return down + [{**ends, "y0": edge, "y1": edge, "x0": 0, "x1": count} for edge in range(1, count)]


def counterparts(values: np.ndarray, index: pd.DataFrame) -> pd.DataFrame:
    """Pairs of models, the most alike first: `pair` (their names) and `alike`, how similar a cut is to
    the one most alike of the other model, the mean over the cuts of both, cut 0 (the image) aside."""
    models = list(dict.fromkeys(index["model"]))
    inner = (index["cut"] > 0).to_numpy()
    rows = [np.flatnonzero((index["model"] == model).to_numpy() & inner) for model in models]
    lines = []
    for i, j in combinations(range(len(models)), 2):
        block = values[np.ix_(rows[i], rows[j])]
        best = np.concatenate([block.max(axis=1), block.max(axis=0)])
        lines.append({"pair": f"{models[i]} and {models[j]}", "alike": float(best.mean())})
    frame = pd.DataFrame(lines, columns=["pair", "alike"])
    return frame.sort_values("alike", ascending=False, kind="stable", ignore_index=True)


def cut_plane(points: np.ndarray, index: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Every network as a path through `points` (M, 2), from the image (a star) to its last cut (a large
    mark with its name). `index` as a SimilarityTable has it; `colours` holds one a model."""
    models = list(dict.fromkeys(index["model"]))
    figure = go.Figure()
    for model in models:  # below all paths, so that dark ones are seen on a dark page
        own = points[(index["model"] == model).to_numpy()]
        figure.add_scatter(
            x=own[:, 0], y=own[:, 1], mode="lines", line={"color": OUTLINE, "width": 4.5}, opacity=0.45,
            hoverinfo="skip", showlegend=False, legendgroup=model,
        )  # fmt: skip
    last = np.array([points[(index["model"] == model).to_numpy()][-1] for model in models])
    sides = _sides(last, models, _along(points, index))
    for number, model in enumerate(models):
        chosen = (index["model"] == model).to_numpy()
        own, cuts = points[chosen], index[chosen]
        ends = np.arange(len(own)) == len(own) - 1
        figure.add_scatter(
            x=own[:, 0],
            y=own[:, 1],
            name=model,
            legendgroup=model,
            mode="lines+markers+text",
            line={"color": colours[model], "width": 2.5, "dash": DASHES[number // 16 % len(DASHES)]},
            marker={
                "color": colours[model],
                "opacity": 1,
                "size": np.where(ends, 17, 8),
                "symbol": np.where(ends, "square", "circle"),
                "line": {"color": OUTLINE, "width": 1},
            },
            text=np.where(ends & (len(models) <= MOST_NAMED) & bool(sides[number]), escape(model), ""),
            textposition=sides[number] or SIDES[0],
            textfont={"size": 14},
            cliponaxis=False,
            hovertext=_told(cuts),
            hovertemplate="%{hovertext}<extra></extra>",
        )
    start = points[(index["cut"] == 0).to_numpy()].mean(axis=0)
    figure.add_scatter(
        x=start[:1], y=start[1:], mode="markers+text", name="the image", text="the image",
        textposition="middle left", textfont={"size": 15}, cliponaxis=False, showlegend=False,
        marker={"symbol": "star", "size": 20, "color": ACCENT, "line": {"color": LIGHT, "width": 1.5}},
        hovertemplate="the image: cut 0 of every network<extra></extra>",
    )  # fmt: skip
    styled(figure, height=720, hovermode="closest")
    low, span = points.min(axis=0), np.ptp(points, axis=0).clip(min=1e-9)
    # room for names on both sides
    figure.update_xaxes(
        showticklabels=False, showgrid=False, range=[low[0] - 0.16 * span[0], low[0] + 1.24 * span[0]]
    )
    return figure.update_yaxes(showticklabels=False, showgrid=False, scaleanchor="x")


def _along(points: np.ndarray, index: pd.DataFrame) -> np.ndarray:
    """Points (P, 2) along all paths, close enough to each other that no name finds a gap to lie in."""
    paths = [points[rows] for rows in index.groupby("model", sort=False).indices.values()]
    parts = np.linspace(0, 1, 12, endpoint=False)[:, None]
    legs = [a + parts * (b - a) for path in paths for a, b in pairwise(path)]
    return np.concatenate([*legs, *(path[-1:] for path in paths)])


def _sides(ends: np.ndarray, names: Sequence[str], points: np.ndarray) -> list[str]:
    """On which side of its end (N, 2) every name stands, so that it runs into as few of the `points` as can
    be, and into no other end or name; "" for a name without such a place."""
    span = 1.6 * float(np.ptp(points[:, 0]))
    letter, line, gap = 0.0085 * span, 0.03 * span, 0.012 * span
    near = gap / 3
    crossed = [(x - near, x + near, y - near, y + near) for x, y in points]
    taken = [(x - gap, x + gap, y - gap, y + gap) for x, y in ends]
    sides = []
    for (x, y), name in zip(ends, names, strict=True):
        long = letter * len(name)
        right, left = (x + 1.1 * gap, x + gap + long), (x - gap - long, x - 1.1 * gap)
        above, below = (y + 1.1 * gap, y + gap + line), (y - gap - line, y - 1.1 * gap)
        beside, across = (y - line / 2, y + line / 2), (x - long / 2, x + long / 2)
        places = [right + beside, across + above, across + below, left + beside]
        places += [right + above, right + below, left + above, left + below]
        free = {
            side: box
            for side, box in zip(SIDES, places, strict=True)
            if not any(_meet(box, other) for other in taken)
        }
        if not free:
            sides.append("")
            continue
        side = min(free, key=lambda side: sum(_meet(free[side], other) for other in crossed))
        taken.append(free[side])
        sides.append(side)
    return sides


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (left, right, bottom, top) overlap."""
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _draw_outlines(figure: go.Figure, outlines: Sequence[Outline]) -> None:
    """A frame from the cuts that enter two blocks to those that leave them, light on dark, numbered."""
    boxes = [(each.left, each.right, each.top, each.bottom) for each in outlines]
    _frame(figure, boxes, DARK, 5)
    _frame(figure, boxes, LIGHT, 2)
    figure.add_scatter(
        x=[(each.left + each.right) / 2 for each in outlines],
        y=[each.top for each in outlines],
        text=[str(each.number) for each in outlines],
        mode="markers+text",
        marker={"symbol": "circle", "size": 18, "color": LIGHT, "line": {"color": DARK, "width": 1.5}},
        textfont={"size": 12, "color": text_on(LIGHT)},
        hoverinfo="skip",
        cliponaxis=False,
    )


def _frame(
    figure: go.Figure, boxes: Sequence[tuple[float, float, float, float]], colour: str, width: float
) -> None:
    """Boxes (left, right, top, bottom) as one trace: shapes would lie above all points."""
    figure.add_scatter(
        x=[x for left, right, _, _ in boxes for x in (left, right, right, left, left, None)],
        y=[y for _, _, top, bottom in boxes for y in (top, top, bottom, bottom, top, None)],
        mode="lines",
        line={"color": colour, "width": width},
        hoverinfo="skip",
        cliponaxis=False,
    )


def _click_layer(x: ArrayLike, y: ArrayLike, told: Sequence[str]) -> go.Scatter:
    """Points that nobody sees: what the cursor is nearest to is hovered and clicked."""
    unseen = {"marker": {"opacity": 0}}
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"symbol": "square", "size": 14, "opacity": 0},
        selected=unseen,
        unselected=unseen,
        hovertext=told,
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _as_matrix(figure: go.Figure, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Rows from the top, no zooming (a click is meant for a cell), the nearest point is the one hovered."""
    figure.update_layout(hovermode="closest", hoverdistance=-1, showlegend=False, dragmode=False)
    figure.update_xaxes(showgrid=False, fixedrange=True, range=x)
    figure.update_yaxes(showgrid=False, fixedrange=True, range=y[::-1])


def _look(measure: str) -> dict[str, Any]:
    return {
        "zmin": 0.0,
        "zmax": 1.0,
        "colorscale": SCALE,
        "hoverinfo": "skip",
        # Above: at the right the cursor's box would lie over it.
        "colorbar": {
            "title": {"text": escape(measure), "side": "top"},
            "orientation": "h",
            "thickness": 12,
            "len": 0.6,
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
        },
    }


def _cut_axis(labels: Sequence[str]) -> dict[str, object]:
    """Ticks at every cut, thinned when there are more than forty."""
    step = 1 + (len(labels) - 1) // 40
    shown = list(range(0, len(labels), step))
    return {"tickvals": shown, "ticktext": [labels[i] for i in shown], "tickfont": {"size": 13}}


def _axis_title(cuts: pd.DataFrame) -> str:
    return f"Cuts of {escape(cuts['model'].iloc[0])}"


def _told(cuts: pd.DataFrame) -> list[str]:
    """A line for the cursor about each cut: model, number, node, layout."""
    facts = zip(cuts["model"], cut_labels(cuts), cuts["layout"], strict=True)
    return [escape(f"{model} {label} ({layout})") for model, label, layout in facts]


def _pair_told(values: np.ndarray, row_model: str, column_model: str, measure: str) -> str:
    same = row_model == column_model
    lines = [f"<b>{escape(row_model)}</b> and {'itself' if same else f'<b>{escape(column_model)}</b>'}"]
    if best := most_alike(values, same):
        lines.append(f"most alike: cuts {best[0]} and {best[1]}, {escape(measure)} {best[2]:.2f}")
    return "<br>".join([*lines, "click to look closer"])


def _short(node: str) -> str:
    return node if len(node) <= LONGEST_LABEL else "…" + node[1 - LONGEST_LABEL :]
