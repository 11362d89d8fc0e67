"""Partition: every network cut into K blocks that form K equivalence sets."""

import pandas as pd
import streamlit as st

from app import state, steps
from app.charts.partition import SIZE_NAMES, partition_bars
from app.components import path
from app.components.errors import one_sentence
from app.components.figures import show
from app.components.waiting import result_of
from app.frames import block_frame, counted, joined
from dery_core.partition import Partition

# Of 2 at most; below this a set is one in name only.
HARDLY_ALIKE = 0.6
SOLVED = 1e-6

TABLED = ["model", "stage", "layers", "nodes", "params", "macs", "similarity", "anchor"]

st.title("Cut into interchangeable blocks")
st.markdown(
    "Every network is cut into K blocks of about equal size. Block 1 of every network forms set 1, and so "
    "on; the cuts are placed so that the blocks of a set are as alike as possible. Each set has an "
    "**anchor ★**, the block all others in it are compared with."
)


def spoken_sets(blocks: pd.DataFrame) -> str:
    """How alike the blocks of each set are to its anchor, the anchor itself left out."""
    means = blocks[~blocks["anchor"]].groupby("set")["similarity"].mean()
    parts = (
        f"set {number} **{mean:.2f}**{' (hardly alike)' if mean < HARDLY_ALIKE else ''}"
        for number, mean in enumerate(means, start=1)
    )
    return f"Mean similarity to the anchor: {', '.join(parts)}."


def spoken_widening(partition: Partition) -> str:
    """Why a limit on the size of blocks was widened, and for whom."""
    limit = f"{partition.k} blocks within the limit of ε = {partition.epsilon:g}"
    if len(partition.widened) == len(partition.models):
        return f"No network has {limit}, so each got the smallest it can keep: ε has no effect here."
    return f"No {limit} for {joined(partition.widened)}: it was widened as little as possible."


with one_sentence():
    zoo = steps.zoo()
    names = steps.members(zoo)
    if len(names) < 2:
        path.first_do("zoo", "Choose at least two networks first.")
    table = result_of(*steps.table(names), title="Comparing the networks")

    left, middle, right = st.columns([4, 4, 5], gap="medium")
    k = left.slider("K: blocks per network", *state.K_RANGE, key="k", persist_state="session")
    epsilon = middle.slider(
        "ε: tolerance in size",
        *state.EPSILON_RANGE,
        step=0.05,
        key="epsilon",
        persist_state="session",
        help="With ε = 0.2 no block may be larger than 1.2 times the mean block of its network.",
    )
    chosen = right.segmented_control(
        "Size counted in",
        state.SIZES,
        format_func=SIZE_NAMES.__getitem__,
        required=True,
        key="size",
        persist_state="session",
    )
    size = chosen or state.SIZES[0]
    partition = result_of(*steps.partition(names, k, epsilon, size), title="Placing the cuts")
    blocks = block_frame(partition, table.index)

    show(
        partition_bars(blocks, size),
        key="partition_bars",
        alt=f"Every network as a bar of {k} blocks coloured by equivalence set.",
    )
    st.caption(
        "The number on a block is its similarity to the anchor of its set: input and output together, "
        "so 2 is the most."
    )
    st.markdown(spoken_sets(blocks))
    if partition.widened:
        st.warning(spoken_widening(partition), icon=":material/open_in_full:")

    objective, bound, gap = st.columns(3)
    objective.metric("Similarity in all", f"{partition.objective:.3f}", border=True)
    bound.metric("No partition exceeds", f"{partition.upper_bound:.3f}", border=True)
    solved = partition.gap < SOLVED
    gap.metric("Gap", "solved exactly" if solved else f"{100 * partition.gap:.4f} %", border=True)

    with st.expander("All blocks", icon=":material/table:"):
        st.dataframe(
            counted(blocks.assign(stage=blocks["stage"] + 1)[TABLED]),
            hide_index=True,
            key="block_table",
            column_config={
                "model": "Network",
                "stage": "Block",
                "layers": "Nodes from – to",
                "nodes": "Nodes",
                "params": "Params",
                "macs": "MACs",
                "similarity": st.column_config.ProgressColumn(
                    "Similarity to anchor", min_value=0, max_value=2, format="%.3f"
                ),
                "anchor": "Anchor",
            },
        )
    if "reassemble" not in steps.done():
        st.caption(
            "Next, hybrids are built and scored. The first time that takes 15 to 30 seconds for small "
            "networks, longer for those that take 224 pixels; then it is kept."
        )
    path.next_step("reassemble", "Reassemble under a budget")
