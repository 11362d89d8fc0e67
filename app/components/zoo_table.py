"""The zoo as a table: on every row a box to tick, and a name that opens the network."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from app import state
from dery_core.units import quantity

MACS_HELP = "Multiply-accumulates for one image: what the paper calls FLOPs."
_WIDTHS = [0.3, 2, 6]
_HEAD = (
    '<div class="dery-row dery-head"><span></span><span>Family</span><span>Source task</span>'
    f'<span>Params</span><span class="dery-hint" title="{MACS_HELP}">MACs</span>'
    "<span>Top-1 on its source task</span></div>"
)


def zoo_table(models: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """One row a model; ticking a box changes the chosen members, a click on a name looks inside.

    `models` has the columns name, family, source_task, params, macs, top1 and chosen.
    """
    names = list(models["name"])
    with st.container(key="zoo_table", gap=None):
        _, left, right = st.columns(_WIDTHS, wrap=False, vertical_alignment="bottom", gap="xsmall")
        left.caption("Name: look inside")
        right.html(_HEAD)
        for row in models.to_dict("records"):
            box, left, right = st.columns(_WIDTHS, wrap=False, vertical_alignment="center", gap="xsmall")
            name, key = row["name"], state.MEMBER_KEY + row["name"]
            st.session_state.setdefault(key, bool(row["chosen"]))
            box.checkbox(
                name, key=key, on_change=state.tick_member, args=(name, names), label_visibility="collapsed"
            )
            left.button(name, key=f"look_{name}", type="tertiary", on_click=state.look_inside, args=(name,))
            right.html(_row(row, colours[name]))


def _row(row: Mapping[Any, Any], colour: str) -> str:
    accuracy, bar = "–", ""
    if not pd.isna(row["top1"]):
        accuracy = f"{row['top1']:.1f} %"
        bar = f'<span class="dery-bar" style="width:{row["top1"] * 0.5:.0f}%"></span>'
    return (
        f'<div class="dery-row"><span class="dery-swatch" style="background:{colour}"></span>'
        f"<span>{escape(row['family'])}</span><span>{escape(row['source_task'])}</span>"
        f"<span>{_count(row['params'])}</span><span>{_count(row['macs'])}</span>"
        f"<span>{accuracy}{bar}</span></div>"
    )


def _count(count: float | None) -> str:
    return "–" if count is None or pd.isna(count) else quantity(count)
