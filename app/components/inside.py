"""One network from within: its line graph as a picture and as a table."""

import pandas as pd
import streamlit as st

from app import state, steps
from app.charts.line_graph import line_graph_bars
from app.charts.partition import SIZE_NAMES
from app.colours import model_colours
from app.components.figures import show
from app.components.waiting import result_of
from app.frames import counted
from dery_core.units import quantity
from dery_core.zoo import SizeMeasure, Zoo
from dery_core.zoo.description import EXACT

MEASURES: tuple[SizeMeasure, ...] = ("macs", "params", "nodes")


def look_inside(zoo: Zoo) -> None:
    """The network that the address names, the first chosen one without."""
    first = (*steps.members(zoo), *zoo.names)[0]
    shown = state.get("look") if state.get("look") in zoo.names else first
    st.session_state.setdefault(state.LOOK_KEY, shown)
    left, right = st.columns([3, 2], gap="large")
    name = left.selectbox("Network", zoo.names, key=state.LOOK_KEY, on_change=state.take_look)
    size = right.segmented_control(
        "Width of a node: its share of",
        MEASURES,
        format_func=SIZE_NAMES.__getitem__,
        default=MEASURES[0],
        required=True,
        key="inside_size",
        persist_state="session",
    )
    found = result_of(*steps.inside(zoo, name), title=f"Cutting {name}")
    if found.nodes is None:
        st.warning(found.refusal, icon=":material/block:")
        return
    nodes = found.nodes
    size = size or MEASURES[0]
    st.markdown(spoken_graph(nodes))
    show(
        line_graph_bars(nodes, size, model_colours(zoo.names)[name]),
        key="line_graph",
        alt=f"The nodes of {name} in order, as wide as their share of its {SIZE_NAMES[size]}, "
        "and what each receives.",
    )
    st.caption(
        "Between any two nodes there is a cut. The head (grey) is left behind when blocks are taken. A step "
        "below is as high as the grid of what the nodes above it receive. Maps read channels × height×width; "
        "channels-last maps and tokens height×width × channels, with 1+ in front for a class token. Streams "
        "that run side by side are packed into one tensor."
    )
    st.success(spoken_check(nodes), icon=":material/verified:")
    _table(nodes)


def spoken_graph(nodes: pd.DataFrame) -> str:
    """Nodes, costs and how many blocks there can be."""
    count = int((~nodes["head"]).sum())
    return (
        f"**{count} nodes** and a head · {quantity(nodes['params'].sum())} params · "
        f"{quantity(nodes['macs'].sum())} MACs · {nodes['before'].nunique()} shapes of tensor on the way"
    )


def spoken_check(nodes: pd.DataFrame) -> str:
    """What the engine proved before it gave the line graph out."""
    count = int((~nodes["head"]).sum())
    return f"Checked: the {count} nodes and the head put together are {EXACT}."


def _table(nodes: pd.DataFrame) -> None:
    cuts = nodes.assign(cut=range(len(nodes)), share=100 * nodes["macs"] / max(nodes["macs"].sum(), 1))
    st.dataframe(
        counted(cuts[["cut", "before", "name", "params", "macs", "share"]]),
        hide_index=True,
        height="content",
        key="cut_table",
        alt="Every cut with the tensor there, and the node behind it with its costs.",
        column_config={
            "cut": st.column_config.NumberColumn("Cut", width="small"),
            "before": "Tensor at the cut",
            "name": "Node behind it",
            "params": "Params",
            "macs": "MACs",
            "share": st.column_config.ProgressColumn(
                "Share of MACs", min_value=0, max_value=100, format="%.1f %%"
            ),
        },
    )
