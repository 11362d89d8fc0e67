"""Every network as a bar of blocks, coloured by equivalence set."""

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from app.charts.style import styled
from app.colours import set_colours, text_on

if TYPE_CHECKING:
    from dery_core.zoo import SizeMeasure

SIZE_NAMES: "dict[SizeMeasure, str]" = {"params": "parameters", "macs": "MACs", "nodes": "nodes"}


def partition_bars(blocks: pd.DataFrame, size: "SizeMeasure") -> go.Figure:
    """One row a model, one segment a block, as wide as its share of the model's `size`.

    `blocks` has the columns model, stage, set, nodes, layers, params, macs, share, similarity and
    anchor (bool), as `app.frames.block_frame` gives them; models are drawn in order, from the top.
    """
    models = list(dict.fromkeys(blocks["model"]))
    figure = go.Figure()
    for number, colour in enumerate(set_colours(int(blocks["set"].max()) + 1)):
        rows = blocks[blocks["set"] == number]
        figure.add_bar(
            orientation="h",
            name=f"Set {number + 1}",
            y=rows["model"],
            x=rows["share"],
            base=rows["start"],
            text=[_label(row) for row in rows.itertuples()],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            insidetextfont={"size": 16, "color": text_on(colour)},
            marker={"color": colour, "line": {"color": "rgba(255,255,255,0.9)", "width": 1.5}},
            customdata=[_hover(row) for row in rows.itertuples()],
            hovertemplate="%{customdata}<extra></extra>",
        )
    styled(figure, height=110 + 58 * len(models), barmode="overlay", bargap=0.28, margin_r=36)
    # How many pixels a block has only the browser knows: there a number that would be tiny is left out.
    figure.update_layout(uniformtext={"minsize": 12, "mode": "hide"})
    figure.update_xaxes(
        range=[0, 1],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
        title=f"Share of the network's {SIZE_NAMES[size]}",
        showgrid=False,
    )
    return figure.update_yaxes(
        categoryorder="array", categoryarray=models[::-1], showgrid=False, tickfont={"size": 16}
    )


def _label(row: object) -> str:
    mark = "★ " if row.anchor else ""  # type: ignore[attr-defined]
    wide = row.share > (0.09 if mark else 0.06)  # type: ignore[attr-defined]
    return f"{mark}{row.similarity:.2f}" if wide else mark.strip()  # type: ignore[attr-defined]


def _hover(row: object) -> str:
    from dery_core.units import quantity

    anchor = "<br><b>anchor of its set</b>" if row.anchor else ""  # type: ignore[attr-defined]
    return (
        f"<b>{row.model}, block {row.stage + 1}</b> (set {row.set + 1})<br>{row.layers}"  # type: ignore[attr-defined]
        f"<br>{row.nodes} nodes · {quantity(row.params)} params · {quantity(row.macs)} MACs"  # type: ignore[attr-defined]
        f"<br>similarity to the anchor {row.similarity:.3f} of 2{anchor}"  # type: ignore[attr-defined]
    )
