"""The picture of a hybrid, with the switch that tells what it is drawn by."""

from collections.abc import Mapping, Sequence

import streamlit as st

from app.charts.hybrid import SIZE_NAMES, Size, hybrid_row
from dery_core.reassembly import HybridRow

SIZES: tuple[Size, ...] = ("macs", "params")


def hybrid_picture(
    rows: Sequence[HybridRow], colours: Mapping[str, str], classes: int, sets: Sequence[int] = ()
) -> None:
    """The hybrid from image to head; what each argument is, `hybrid_row` says."""
    size = size_switch("To scale: share of", "picture_size")
    st.html(hybrid_row(rows, colours, classes, sets, size))


def size_switch(label: str, key: str) -> Size:
    """Whether parameters or MACs are drawn."""
    chosen = st.segmented_control(
        label,
        SIZES,
        format_func=SIZE_NAMES.__getitem__,
        default=SIZES[0],
        required=True,
        key=key,
        persist_state="session",
    )
    return chosen or SIZES[0]
