"""What the seams of a hybrid bridge, and what is lost there."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dery_core.reassembly import Fit, HybridRow
from dery_core.units import quantity


def seam_table(rows: Sequence[HybridRow]) -> None:
    """One line a seam; what is lost is said there, before anything is trained."""
    pairs = [(row, after) for row, after in zip(rows, rows[1:], strict=False) if row.fit is not None]
    lossy = sum(bool(row.fit and row.fit.remarks) for row, _ in pairs)
    with st.container(key="seams"):
        st.markdown(f"**{_title(len(pairs), lossy)}**")
        if pairs:
            lines = [_line(row, after, row.fit) for row, after in pairs if row.fit]
            st.table(pd.DataFrame(lines), hide_index=True, border="horizontal")
        st.caption(
            "A seam brings the features to the grid that the next block was built for and projects the "
            "channels by a 1×1 convolution. Stride: how many pixels of its own network's image one position "
            "spans."
        )


def _title(count: int, lossy: int) -> str:
    if not count:
        return "No seams: all blocks adjoin in one network"
    seams = "1 seam" if count == 1 else f"{count} seams"
    if not lossy:
        return f"{seams}, nothing is lost"
    some = "" if count == 1 else "all " if lossy == count else f"{lossy} of them "
    return f"{seams}, {some}with a loss"


def _line(row: HybridRow, after: HybridRow, fit: Fit) -> dict[str, str]:
    return {
        "Between": f"block {row.stage + 1} and {after.stage + 1}",
        "From → to": _plain(f"{fit.source} → {fit.target}"),
        "Grid and tokens": fit.summary,
        "Stride": " → ".join(_stride(pair) for pair in fit.strides),
        "Cost": f"{quantity(fit.params)} params, {quantity(fit.macs)} MACs",
        "Lost": "; ".join(f":material/warning: {_plain(remark)}" for remark in fit.remarks) or "nothing",
    }


def _plain(text: str) -> str:
    """Names and shapes as they are, though the table reads Markdown."""
    for mark in "\\|*_[]`$":
        text = text.replace(mark, "\\" + mark)
    # A shape stays on one line.
    return text.replace(" × ", "\u00a0×\u00a0")


def _stride(pair: tuple[float, float]) -> str:
    high, wide = pair
    return f"{high:.3g}" if high == wide else f"{high:.3g}×{wide:.3g}"
