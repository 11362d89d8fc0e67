"""Putting figures on a page, all in the same way."""

import plotly.graph_objects as go
import streamlit as st

CONFIG = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False}


def show(figure: go.Figure, key: str, alt: str) -> None:
    """Draw `figure` as wide as its place; `alt` says in words what it shows."""
    # Streamlit's own chart theme writes ticks in a grey that a projector loses.
    ink = "#dfe4ec" if st.context.theme.type == "dark" else "#2a3342"
    figure.update_layout(font_color=ink, legend_font_color=ink)
    figure.update_xaxes(tickfont_color=ink, title_font_color=ink)
    figure.update_yaxes(tickfont_color=ink, title_font_color=ink)
    figure.update_annotations(font_color=ink)
    st.plotly_chart(figure, key=key, alt=alt, config=CONFIG, width="stretch")
