"""Blocks and their equivalence sets: every network as a bar, and how alike all blocks are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts.style import OUTLINE, styled
from app.colours import NEUTRAL, set_colours, text_on
from dery_core.units import quantity

if TYPE_CHECKING:
    from dery_core.zoo import SizeMeasure

SIZE_NAMES: "dict[SizeMeasure, str]" = {"params": "parameters", "macs": "MACs", "nodes": "nodes"}


# Pixels: of a row, and of the whole figure before rows get narrower.
ROW, NARROWEST, HIGHEST = 58, 27, 780
# Below it a row is all bar, and its letters are small.
DENSE = 34
# Up to as many blocks have their names beside the heatmap.
NAMED = 36
# Part of the blocks below which a set has no name beside it.
NARROW = 0.05


def partition_bars(blocks: pd.DataFrame, size: "SizeMeasure", numbered: bool = False) -> go.Figure:
    """One row a model, one segment a block, as wide as its share of the model's `size`.

    `blocks` has the columns model, stage, set, nodes, layers, params, macs, share, similarity and
    anchor (bool), as `app.frames.block_frame` gives them; models are drawn in order, from the top.
    A segment bears its similarity, or where `numbered` its set: needed where the place doesn't tell.
    """
    models = list(dict.fromkeys(blocks["model"]))
    row = max(NARROWEST, min(ROW, HIGHEST // len(models)))
    letters = 12 if row < DENSE else 16 if row > 44 else 14
    outline = 1 if row < DENSE else 1.5
    figure = go.Figure()
    for number, colour in enumerate(set_colours(int(blocks["set"].max()) + 1)):
        rows = blocks[blocks["set"] == number].to_dict("records")
        figure.add_bar(
            orientation="h",
            name=f"Set {number + 1}",
            y=[block["model"] for block in rows],
            x=[block["share"] for block in rows],
            base=[block["start"] for block in rows],
            text=[_label(block, numbered) for block in rows],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            insidetextfont={"size": letters, "color": text_on(colour)},
            marker={"color": colour, "line": {"color": "rgba(255,255,255,0.9)", "width": outline}},
            customdata=[_hover(block) for block in rows],
            hovertemplate="%{customdata}<extra></extra>",
        )
    gap = 0.12 if row < DENSE else 0.28
    styled(figure, height=110 + row * len(models), barmode="overlay", bargap=gap, margin_r=36)
    # How many pixels a block has only the browser knows: there a number that would be tiny is left out.
    figure.update_layout(uniformtext={"minsize": letters - 2, "mode": "hide"})
    figure.update_xaxes(
        range=[0, 1],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
        title=f"Share of the network's {SIZE_NAMES[size]}",
        showgrid=False,
    )
    return figure.update_yaxes(
        categoryorder="array",
        categoryarray=models[::-1],
        tickvals=models,
        showgrid=False,
        tickfont={"size": letters},
    )


def block_heatmap(
    values: np.ndarray, labels: Sequence[str], sets: Sequence[int], anchors: Sequence[int]
) -> go.Figure:
    """S between all blocks, (B, B) in [0, 2], in the order of their `sets`; each set is outlined, and
    the rows `anchors` are starred on the diagonal. `labels` say what the rows are."""
    count = len(labels)
    edges = np.flatnonzero(np.diff(sets, prepend=-1, append=max(sets) + 1)) - 0.5
    figure = go.Figure(
        go.Heatmap(
            z=np.asarray(values, np.float32),
            x=list(labels),
            y=list(labels),
            zmin=0.0,
            zmax=2.0,
            colorscale="Viridis",
            colorbar={
                "title": {"text": "S of two blocks", "side": "top"},
                "orientation": "h",
                "thickness": 12,
                "len": 0.6,
                "x": 0,
                "xanchor": "left",
                "y": 1.01,
                "yanchor": "bottom",
                "tickvals": [0, 0.5, 1, 1.5, 2],
            },
            hovertemplate="%{y}<br>%{x}<br>S <b>%{z:.3f}</b> of 2<extra></extra>",
        )
    )
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        figure.add_shape(
            type="rect", x0=begin, x1=end, y0=begin, y1=end, line={"color": "#ffffff", "width": 3}
        )
    figure.add_scatter(
        x=[labels[row] for row in anchors],
        y=[labels[row] for row in anchors],
        mode="markers",
        marker={"symbol": "star", "size": 11, "color": "#ffffff", "line": {"color": "#000000", "width": 1}},
        hovertemplate="%{x}: anchor of its set<extra></extra>",
        showlegend=False,
    )
    # The names of neighbours that are both narrow would run into each other.
    named = [
        f"Set {sets[int(begin + 0.5)] + 1}" if end - begin >= NARROW * count else ""
        for begin, end in zip(edges[:-1], edges[1:], strict=True)
    ]
    by_set = {"tickvals": ((edges[:-1] + edges[1:]) / 2).tolist(), "ticktext": named}
    by_block = {"tickvals": list(range(count)), "ticktext": list(labels)}
    styled(figure, height=HIGHEST - 60)
    figure.update_xaxes(type="category", **by_set, showgrid=False, constrain="domain", constraintoward="left")
    return figure.update_yaxes(
        type="category",
        **(by_block if count <= NAMED else by_set),
        showgrid=False,
        autorange="reversed",
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
    )


def set_contrast(sets: pd.DataFrame) -> go.Figure:
    """Per set, how alike two of its blocks are (`within`) and one of its and another's (`across`).

    Columns: set, within, across, as `app.frames.set_frame` gives them; the first set is on top.
    """
    figure = go.Figure()
    names = [f"Set {number + 1}" for number in sets["set"]]
    for name, within, across in zip(names, sets["within"], sets["across"], strict=True):
        figure.add_scatter(
            x=[across, within], y=[name, name], mode="lines", line={"color": OUTLINE, "width": 3},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    colours = set_colours(int(sets["set"].max()) + 1)
    for column, said, marker in (
        ("across", "with blocks of other sets", {"color": NEUTRAL, "symbol": "circle-open", "size": 12}),
        ("within", "with blocks of its own set", {"color": [colours[n] for n in sets["set"]], "size": 15}),
    ):
        figure.add_scatter(
            x=sets[column],
            y=names,
            mode="markers",
            name=said,
            marker={**marker, "line": {"color": OUTLINE, "width": 2}},
            hovertemplate=f"%{{y}}: %{{x:.2f}} {said}<extra></extra>",
        )
    styled(figure, height=150 + 40 * len(names))
    figure.update_xaxes(title="Mean S", range=[0, 2.05], tickvals=[0, 0.5, 1, 1.5, 2])
    return figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)


def _label(block: dict[Any, Any], numbered: bool) -> str:
    mark = " ★" if block["anchor"] else ""
    if numbered:
        return f"{block['set'] + 1}{mark}"
    # An anchor is like itself in full.
    return mark.strip() or f"{block['similarity']:.2f}"


def _hover(block: dict[Any, Any]) -> str:
    anchor = "<br><b>anchor of its set</b>" if block["anchor"] else ""
    return (
        f"<b>{block['model']}, block {block['stage'] + 1}</b> (set {block['set'] + 1})<br>{block['layers']}"
        f"<br>{block['nodes']} nodes · {quantity(block['params'])} params · {quantity(block['macs'])} MACs"
        f"<br>similarity to the anchor {block['similarity']:.3f} of 2{anchor}"
    )
