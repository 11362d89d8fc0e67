"""Partition: every network cut into K blocks that form K equivalence sets."""

import streamlit as st

from app import state, steps
from app.charts.partition import SIZE_NAMES
from app.components import path
from app.components.block_views import alike_view, bars_view, proof_view
from app.components.errors import error_box, one_sentence
from app.components.proving import proof_line
from app.components.waiting import result_of
from app.frames import block_frame, counted

VARIANTS = {"staged": "k-th blocks form set k", "free": "Any block to any set"}
VIEWS = {"bars": "Equivalence sets", "alike": "How alike all blocks are", "proof": "How the proof went"}
TABLED = ["model", "stage", "set", "layers", "nodes", "params", "macs", "similarity", "anchor"]

INTROS = {
    "staged": "Block 1 of every network forms set 1, and so on; the cuts are placed so that the blocks of a "
    "set are as alike as possible.",
    "free": "Cuts and sets are chosen together, so that the blocks of a set are as alike as possible, "
    "wherever in their networks they stand.",
}

how = steps.cutting()
st.title("Cut into interchangeable blocks")
st.markdown(
    f"Every network is cut into K blocks of about equal size. {INTROS[how.variant]} Each set has an "
    "**anchor ★**, the block all others in it are compared with."
)


with one_sentence():
    zoo = steps.zoo()
    names = steps.members(zoo)
    if len(names) < 2:
        path.first_do("zoo", "Choose at least two networks first.")
    table = result_of(*steps.table(names), title="Comparing the networks")

    nodes = table.index.groupby("model", sort=False)["cut"].max()
    fewest, most = nodes.idxmin(), int(nodes.min())
    with st.container(key="cut_controls"):
        left, right = st.columns(2, gap="large")
    left.slider(
        "K: blocks per network",
        state.K_RANGE[0],
        # An address may ask for more.
        min(max(most, how.k, state.K_RANGE[0] + 1), state.K_RANGE[1]),
        key="k",
        persist_state="session",
        help=f"At most {most}: {fewest} has no more nodes." if most < state.K_RANGE[1] else None,
    )
    right.slider(
        "ε: tolerance in size",
        *state.EPSILON_RANGE,
        step=0.05,
        key="epsilon",
        persist_state="session",
        help="With ε = 0.2 no block may be larger than 1.2 times the mean block of its network.",
    )
    left.segmented_control(
        "Sets",
        state.VARIANTS,
        format_func=VARIANTS.__getitem__,
        required=True,
        key="variant",
        persist_state="session",
        help="The first compares networks at the same depth, and every hybrid keeps the order of depth. The "
        "second is the paper's wording: sets are found among all blocks.",
    )
    right.segmented_control(
        "Size counted in",
        state.SIZES,
        format_func=SIZE_NAMES.__getitem__,
        required=True,
        key="size",
        persist_state="session",
    )
    if how.k > most:
        error_box(f"{fewest} has only {most} nodes, so it can't be cut into {how.k} blocks.")
        if most >= state.K_RANGE[0]:
            st.button(f"Use K = {most}", key="use_most", on_click=state.leave_out, args=("k", most))
        st.stop()
    found = steps.blocks(names, how)
    answer = result_of(found.answer(), found.key, "Placing the cuts", again=False)
    proving = found.proof()
    ended = proving.succeeded
    partition = proving.best or answer
    proof_line(found, proving, partition, ended)

    view = st.segmented_control(
        "Show",
        VIEWS,
        format_func=VIEWS.__getitem__,
        required=True,
        key="blocks",
        persist_state="session",
        label_visibility="collapsed",
    )
    blocks = block_frame(partition, table.index)
    if view == "alike":
        alike_view(partition, table)
    elif view == "proof":
        proof_view(partition)
    else:
        bars_view(blocks, partition)

    listing = st.expander("All blocks", icon=":material/table:", key="all_blocks", on_change="rerun")
    # A table takes as long to draw as the figure: only who opens it waits for it.
    if listing.open:
        listing.dataframe(
            counted(blocks.assign(stage=blocks["stage"] + 1, set=blocks["set"] + 1)[TABLED]),
            hide_index=True,
            key="block_table",
            column_config={
                "model": "Network",
                "stage": "Block",
                "set": "Set",
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
