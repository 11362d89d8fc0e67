"""Two cuts side by side: which layers they are, and what they make of the same images."""

from base64 import b64encode
from html import escape
from io import BytesIO

import numpy as np
import pandas as pd
import plotly.colors
import streamlit as st
from PIL import Image

from app import cuts
from app.components.waiting import follow_quietly
from app.cuts import Seen
from dery_core.similarity import CutExamples
from dery_core.units import quantity
from dery_core.zoo import Zoo

SCALE = "Cividis"
"""Not the heatmap's: a channel's values are no similarities."""
_RAMP = np.array(
    [
        [int(part) for part in plotly.colors.unlabel_rgb(colour)]
        for colour in plotly.colors.sample_colorscale(SCALE, np.linspace(0, 1, 256))
    ],
    dtype=np.uint8,
)


def cut_pair(
    zoo: Zoo, rows: pd.DataFrame, columns: pd.DataFrame, value: float, measure: str, colours: dict[str, str]
) -> None:
    """The panel of one cell: `rows` and `columns` are the two models' lines of the similarity table up to
    the cut, so the last line is the cut itself."""
    st.html(f'<div class="dery-value"><b>{value:.3f}</b> <span>{escape(measure)}</span></div>')
    sides = [(rows, colours[rows["model"].iloc[-1]]), (columns, colours[columns["model"].iloc[-1]])]
    works = [cuts.seen(zoo, frame["model"].iloc[-1])[0] for frame, _ in sides]
    waiting = any(follow_quietly(task, "Looking at a few images") for task in dict.fromkeys(works))
    found = None if waiting else [task.value() for task in works]
    examples = [
        None if found is None else one.cuts[len(frame) - 1]
        for one, (frame, _) in zip(found or [None] * 2, sides, strict=True)
    ]
    cards = [card(frame, colour, one) for (frame, colour), one in zip(sides, examples, strict=True)]
    st.html(f'<div class="dery-cards">{"".join(cards)}</div>')
    if found is None:
        return
    left, right = (one.cuts[len(frame) - 1] for one, (frame, _) in zip(found, sides, strict=True))
    st.html(side_by_side(found[0], left, right))
    st.caption(spoken(left, right))


def card(cuts: pd.DataFrame, colour: str, found: CutExamples | None) -> str:
    """What is known of the last line of `cuts`: the layer, its shapes, what it has cost so far."""
    last = cuts.iloc[-1]
    made_of = f" {escape(' → '.join(found.modules))}" if found and found.modules else ""
    layer = f"after <code>{escape(last['node'])}</code>{made_of}" if last["cut"] else "the image itself"
    shapes = " → ".join(cuts["layout"].iloc[-2:])
    return (
        f'<div class="card" data-model="{escape(last["model"])}"><div class="model">'
        f'<i class="dery-swatch" style="background:{colour}"></i>{escape(last["model"])}</div>'
        f"<div>Cut {last['cut']}: {layer}</div>"
        f"<div>{escape(shapes)}</div>"
        f"<div>{quantity(last['params'])} params · {quantity(last['macs'])} MACs so far</div></div>"
    )


def side_by_side(seen: Seen, left: CutExamples, right: CutExamples) -> str:
    """A table of pictures: an image in every row, then the channels of both cuts."""
    sides = (left, right)
    gap = "<span></span>"
    wide = " ".join(f"0.4rem repeat({len(one.channels)}, 1fr)" for one in sides)
    cells = [gap]
    for one in sides:
        cells.append(
            gap + f'<span class="whose" style="grid-column:span {len(one.channels)}">{_title(one)}</span>'
        )
    cells.append(gap)
    for one in sides:
        cells += [gap, *map(_head, one.channels)]
    for number, (image, label) in enumerate(zip(seen.images, seen.labels, strict=True)):
        which = f"image {number + 1}, {label}"
        cells.append(_picture(image, which.capitalize()))
        for one in sides:
            cells.append(gap)
            for channel, maps in zip(one.channels, one.maps, strict=True):
                words = f"{channel} of {one.model} after {one.node} on {which}"
                cells.append(_picture(tinted(maps[number]), words))
    return f'<div class="dery-seen" style="grid-template-columns:1.25fr {wide}">{"".join(cells)}</div>'


def spoken(left: CutExamples, right: CutExamples) -> str:
    """What the pictures show and leave out."""
    parts = [
        "Of each cut the channels that vary most; blue is a channel's lowest value over these images, yellow "
        "its highest. They needn't match one by one: the measure compares what all say together."
    ]
    for one in {left.model: left, right.model: right}.values():
        if one.prefix:
            tokens = "class token has" if one.prefix == 1 else f"{one.prefix} class and register tokens have"
            parts.append(f"The {tokens} no place in the image and can't be shown ({one.model}).")
    return " ".join(parts)


def tinted(values: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1] as uint8 (H, W, 3) on a scale of even steps of lightness."""
    return _RAMP[np.clip(values * 255, 0, 255).astype(np.uint8)]


def _title(one: CutExamples) -> str:
    return escape(f"{one.model}: {'colours' if one.cut == 0 else 'channels'}")


def _head(channel: str) -> str:
    return f'<span class="head">{escape(channel.removeprefix("channel "))}</span>'


def _picture(pixels: np.ndarray, words: str) -> str:
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    source = b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(words)}" title="{escape(words)}" src="data:image/png;base64,{source}">'
