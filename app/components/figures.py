"""Putting figures on a page, all in the same way."""

from collections.abc import Callable

import plotly.graph_objects as go
import streamlit as st

CONFIG = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False}


def show(figure: go.Figure, key: str, alt: str, on_click: Callable[[], None] | None = None) -> None:
    """Draw `figure` as wide as its place; `alt` says in words what it shows.

    `on_click` is called when a point is clicked: `clicked(key)` tells there which.
    """
    # Streamlit's own chart theme writes ticks in a grey that a projector loses.
    ink = "#dfe4ec" if st.context.theme.type == "dark" else "#2a3342"
    figure.update_layout(font_color=ink, legend_font_color=ink, hoverlabel_font_color=ink)
    figure.update_xaxes(tickfont_color=ink, title_font_color=ink)
    figure.update_yaxes(tickfont_color=ink, title_font_color=ink)
    figure.update_annotations(font_color=ink)
    st.plotly_chart(
        figure,
        key=key,
        alt=alt,
        config=CONFIG,
        width="stretch",
        on_select=on_click or "ignore",
        selection_mode="points",
    )


def clicked(key: str) -> dict | None:
    """The point of the figure `key` that was clicked, as Plotly tells it; None when it was let go."""
    points = st.session_state[key]["selection"]["points"]
    return dict(points[0]) if points else None
